"""From a checkpoint to answers: texts in, labels and probabilities out."""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lstm_flax.checkpoints.pretrained import model_folder
from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.data.batching import BatchPlan, PlannedBatch, make_batch
from lstm_flax.devices.compilation import BucketedFunction
from lstm_flax.errors import UserError
from lstm_flax.files import make_folder, write_text
from lstm_flax.models.classifier import TextClassifier, apply_classifier
from lstm_flax.models.head import class_probabilities
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.training.train import train
from lstm_flax.types import Batch

_CHUNK = 4096  # texts read ahead of a stream: enough to batch by length, small to hold
# Batches computed at once. On a CPU most of one batch's work keeps one core busy.
_WORKERS = min(os.cpu_count() or 1, 8)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer for one text.

    Attributes:
        text: as it was given.
        label: the most probable label's name.
        probabilities: of every label, by name; they sum to 1. Calibrated on the development part
            of the data that the model was trained on.
        unknown: part of the text's characters in tokens that the model does not know, from 0 to 1.
            The answer for a text of mostly unknown tokens says little, however sure it is.
    """

    text: str
    label: str
    probabilities: dict[str, float]
    unknown: float


class Predictor:
    """A trained classifier with its tokenizer; safe to share between threads.

    >>> predictor = Predictor.from_checkpoint("runs/imdb")  # doctest: +SKIP
    >>> predictor.predict(["A film to remember."])[0].label  # doctest: +SKIP
    'pos'
    """

    def __init__(self, trained: TrainedModel) -> None:
        """Wraps a restored model; see `from_checkpoint`."""
        if not isinstance(trained.model, TextClassifier):
            raise UserError(
                f"{trained.path}: holds a language model; name a classifier's run, or train one "
                f"from it with --config.init_from={trained.path}"
            )
        self._trained = trained
        self._tokenizer = trained.metadata.tokenizer
        self._ngrams = trained.metadata.ngrams
        self._data = trained.metadata.config.data
        self.label_names = trained.metadata.label_names
        model, temperature = trained.model, trained.metadata.history.temperature

        def probabilities(params: Any, batch: Batch) -> jax.Array:
            return class_probabilities(apply_classifier(model, params, batch) / temperature)

        self._probabilities = BucketedFunction(probabilities)
        self._params = jax.device_put(trained.params, jax.devices()[0])

    @classmethod
    def from_checkpoint(
        cls, path: str | Path | None = None, checkpoint: str = "best"
    ) -> "Predictor":
        """Restores a classifier; neither flags nor the data set are needed.

        Args:
            path: a run's folder, or a checkpoint folder copied from one; None for the model that
                comes with the package.
            checkpoint: `best` or `last`.

        Raises:
            UserError: where there is no whole checkpoint.
        """
        return cls(
            load_trained_model(model_folder(None if path is None else Path(path)), checkpoint)
        )

    def fine_tune(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        workdir: str | Path,
        epochs: int = 3,
        show_progress: bool = True,
    ) -> "Predictor":
        """Trains on further texts, starting from these weights and this tokenizer.

        Other labels than the model's own are fine: the head then starts afresh. A tenth of the
        texts selects the epoch. The folder is an ordinary run: the same call continues it.

        >>> tuned = predictor.fine_tune(texts, labels, "runs/mine")  # doctest: +SKIP

        Args:
            texts: what to learn from.
            labels: the name of each text's label.
            workdir: folder of the new run, which keeps the texts too.
            epochs: passes over the texts.
            show_progress: whether to draw bars and print the development part's scores.

        Returns:
            A predictor of the new run's best checkpoint.

        Raises:
            UserError: for empty texts, a single label, texts and labels of different number, or a
                folder that holds another run or cannot be written.
        """
        if len(texts) != len(labels):
            raise UserError(f"{len(texts)} texts but {len(labels)} labels; give each text its own")
        _check_texts(texts)
        workdir = Path(workdir)
        make_folder(workdir)
        rows = zip(texts, labels, strict=True)
        lines = [json.dumps({"text": t, "label": label}, ensure_ascii=False) for t, label in rows]
        path, content = workdir / "train.jsonl", "\n".join(lines) + "\n"
        has_run = (workdir / "config.json").exists()
        if has_run and not (path.exists() and path.read_text(encoding="utf-8") == content):
            raise UserError(f"{workdir}: holds a run on other texts; choose another folder")
        write_text(path, content)
        before = self._trained.metadata.config
        data = dataclasses.replace(
            before.data,
            source="files",
            train_path=str(path),
            development_path=None,
            test_path=None,
            text_column="text",
            label_column="label",
            development_fraction=0.1,
            test_fraction=0.0,
            cache_dir=str(workdir / "cache"),
            token_cache=None,
            unlabelled_batch_size=0,
        )
        training = dataclasses.replace(
            before.training,
            epochs=epochs,
            max_steps=0,
            class_weights=(),
            entropy_weight=0.0,
            teachers=None,
        )
        config = dataclasses.replace(
            before, data=data, training=training, init_from=str(self._trained.path)
        )
        train(config, workdir, split="development", show_progress=show_progress)
        return Predictor.from_checkpoint(workdir)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Classifies texts of any length, in order.

        Raises:
            UserError: for an empty text, named as `texts[i]` with i from 0, as Python counts, or a
                text where a list is due.
        """
        if isinstance(texts, str):
            raise UserError("predict takes a list of texts; write predict([text])")
        texts = list(texts)
        _check_texts(texts)
        return list(self.predict_stream(texts))

    def predict_stream(self, texts: Iterable[str]) -> Iterator[Prediction]:
        """Classifies texts in order and in constant memory, reading 4,096 of them ahead.

        Args:
            texts: none of them empty.
        """
        iterator = iter(texts)
        with ThreadPoolExecutor(_WORKERS) as pool:
            while chunk := list(itertools.islice(iterator, _CHUNK)):
                encoded, unknown = self._tokenizer.encode_measured(chunk)
                answers = self._probabilities_of(encoded, pool)
                for text, row, part in zip(chunk, answers, unknown, strict=True):
                    yield Prediction(
                        text=text,
                        label=self.label_names[int(row.argmax())],
                        probabilities=dict(zip(self.label_names, map(float, row), strict=True)),
                        unknown=float(part),
                    )

    def _probabilities_of(self, encoded: Sequence[np.ndarray], pool: Executor) -> np.ndarray:
        """Probabilities [N, C], batched by length, several batches at once."""
        data = self._data
        split = TokenizedSplit.from_sequences(encoded, np.zeros(len(encoded)))
        size = 1 if len(encoded) == 1 else data.batch_size
        plan = BatchPlan(
            split.lengths, size, data.bucket_widths, data.max_length, seed=0, epoch=0, shuffle=False
        )

        def answer(planned: PlannedBatch) -> np.ndarray:
            rows, width = planned
            batch = make_batch(
                split, rows, width, size, data.max_length, data.truncation, self._ngrams
            )
            return np.asarray(self._probabilities(self._params, batch))[: len(rows)]

        result = np.empty((len(split), len(self.label_names)), np.float32)
        for planned, probabilities in zip(plan, pool.map(answer, plan), strict=True):
            result[planned.indices] = probabilities
        return result


def _check_texts(texts: Sequence[str]) -> None:
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"texts[{index}] is {type(text).__name__}, not a string")
        if not text.strip():
            raise UserError(f"texts[{index}] is empty; leave it out")
