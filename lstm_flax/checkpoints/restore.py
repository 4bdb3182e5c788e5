"""A model with its weights: built from a configuration, or restored from a checkpoint."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from lstm_flax.checkpoints.folder import DAMAGE, CheckpointFolder, find_checkpoints
from lstm_flax.checkpoints.metadata import Metadata
from lstm_flax.config import Config
from lstm_flax.devices.sharding import abstract, evaluation_mesh
from lstm_flax.errors import UserError, one_line
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.language_model import LanguageModel
from lstm_flax.text.ngrams import num_ngram_features

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """What a checkpoint holds, ready to apply.

    Attributes:
        model: the module.
        params: its parameters, averaged ones where the run kept an average.
        metadata: configuration, label names, tokenizer, n-gram ratios.
        path: its folder, named by the training step it was saved at.
        mesh: the devices that hold the parameters.
    """

    model: TextClassifier | LanguageModel
    params: Any
    metadata: Metadata
    path: Path
    mesh: Mesh

    @property
    def step(self) -> int:
        """The training step it was saved at."""
        return int(self.path.name)


def build_model(
    config: Config, vocab_size: int, num_classes: int
) -> TextClassifier | LanguageModel:
    """The module of a configuration, see `build_classifier` and `build_language_model`."""
    if config.task == "language_model":
        return build_language_model(config, vocab_size)
    return build_classifier(config, vocab_size, num_classes)


def build_language_model(config: Config, vocab_size: int) -> LanguageModel:
    """The language model of a configuration."""
    return LanguageModel(config.model, config.language_model, vocab_size)


def build_classifier(config: Config, vocab_size: int, num_classes: int) -> TextClassifier:
    """The classifier of a configuration.

    Raises:
        UserError: where a sigmoid head meets other than two classes.
    """
    if config.model.head == "sigmoid" and num_classes != 2:
        raise UserError(
            f"config.model.head = 'sigmoid': the data has {num_classes} classes, a single logit "
            "tells two apart; use softmax"
        )
    return TextClassifier(config.model, vocab_size, num_classes)


def init_params(model: TextClassifier | LanguageModel, key: jax.Array) -> Any:
    """Freshly initialised parameters."""
    if isinstance(model, LanguageModel):
        piece = jnp.ones((1, model.directions, 1), jnp.int32)
        return model.init(key, piece, model.initial_carry(1))["params"]
    token_ids, lengths = jnp.ones((1, 1), jnp.int32), jnp.ones(1, jnp.int32)
    features = None
    if model.config.ngram_order > 0:
        features = jnp.zeros(
            (1, 1, num_ngram_features(model.config.ngram_order, model.num_classes))
        )
    return model.init(key, token_ids, lengths, ngram_features=features)["params"]


def load_trained_model(path: Path, checkpoint: str = "best") -> TrainedModel:
    """Restores a model for evaluation or prediction, on whatever devices are present.

    Args:
        path: a run's folder, or a checkpoint folder copied from one.
        checkpoint: `best` or `last`.

    Raises:
        UserError: where there is no whole checkpoint of this format.
    """
    folder, steps = find_checkpoints(path, checkpoint)
    try:
        for step in steps:
            try:
                return _restore(folder, step)
            except UserError:
                raise
            except DAMAGE as error:
                logger.warning("%s/%d cannot be read (%s)", folder.path, step, one_line(error))
    finally:
        folder.close()
    other = "last" if checkpoint == "best" else "best"
    choice = f", or choose --checkpoint={other}" if (path / other).is_dir() else ""
    raise UserError(f"{folder.path}: no whole checkpoint can be read; copy it again{choice}")


def _restore(folder: CheckpointFolder, step: int) -> TrainedModel:
    metadata = folder.metadata(step)
    config = metadata.config
    # Another device than the one it was trained on may not have the same implementations.
    portable = dataclasses.replace(
        config, model=dataclasses.replace(config.model, implementation="auto")
    )
    model = build_model(portable, metadata.tokenizer.vocab_size, len(metadata.label_names))
    mesh = evaluation_mesh(config.data.batch_size)
    shapes = jax.eval_shape(lambda: init_params(model, jax.random.PRNGKey(0)))
    averaged = config.training.ema_decay > 0
    params = folder.restore_params(step, abstract(shapes, mesh), averaged)
    return TrainedModel(model, params, metadata, folder.path / str(step), mesh)
