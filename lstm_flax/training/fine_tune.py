"""Fine-tuning: starts a run on more texts from a trained classifier."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.data.examples import column_of
from lstm_flax.training.given_texts import keep_texts
from lstm_flax.training.train import train


class HasTrainedModel(Protocol):
    """A `Predictor`, or any other object with a restored model as its `trained` attribute."""

    @property
    def trained(self) -> TrainedModel:
        """Returns the model."""


def fine_tune(
    predictor: HasTrainedModel,
    texts: Sequence[str],
    labels: Sequence[str],
    workdir: str | Path,
    epochs: int = 3,
    show_progress: bool = True,
) -> TrainedModel:
    """Trains on more texts, starting from a predictor's weights and text encoder.

    The labels may differ from the model's; the head is then drawn afresh. A tenth of the texts is
    set aside to select the epoch. The folder is an ordinary run: the same call continues it.

    >>> tuned = Predictor(fine_tune(predictor, texts, labels, "runs/mine"))  # doctest: +SKIP

    Args:
        predictor: the classifier to start from.
        texts: the texts to train on.
        labels: the name of each text's label.
        workdir: folder of the new run, which also keeps a copy of the texts.
        epochs: passes over the texts.
        show_progress: True to draw bars and print the development scores.

    Returns:
        The new run's best checkpoint, restored.

    Raises:
        UserError: texts are empty, there is only one label, the numbers of texts and labels differ,
            or the folder holds another run or cannot be written.
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
