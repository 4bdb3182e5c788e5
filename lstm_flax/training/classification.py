"""The classifier as a task of the training loop."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from lstm_flax.checkpoints.restore import TrainedModel, build_classifier, init_params
from lstm_flax.config import Config
from lstm_flax.data.batching import (
    BatchPlan,
    PlannedBatch,
    make_batch,
    plan_unlabelled,
    stack_batches,
)
from lstm_flax.data.dataset import Dataset
from lstm_flax.devices.sharding import place_batch
from lstm_flax.evaluation.logits import Evaluator
from lstm_flax.evaluation.metrics import MetricSums, classification_metrics, fit_temperature
from lstm_flax.text.ngrams import NgramRatios
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.training.losses import class_weights
from lstm_flax.training.train_state import TrainState
from lstm_flax.training.train_step import make_train_step
from lstm_flax.training.warm_start import ngram_ratios
from lstm_flax.types import Batch


class ClassificationTask:
    """A `Task`: labelled texts in length buckets, selected by development accuracy."""

    unit = "texts"

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        mesh: Mesh,
        initial: TrainedModel | None,
        train_split: TokenizedSplit,
    ) -> None:
        """Opens the parts but for the training part, which is given.

        Args:
            config: the run.
            dataset: encoded by the run's tokenizer.
            mesh: the devices that share each batch.
            initial: the run to start from, whose n-gram ratios are kept.
            train_split: the labelled texts to train on, see `training_part`.
        """
        self.config = config
        self.dataset = dataset
        self.mesh = mesh
        self.train_split = train_split
        self._unlabelled: TokenizedSplit | None = None
        if config.data.unlabelled_batch_size > 0:
            self._unlabelled = dataset.split("unsupervised")
        self.has_development = dataset.has_development
        self.steps_per_epoch = len(self._plan(0))
        self.units_per_epoch = len(self.train_split)
        self._model = build_classifier(
            config, dataset.tokenizer.vocab_size, len(dataset.label_names)
        )
        self.ngrams, self._train_ngrams = ngram_ratios(config, dataset, initial, train_split)
        self._evaluator = Evaluator(self._model, config.data, mesh, self.ngrams)

    def init_params(self, key: jax.Array) -> Any:
        """Freshly drawn parameters."""
        return init_params(self._model, key)

    def initial_carry(self) -> None:
        """Nothing: each batch stands alone."""

    def make_step(
        self, optimizer: optax.GradientTransformation
    ) -> Callable[[TrainState, Batch], TrainState]:
        """See `make_train_step`."""
        training, names = self.config.training, self.dataset.label_names
        weights = class_weights(training, names, self.train_split.labels)
        return make_train_step(self._model, optimizer, training, jnp.asarray(weights))

    def units_before(self, epoch: int, batch: int) -> int:
        """Texts in an epoch's first batches."""
        return sum(len(indices) for indices, _ in self._plan(epoch)[:batch])

    def example_batches(self) -> list[Batch]:
        """One of each bucket that the texts fill."""
        of_width = {planned.width: planned for planned in self._plan(0)}
        return [self._make(planned, np.empty(0, np.int64)) for planned in of_width.values()]

    def batches(self, epoch: int, first: int) -> Iterator[tuple[int, Batch]]:
        """An epoch's batches from the given one on, each with its number of texts."""
        plan = self._plan(epoch)
        unlabelled = self._plan_unlabelled(plan, epoch)
        for planned, beside in zip(plan[first:], unlabelled[first:], strict=True):
            yield len(planned.indices), self._make(planned, beside)

    def _make(self, planned: PlannedBatch, beside: np.ndarray) -> Batch:
        """One batch; `beside` are indices of the unlabelled texts that go along."""
        data = self.config.data

        def make(
            split: TokenizedSplit, indices: np.ndarray, rows: int, ngrams: NgramRatios | None
        ) -> Batch:
            return make_batch(
                split, indices, planned.width, rows, data.max_length, data.truncation, ngrams
            )

        batch = make(self.train_split, planned.indices, data.batch_size, self._train_ngrams)
        if self._unlabelled is not None:
            rows = data.unlabelled_batch_size
            batch = stack_batches(batch, make(self._unlabelled, beside, rows, self.ngrams))
        return place_batch(batch, self.mesh)

    def figures(self, sums: MetricSums) -> dict[str, float]:
        """Mean loss and accuracy."""
        return sums.compute()

    def score_development(self, params: Any) -> tuple[dict[str, float], float]:
        """Accuracy, loss and temperature of the development part; the score is the accuracy."""
        development = self.dataset.split("development")
        logits = self._evaluator.logits(params, development)
        scored = classification_metrics(logits, development.labels)
        figures = {name: scored[name] for name in ("accuracy", "loss")}
        figures["temperature"] = fit_temperature(logits, development.labels)
        return figures, scored["accuracy"]

    def show_score(self, score: float) -> str:
        """An accuracy in per cent."""
        return f"{score:.2%}"

    def _plan(self, epoch: int) -> BatchPlan:
        config = self.config
        return BatchPlan(
            self.train_split.lengths,
            batch_size=config.data.batch_size,
            bucket_widths=config.data.bucket_widths,
            max_length=config.data.max_length,
            seed=config.training.seed,
            epoch=epoch,
        )

    def _plan_unlabelled(self, plan: BatchPlan, epoch: int) -> list[np.ndarray]:
        data = self.config.data
        if self._unlabelled is None:
            return [np.empty(0, np.int64)] * len(plan)
        return plan_unlabelled(
            plan,
            self._unlabelled.lengths,
            data.unlabelled_batch_size,
            data.bucket_widths,
            data.max_length,
            self.config.training.seed,
            epoch,
        )
