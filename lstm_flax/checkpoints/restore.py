"""A model with its weights: built from a configuration, or restored from a checkpoint."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from lstm_flax.checkpoints.finding import find_checkpoints
from lstm_flax.checkpoints.folder import CheckpointFolder, evaluated_item
from lstm_flax.checkpoints.manifest import DamagedCheckpoint
from lstm_flax.checkpoints.metadata import Metadata
from lstm_flax.checkpoints.sizes import require_finite, require_honest, require_sizes
from lstm_flax.config import Config
from lstm_flax.devices.memory import require_memory
from lstm_flax.devices.sharding import abstract, data_mesh
from lstm_flax.errors import UserError
from lstm_flax.models import init_params
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.language_model import LanguageModel
from lstm_flax.text.encoder import TextEncoder

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A restored model, ready to apply.

    Attributes:
        model: the module.
        params: its parameters; averaged ones if the run kept an average.
        metadata: configuration, label names, text encoder.
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
    config: Config, encoder: TextEncoder, num_classes: int
) -> TextClassifier | LanguageModel:
    """Builds a configuration's module for an encoder's vocabulary and token features.

    Raises:
        UserError: a sigmoid head is used with a number of classes other than two.
    """
    if config.task == "language_model":
        return LanguageModel.from_config(config.model, config.language_model, encoder.vocab_size)
    return TextClassifier.from_config(
        config.model,
        encoder.vocab_size,
        num_classes,
        encoder.num_token_features,
        encoder.sentence_ends,
    )


def portable_model(metadata: Metadata) -> tuple[TextClassifier | LanguageModel, Any]:
    """Builds a checkpoint's module, to run on any device, and the shapes of its parameters."""
    model = build_model(metadata.config, metadata.encoder, len(metadata.label_names))
    # This device may not have the implementation that the training device used.
    portable = model.clone(implementation="auto")
    return portable, jax.eval_shape(lambda: init_params(portable, jax.random.key(0)))


def load_trained_model(path: Path, checkpoint: str = "best") -> TrainedModel:
    """Restores a model for evaluation or prediction on the available devices.

    Args:
        path: a run's folder, or a checkpoint folder copied from one.
        checkpoint: `best` or `last`.

    Raises:
        UserError: there is no intact checkpoint of this format.
    """
    folder, steps = find_checkpoints(path, checkpoint)
    tried: set[int] = set()
    try:
        while left := [step for step in steps if step not in tried]:
            step = left[0]
            try:
                return _restore(folder, step)
            except DamagedCheckpoint as error:
                tried.add(step)
                now = folder.steps()
                if step in now:
                    logger.warning("%s/%d is damaged (%s)", folder.path, step, error)
                else:  # a run in progress has replaced it
                    steps = now
    finally:
        folder.close()
    other = "last" if checkpoint == "best" else "best"
    choice = f", or choose --checkpoint={other}" if (path / other).is_dir() else ""
    raise UserError(f"{folder.path}: no whole checkpoint can be read; copy it again{choice}")


def _restore(folder: CheckpointFolder, step: int) -> TrainedModel:
    metadata = folder.metadata(step)
    config = metadata.config
    name = evaluated_item(config.training.ema_decay)
    where = folder.path / str(step) / name
    stored = folder.shapes(step, name)
    require_sizes(str(where), config, metadata.encoder.vocab_size, stored)
    require_honest(where, stored)
    require_memory(config, metadata.encoder.vocab_size, training=False)
    model, shapes = portable_model(metadata)
    mesh = data_mesh(config.data.batch_size)
    params = folder.restore(step, {name: abstract(shapes, mesh)})[name]
    require_finite(str(where), params)
    return TrainedModel(model, params, metadata, folder.path / str(step), mesh)
