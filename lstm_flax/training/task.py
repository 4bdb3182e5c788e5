"""What the training loop asks of the thing it trains."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import optax

from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.text.ngrams import NgramRatios
from lstm_flax.training.train_state import TrainState


class Task(Protocol):
    """A model with its data: a classifier on labelled texts, or a language model on running text.

    Attributes:
        unit: what is counted, `texts` or `tokens`.
        steps_per_epoch: batches of an epoch.
        units_per_epoch: units of an epoch.
        has_development: whether there is a development part to score.
        ngrams: the class ratios of n-grams that the model needs beside its parameters, or None.
    """

    unit: str
    steps_per_epoch: int
    units_per_epoch: int
    has_development: bool
    ngrams: NgramRatios | None

    def init_params(self, key: jax.Array) -> Any:
        """Freshly drawn parameters."""

    def initial_carry(self) -> Any:
        """What the first step starts from beside parameters; None where batches stand alone."""

    def make_step(
        self, optimizer: optax.GradientTransformation
    ) -> Callable[[TrainState, Any], TrainState]:
        """The step as a pure function `(state, batch) -> state`."""

    def units_before(self, epoch: int, batch: int) -> int:
        """Units in an epoch's first batches."""

    def example_batches(self) -> list[Any]:
        """A batch of each shape that `batches` makes, placed on the devices."""

    def batches(self, epoch: int, first: int) -> Iterator[tuple[int, Any]]:
        """An epoch's batches from the given one on, placed on the devices, each with its units."""

    def figures(self, sums: MetricSums) -> dict[str, float]:
        """What the log says of sums over training batches."""

    def score_development(self, params: Any) -> tuple[dict[str, float], float]:
        """Figures of the development part, and the score to select by: the higher, the better.

        A `temperature` among the figures is kept for calibration.
        """

    def show_score(self, score: float) -> str:
        """A score as a person reads it."""
