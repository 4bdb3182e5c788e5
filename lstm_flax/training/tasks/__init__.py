"""The interface between the training loop and what it trains."""

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
        encoder: saved in checkpoints.
        mesh: the devices that share each batch.
        steps_per_epoch: batches per epoch.
        units_per_epoch: units per epoch.
    """

    unit: str
    dataset: Dataset
    encoder: TextEncoder
    mesh: Mesh
    steps_per_epoch: int
    units_per_epoch: int

    def init_params(self, key: jax.Array) -> Any:
        """Draws the initial parameters."""

    def initial_carry(self) -> Any:
        """Returns what the first step needs besides parameters; None if batches are independent."""

    def make_optimizer(self, total_steps: int) -> optax.GradientTransformation:
        """Makes the transformation from gradients to updates, for a run of `total_steps`."""

    def make_step(
        self, optimizer: optax.GradientTransformation
    ) -> Callable[[TrainState, Any], tuple[TrainState, MetricSums]]:
        """Makes the step as a pure function `(state, batch) -> (state, metrics)`."""

    def units_before(self, epoch: int, batch: int) -> int:
        """Counts the units in an epoch's first batches."""

    def example_batches(self) -> list[Any]:
        """Returns one batch of each shape that `batches` makes, placed on the devices."""

    def batches(self, epoch: int, first: int) -> Iterator[tuple[int, Any]]:
        """Yields an epoch's batches from `first` on, placed on the devices, with their units."""

    def metrics(self, sums: MetricSums) -> dict[str, float]:
        """Computes means for the log from sums over training batches."""

    def score_development(self, params: Any) -> tuple[dict[str, float], float]:
        """Returns the development metrics and the selection score: higher is better.

        A `temperature` among the metrics is kept for calibration.
        """

    def show_score(self, score: float) -> str:
        """Formats a score for people."""
