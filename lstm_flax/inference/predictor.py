"""From a checkpoint to answers: texts in, labels and probabilities out."""

import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from lstm_flax.checkpoints.packed import pack, unpack
from lstm_flax.checkpoints.pretrained import model_folder
from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.data.examples import check_text, check_texts, column_of
from lstm_flax.errors import UserError
from lstm_flax.evaluation.classifier import WORKERS, ClassifierEvaluator
from lstm_flax.evaluation.metrics import class_probabilities
from lstm_flax.exporting.comparison import Comparison, run_exported
from lstm_flax.exporting.examples import EXAMPLE_TEXTS
from lstm_flax.exporting.export import check_export, export_model, missing_runtime
from lstm_flax.inference.explainer import DEFAULT_STEPS, MOST_STEPS, Explainer
from lstm_flax.inference.explanation import Explanation
from lstm_flax.inference.prediction import Prediction
from lstm_flax.inference.states import StateReader, States
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.text.tokenized import TokenizedSplit

_CHUNK = 4096  # texts read ahead from a stream: enough to batch by length, few enough to hold


class Predictor:
    """One or more trained classifiers with text encoders; safe to share among threads.

    Several classifiers answer with the mean of their probabilities.

    >>> predictor = Predictor.from_checkpoint()  # the model that comes with the package
    >>> predictor.predict(["A gentle, funny film that earns its tears."])[0].label
    'pos'

    Args:
        trained: a restored classifier; see `from_checkpoint`.
        others: more classifiers for the same labels.

    Attributes:
        trained: the first classifier.
        label_names: C names.

    Raises:
        UserError: one is not a classifier, or has other labels than the first.
    """

    def __init__(self, trained: TrainedModel, *others: TrainedModel) -> None:
        self.trained = trained
        self._process = os.getpid()
        self.label_names = trained.metadata.label_names
        for other in others:
            if other.metadata.label_names != self.label_names:
                raise UserError(
                    f"{other.path}: knows the labels {', '.join(other.metadata.label_names)}, not "
                    f"{', '.join(self.label_names)}; name runs on the same labels"
                )
        self._members = [_Member(member) for member in (trained, *others)]

    @classmethod
    def from_checkpoint(
        cls, path: str | Path | None = None, *others: str | Path, checkpoint: str = "best"
    ) -> "Predictor":
        """Restores a classifier; neither flags nor the data set are needed.

        Args:
            path: a run's folder, or a checkpoint folder copied from one; None for the model that
                comes with the package.
            others: folders of more classifiers, to average the answers of all.
            checkpoint: `best` or `last`.

        Raises:
            UserError: there is no intact checkpoint.
        """
        folders = [model_folder(None if path is None else Path(path)), *map(Path, others)]
        return cls(*(load_trained_model(folder, checkpoint) for folder in folders))

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Classifies texts of any length, in order.

        Raises:
            UserError: a text is empty (the message names it as `texts[i]` with i from 0, as in
                Python), or a single string was given instead of a list.
        """
        texts = list(column_of(texts, "predict"))
        check_texts(texts)
        return list(self.predict_stream(texts))

    def predict_stream(self, texts: Iterable[str]) -> Iterator[Prediction]:
        """Classifies texts in order and in constant memory, reading 4,096 of them ahead.

        Args:
            texts: none of them empty.

        Raises:
            UserError: the process was forked from the one that made the predictor.
        """
        if os.getpid() != self._process:
            raise UserError(
                "this Predictor was made before its process was forked, which JAX does not "
                "survive; make one in each worker"
            )
        iterator = _checked(column_of(texts, "predict_stream"))
        with ThreadPoolExecutor(WORKERS) as pool:
            while chunk := list(itertools.islice(iterator, _CHUNK)):
                answers = [member.answer(chunk, pool) for member in self._members]
                mean = np.mean([answer.probabilities for answer in answers], axis=0)
                cut = np.any([answer.truncated for answer in answers], axis=0)
                unknown = answers[0].unknown
                for text, row, rate, is_cut in zip(chunk, mean, unknown, cut, strict=True):
                    yield Prediction(
                        text=text,
                        label=self.label_names[int(row.argmax())],
                        probabilities=dict(zip(self.label_names, map(float, row), strict=True)),
                        unknown=float(rate),
                        truncated=bool(is_cut),
                    )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies as whole models in bytes; unpickling runs no code from them."""
        return type(self).from_bytes, tuple(pack(member.trained) for member in self._members)

    @classmethod
    def from_bytes(cls, *models: bytes) -> "Predictor":
        """Loads models that `lstm_flax.checkpoints.packed.pack` wrote.

        Raises:
            UserError: one is damaged, or of another version.
        """
        return cls(*map(unpack, models))

    def export(
        self,
        folder: str | Path,
        format: str = "onnx",
        weights: str = "float32",
        texts: Sequence[str] = EXAMPLE_TEXTS,
    ) -> Comparison | None:
        """Writes the classifier as a folder for another runtime, and compares both sides.

        Args:
            folder: a new or empty folder.
            format: `onnx`, `safetensors`, `torch` or `stablehlo`; see `docs/export.md`.
            weights: how matrices are stored: `float32`; for onnx also `float16` or `int8`.
            texts: texts to compare both sides on, none of them empty.

        Returns:
            The answers of both sides; None if the format's runtime is not installed here: run
            `python run.py --check` in the folder to compare them elsewhere.

        Raises:
            UserError: the predictor has several classifiers, a package is missing, or the folder is
                in use.
        """
        if len(self._members) > 1:
            raise UserError("this predictor has several classifiers; export each by itself")
        texts = list(column_of(texts, "export"))
        check_texts(texts)
        folder = Path(folder)
        check_export(format, weights, folder)
        examples = {
            "texts": list(EXAMPLE_TEXTS),
            "probabilities": self._probabilities(EXAMPLE_TEXTS).tolist(),
        }
        export_model(self.trained, folder, format, weights, examples)
        if missing_runtime(format) is not None:
            return None
        return Comparison(self._probabilities(texts), run_exported(folder, texts))

    def _probabilities(self, texts: Sequence[str]) -> np.ndarray:
        answers = self.predict(texts)
        return np.array([list(answer.probabilities.values()) for answer in answers])

    def states(self, text: str) -> States:
        """Returns outputs, cell states and gates of the recurrent layers at each token of a text.

        >>> states = Predictor.from_checkpoint().states("Not bad at all.")
        >>> [token.text for token in states.tokens], states.outputs.shape
        (['Not', 'bad', 'at', 'all', '.'], (5, 128))
        >>> states.directions[0].gates["f"].shape
        (5, 64)

        Args:
            text: of any length; only the tokens that the model reads are covered.

        Returns:
            Tokens with their positions in the text, and the outputs, cell states and gates of each
            layer and direction, from the implementation that the model runs.

        Raises:
            UserError: the text is empty, the classifier is hierarchical, or the predictor has
                several classifiers.
        """
        check_texts([text])
        self._refuse_several("states")
        return self._state_reader.read(text)

    def explain(
        self,
        texts: Sequence[str],
        label: str | None = None,
        steps: int = DEFAULT_STEPS,
        check: bool = True,
    ) -> list[Explanation]:
        """Computes each word's contribution to the answer by integrated gradients.

        >>> [why] = Predictor.from_checkpoint().explain(["A moving film, superbly acted."])
        >>> why.label, why.strongest(1)[0].text
        ('pos', 'moving')

        Args:
            texts: none of them empty.
            label: the label to explain; None for each text's answer.
            steps: points on the path; more of them reduce the completeness error.
            check: True also deletes the strongest words from the text, one at a time, to measure
                how the answer changes (occlusion).

        Raises:
            UserError: a text is empty, the model has no such label, `steps` is out of range, or the
                predictor has several classifiers.
        """
        texts = list(column_of(texts, "explain"))
        check_texts(texts)
        self._refuse_several("explain")
        if label is not None and label not in self.label_names:
            raise UserError(f"label {label!r}: the model has {', '.join(self.label_names)}")
        if not isinstance(steps, int | np.integer) or not 1 <= steps <= MOST_STEPS:
            raise UserError(f"steps = {steps!r}: must be a whole number from 1 to {MOST_STEPS:,}")
        return [self._explainer.explain(text, label, steps, check) for text in texts]

    def _refuse_several(self, what: str) -> None:
        if len(self._members) > 1:
            raise UserError(f"{what} is of one classifier; open each run as its own Predictor")

    @functools.cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self.trained)

    @functools.cached_property
    def _state_reader(self) -> StateReader:
        return StateReader(self.trained)


