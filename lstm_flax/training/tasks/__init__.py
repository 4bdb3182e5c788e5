"""The interface between the training loop and the thing it trains."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import optax
from jax.sharding import Mesh

from lstm_flax.data.dataset import Dataset
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.training.train_state import TrainState


class Task(Protocol):
    """A model with its data: a classifier on labelled texts, or a language model on running text.

    Attributes:
        unit: `texts` or `tokens`.
        dataset: the encoded texts.
        encoder: goes into checkpoints.
        mesh: the devices that share each batch.
        steps_per_epoch: batches of an epoch.
        units_per_epoch: units of an epoch.
    """

    unit: str
    dataset: Dataset
    encoder: TextEncoder
    mesh: Mesh
    steps_per_epoch: int
    units_per_epoch: int

    def init_params(self, key: jax.Array) -> Any:
        """Freshly drawn parameters."""

    def initial_carry(self) -> Any:
        """The first step's start beside parameters; None where batches stand alone."""

    def make_optimizer(self, total_steps: int) -> optax.GradientTransformation:
        """From gradients to updates, for a run of so many steps."""

    def make_step(
        self, optimizer: optax.GradientTransformation
    ) -> Callable[[TrainState, Any], tuple[TrainState, MetricSums]]:
        """The step as a pure function `(state, batch) -> (state, metrics)`."""

    def units_before(self, epoch: int, batch: int) -> int:
        """Units in an epoch's first batches."""

    def example_batches(self) -> list[Any]:
        """A batch of each shape that `batches` makes, placed on the devices."""

    def batches(self, epoch: int, first: int) -> Iterator[tuple[int, Any]]:
        """An epoch's batches from the given one on, placed on the devices, each with its units."""

    def metrics(self, sums: MetricSums) -> dict[str, float]:
        """Means for the log out of sums over training batches."""

    def score_development(self, params: Any) -> tuple[dict[str, float], float]:
        """Metrics of the development part, and the score to select by: the higher, the better.

        A `temperature` among the metrics is kept for calibration.
        """

    def show_score(self, score: float) -> str:
        """A score as a person reads it."""
