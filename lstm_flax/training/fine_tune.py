"""Fine-tuning: a run on further texts that starts from a trained classifier."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.data.examples import column_of
from lstm_flax.training.given_texts import keep_texts
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
    workdir = Path(workdir)
    texts, labels = (
        list(column_of(texts, "fine_tune")),
        list(column_of(labels, "fine_tune", "labels")),
    )
    path = keep_texts(texts, labels, workdir)
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