def _checked(texts: Iterable[Any]) -> Iterator[str]:
    for index, text in enumerate(texts):
        check_text(text, index)
        yield text


class _Answer(NamedTuple):
    """The answers of one classifier to N texts.

    Attributes:
        probabilities: f32[N, C].
        unknown: f64[N], the fraction of each text that is unknown.
        truncated: bool[N], True if the text is longer than the model reads.
    """

    probabilities: np.ndarray
    unknown: np.ndarray
    truncated: np.ndarray


class _Member:
    """One classifier of a predictor."""

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained
        if not isinstance(trained.model, TextClassifier):
            raise UserError(
                f"{trained.path}: holds a language model; name a classifier's run, or train one "
                f"from it with --config.init_from={trained.path}"
            )
        metadata = trained.metadata
        self._max_length = metadata.config.data.max_length
        self._encoder = metadata.encoder
        self._temperature = metadata.history.temperature
        self._evaluator = ClassifierEvaluator(trained.model, metadata.encoder, metadata.config.data)
        self._params: Any = jax.device_put(trained.params, jax.devices()[0])

    def answer(self, texts: Sequence[str], pool: Executor) -> _Answer:
        """Classifies N texts."""
        encoded, unknown = self._encoder.tokenizer.encode_measured(texts)
        split = TokenizedSplit.from_sequences(encoded, np.zeros(len(encoded)))
        logits = self._evaluator.logits(self._params, split, pool)
        probabilities = class_probabilities(logits / self._temperature)
        return _Answer(probabilities, unknown, split.lengths > self._max_length)
