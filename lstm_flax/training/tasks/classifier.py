"""The classifier as a task of the training loop."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.config import Config
from lstm_flax.data.batching import Batcher
from lstm_flax.data.dataset import Dataset
from lstm_flax.devices.sharding import local_rows, place_batch
from lstm_flax.evaluation.classifier import ClassifierEvaluator
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.models import init_params
from lstm_flax.models.classifier import TextClassifier
from lstm_flax.training.losses import ClassificationLoss, class_weights
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.recipe import Recipe, gradient_of
from lstm_flax.training.train_state import TrainState
from lstm_flax.training.train_step import make_train_step, plain_gradient
from lstm_flax.training.warm_start import fit_encoder
from lstm_flax.types import Batch


class ClassifierTask:
    """A `Task`: labelled texts in length buckets, selected by development accuracy."""

    unit = "texts"

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        mesh: Mesh,
        initial: TrainedModel | None = None,
        recipes: Sequence[Recipe] = (),
    ) -> None:
        """Opens the training part and fits the encoder to it.

        Args:
            config: the run's configuration.
            dataset: encoded by the run's tokenizer.
            mesh: the devices that share each batch.
            initial: the run to start from, whose log-count ratios are kept where allowed.
            recipes: may change the step, the optimizer or the batches.
        """
        self.dataset = dataset
        self.mesh = mesh
        self._optimizer, self._settings = config.optimizer, config.training
        self._frozen = "embedding" if config.model.freeze_embedding else None
        self._recipes = recipes
        split, names = dataset.split("train"), dataset.label_names
        self.encoder = fit_encoder(dataset.tokenizer, split, names, config.model, initial)
        self._batcher = Batcher.from_config(
            split, self.encoder.for_training(split, len(names)), config.data
        )
        extra_rows = sum(recipe.extra_rows for recipe in recipes)
        self._rows = local_rows(config.data.batch_size + extra_rows, mesh)
        for recipe in recipes:
            recipe.open(dataset, self.encoder, self._batcher)
        self.steps_per_epoch = len(self._batcher.plan(self._settings.seed, 0))
        self.units_per_epoch = len(split)
        self._model = TextClassifier.from_config(
            config.model,
            self.encoder.vocab_size,
            len(names),
            self.encoder.num_token_features,
            self.encoder.sentence_ends,
        )
        self._evaluator = ClassifierEvaluator(self._model, self.encoder, config.data, mesh)

    def init_params(self, key: jax.Array) -> Any:
        """Draws the initial parameters."""
        return init_params(self._model, key)

    def initial_carry(self) -> None:
        """Returns None: batches are independent."""

    def make_optimizer(self, total_steps: int) -> optax.GradientTransformation:
        """See `training/optimizer.py`."""
        return make_optimizer(
            self._optimizer, total_steps, self.steps_per_epoch, self._recipes, self._frozen
        )

    def make_step(
        self, optimizer: optax.GradientTransformation
    ) -> Callable[[TrainState, Batch], tuple[TrainState, MetricSums]]:
        """See `make_train_step`."""
        weights = class_weights(
            self._settings.class_weights,
            self._settings.balance_classes,
            self.dataset.label_names,
            self._batcher.split.labels,
        )
        loss = ClassificationLoss(self._model, weights, self._settings.label_smoothing)
        gradient = gradient_of(self._recipes) or plain_gradient
        return make_train_step(loss, optimizer, self._settings.ema_decay, gradient)

    def units_before(self, epoch: int, batch: int) -> int:
        """Counts the texts in an epoch's first batches."""
        plan = self._batcher.plan(self._settings.seed, epoch)
        return sum(len(indices) for indices, _ in plan[:batch])

    def example_batches(self) -> list[Batch]:
        """Returns one batch per bucket that contains texts."""
        plan = self._batcher.plan(self._settings.seed, 0)
        of_width = {planned.width: index for index, planned in enumerate(plan)}
        return [self._make(0, index) for index in of_width.values()]

    def batches(self, epoch: int, first: int) -> Iterator[tuple[int, Batch]]:
        """Yields an epoch's batches from `first` on, each with its number of texts."""
        plan = self._batcher.plan(self._settings.seed, epoch)
        for index in range(first, len(plan)):
            yield len(plan[index].indices), self._make(epoch, index)

    def _make(self, epoch: int, index: int) -> Batch:
        plan = self._batcher.plan(self._settings.seed, epoch)
        indices, width = plan[index]
        batch = self._batcher.make(indices, width, self._rows)
        for recipe in self._recipes:
            batch = recipe.extend_batch(batch, plan, index)
        return place_batch(batch, self.mesh)

    def metrics(self, sums: MetricSums) -> dict[str, float]:
        """Returns the mean loss and the accuracy."""
        return sums.compute()

    def score_development(self, params: Any) -> tuple[dict[str, float], float]:
        """Returns development accuracy, loss and temperature; the score is the accuracy."""
        scored = self._evaluator.evaluate(params, self.dataset.split("development"))
        metrics = {name: scored[name] for name in ("accuracy", "loss", "temperature")}
        return metrics, scored["accuracy"]

    def show_score(self, score: float) -> str:
        """Formats an accuracy in per cent."""
        return f"{score:.2%}"
