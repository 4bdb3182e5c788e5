"""A train step of the package at any size, on random token ids."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import jax
import numpy as np
import optax

from lstm_flax.config import Config, DataConfig, ModelConfig, TrainingConfig
from lstm_flax.data.batching import Batcher, PlannedBatch
from lstm_flax.devices.compilation import BucketedFunction
from lstm_flax.devices.sharding import data_mesh, place_batch, replicated
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.models import TextClassifier, init_params
from lstm_flax.training.losses import ClassificationLoss
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.train_state import TrainState, make_key
from lstm_flax.training.train_step import make_train_step
from lstm_flax.types import PAD_ID, Batch

SummingStep: TypeAlias = Callable[
    [tuple[TrainState, MetricSums], Batch], tuple[TrainState, MetricSums]
]


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of a train step: the package's default classifier, one bidirectional layer.

    Attributes:
        batch: B.
        width: T.
        hidden: E = H.
        vocabulary: V.
    """

    batch: int = 64
    width: int = 128
    hidden: int = 128
    vocabulary: int = 16_000

    @property
    def config(self) -> Config:
        """Returns the package's configuration of this size."""
        widths = tuple(dict.fromkeys((32, 64, 128, 256, -(-self.width // 32) * 32)))
        data = DataConfig(
            max_length=self.width,
            bucket_widths=tuple(w for w in sorted(widths) if w <= max(32, self.width)),
            batch_size=self.batch,
        )
        model = ModelConfig(embedding_size=self.hidden, hidden_size=self.hidden)
        return Config(data=data, model=model, training=TrainingConfig(epochs=1))

    def flops(self) -> int:
        """Counts operations of the recurrent layer's matrix products, forward and backward."""
        return 3 * 2 * self.batch * self.width * 2 * (2 * self.hidden) * 4 * self.hidden


def random_batch(size: Size) -> Batch:
    """Makes random tokens; lengths fill the last quarter of the width, like those of a bucket."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3 * size.width // 4, size.width + 1, size.batch).astype(np.int32)
    lengths[0] = size.width
    token_ids = rng.integers(4, size.vocabulary, (size.batch, size.width)).astype(np.int32)
    token_ids[np.arange(size.width) >= lengths[:, None]] = PAD_ID
    labels = rng.integers(0, 2, size.batch).astype(np.int32)
    return Batch(token_ids, lengths, labels, np.ones(size.batch, bool))


def whole_step(
    model: TextClassifier, optimizer: optax.GradientTransformation, settings: TrainingConfig
) -> SummingStep:
    """Makes the train step of the package's loop: `((state, sums), batch) -> (state, sums)`."""
    loss = ClassificationLoss(model, np.ones(2, np.float32), settings.label_smoothing)
    step = make_train_step(loss, optimizer, settings.ema_decay)

    def summing_step(
        tree: tuple[TrainState, MetricSums], batch: Batch
    ) -> tuple[TrainState, MetricSums]:
        state, sums = tree
        state, metrics = step(state, batch)
        return state, sums.merge(metrics)

    return summing_step


def compiled_step(
    model: TextClassifier, optimizer: optax.GradientTransformation, settings: TrainingConfig
) -> BucketedFunction:
    """Compiles the same for each width, as in the loop; it donates its first argument."""
    return BucketedFunction(whole_step(model, optimizer, settings), donate=True)


class Trainer:
    """The package's compiled step with its state, and the sums of its metrics so far."""

    def __init__(self, size: Size) -> None:
        self.config = size.config
        self.mesh = data_mesh(size.batch)
        model = TextClassifier.from_config(self.config.model, size.vocabulary, 2)
        optimizer = make_optimizer(self.config.optimizer, 1_000_000)
        self._step = compiled_step(model, optimizer, self.config.training)

        def create() -> tuple[TrainState, MetricSums]:
            params = init_params(model, make_key(0))
            state = TrainState.create(params, optimizer, make_key(1), average=True)
            return state, MetricSums.zero()

        self.tree = jax.jit(create, out_shardings=replicated(self.mesh))()

    def step(self, batch: Batch) -> None:
        """Takes a step with a batch that is already on the devices, and waits for it."""
        self.tree = jax.block_until_ready(self._step(self.tree, batch))

    def loss(self) -> float:
        """Returns the mean loss of all steps so far."""
        _, sums = self.tree
        return sums.compute()["loss"]

    def batches(
        self, batcher: Batcher, plan: Sequence[PlannedBatch], count: int
    ) -> Iterator[Batch]:
        """Yields the first batches of a plan repeatedly, on the devices."""
        for k in range(count):
            yield place_batch(batcher.make(*plan[k % len(plan)]), self.mesh)


def step_of(size: Size) -> Callable[[], None]:
    """Makes a train step of one batch, compiled and run once."""
    trainer = Trainer(size)
    batch = place_batch(random_batch(size), trainer.mesh)
    trainer.step(batch)
    return lambda: trainer.step(batch)
