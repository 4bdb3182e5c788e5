"""Fine-tuning: a run on further texts that starts from a trained classifier."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.data.examples import check_texts
from lstm_flax.display import to_json
from lstm_flax.errors import UserError
from lstm_flax.files import make_folder, require_own_files, write_text
from lstm_flax.training.train import train


class HasTrainedModel(Protocol):
    """A `Predictor`, or anything else that holds a restored model as `trained`."""

    @property
    def trained(self) -> TrainedModel:
        """The model."""


def fine_tune(
    predictor: HasTrainedModel,
    texts: Sequence[str],
    labels: Sequence[str],
    workdir: str | Path,
    epochs: int = 3,
    show_progress: bool = True,
) -> TrainedModel:
    """Trains on further texts, starting from a predictor's weights and text encoder.

    Other labels than the model's own are fine: the head then starts afresh. A tenth of the texts
    selects the epoch. The folder is an ordinary run: the same call continues it.

    >>> tuned = Predictor(fine_tune(predictor, texts, labels, "runs/mine"))  # doctest: +SKIP

    Args:
        predictor: the classifier to start from.
        texts: what to learn from.
        labels: the name of each text's label.
        workdir: folder of the new run, which keeps the texts too.
        epochs: passes over the texts.
        show_progress: whether to draw bars and print the development part's scores.

    Returns:
        The new run's best checkpoint, restored.

    Raises:
        UserError: for empty texts, a single label, texts and labels of different number, or a
            folder that holds another run or cannot be written.
    """
    if len(texts) != len(labels):
        raise UserError(f"{len(texts)} texts but {len(labels)} labels; give each text its own")
    check_texts(texts)
    workdir = Path(workdir)
    make_folder(workdir)
    require_own_files(workdir)
    names = [plain_label(label, index) for index, label in enumerate(labels)]
    rows = zip(texts, names, strict=True)
    lines = [to_json({"text": text, "label": name}) for text, name in rows]
    path, content = workdir / "train.jsonl", "\n".join(lines) + "\n"
    has_run = (workdir / "config.json").exists()
    if has_run and not (path.exists() and path.read_text(encoding="utf-8") == content):
        raise UserError(f"{workdir}: holds a run on other texts; choose another folder")
    write_text(path, content)
    before = predictor.trained.metadata.config
    data = dataclasses.replace(
        before.data,
        source="files",
        train_path=str(path),
        development_path=None,
        test_path=None,
        extra_train_path=None,
        text_column="text",
        label_column="label",
        development_fraction=0.1,
        test_fraction=0.0,
        cache_dir=str(workdir / "cache"),
        token_cache=None,
    )
    training = dataclasses.replace(before.training, epochs=epochs, max_steps=0, class_weights=())
    config = dataclasses.replace(
        before,
        data=data,
        training=training,
        recipes=type(before.recipes)(),
        init_from=str(predictor.trained.path),
    )
    train(config, workdir, split="development", show_progress=show_progress)
    return load_trained_model(workdir)


def plain_label(label: Any, index: int) -> str | int:
    """A label as JSON can hold it; numpy's own strings and whole numbers are as good.

    >>> import numpy as np
    >>> plain_label(np.int64(3), 0), plain_label(np.str_("pos"), 1)
    (3, 'pos')

    Raises:
        UserError: it is neither text nor a whole number.
    """
    value = label.item() if isinstance(label, np.generic) else label
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise UserError(
            f"labels[{index}] is {type(label).__name__}, not text or a whole number; give names"
        )
    return str(value) if isinstance(value, str) else value
