"""The language model as a task of the training loop."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from lstm_flax.config import Config, LanguageModelConfig
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.streams import Streams, pieces_per_epoch, running_text
from lstm_flax.devices.sharding import place_batch, replicated
from lstm_flax.errors import UserError
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.evaluation.perplexity import PerplexityEvaluator
from lstm_flax.models import init_params
from lstm_flax.models.language_model import Carry, LanguageModel, read_piece, softmax_weights
from lstm_flax.models.sampled_softmax import (
    draw_candidates,
    expected_log_counts,
    sampled_cross_entropy,
)
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.recipe import Recipe
from lstm_flax.training.train_state import TrainState
from lstm_flax.types import StreamBatch


class LanguageModelTask:
    """A `Task`: the training and unlabelled texts as streams, selected by development perplexity.

    A token counts once for each direction that predicts it.
    """

    unit = "tokens"

    def __init__(
        self, config: Config, dataset: Dataset, mesh: Mesh, recipes: Sequence[Recipe] = ()
    ) -> None:
        """Opens the texts.

        Args:
            config: the run's configuration.
            dataset: encoded by the run's tokenizer.
            mesh: the devices that share each batch.
            recipes: may change the optimizer.

        Raises:
            UserError: the texts are shorter than a single batch.
        """
        self.dataset = dataset
        self.mesh = mesh
        self.encoder = TextEncoder(dataset.tokenizer)
        self._config = config
        self._recipes = recipes
        names = [name for name in ("train", "unsupervised") if name in dataset.splits]
        self._splits = [dataset.split(name) for name in names]
        self._model = LanguageModel.from_config(
            config.model, config.language_model, self.encoder.vocab_size
        )
        tokens = sum(len(split.token_ids) + len(split) for split in self._splits)
        rows, length = config.data.batch_size, config.language_model.bptt_length
        self._evaluator = PerplexityEvaluator(self._model, rows, length, mesh)
        self.steps_per_epoch = pieces_per_epoch(tokens, rows, length)
        if self.steps_per_epoch == 0:
            raise UserError(
                f"config.data.batch_size = {rows} streams of config.language_model.bptt_length = "
                f"{length} tokens are more than the {tokens} tokens of the training text; lower "
                "either"
            )
        self._units = rows * length * self._model.directions
        self.units_per_epoch = self._units * self.steps_per_epoch

    def init_params(self, key: jax.Array) -> Any:
        """Draws the initial parameters."""
        return init_params(self._model, key)

    def initial_carry(self) -> Carry:
        """Returns the states of all streams before the first token."""
        return self._model.initial_carry(self._config.data.batch_size)

    def make_optimizer(self, total_steps: int) -> optax.GradientTransformation:
        """See `training/optimizer.py`."""
        settings = self._config.optimizer
        return make_optimizer(settings, total_steps, self.steps_per_epoch, self._recipes)

    def make_step(
        self, optimizer: optax.GradientTransformation
    ) -> Callable[[TrainState, StreamBatch], tuple[TrainState, MetricSums]]:
        """See `make_language_model_step`."""
        ema_decay = self._config.training.ema_decay
        step = make_language_model_step(
            self._model, optimizer, self._config.language_model, ema_decay
        )
        sharding = replicated(self.mesh)

        def train_step(state: TrainState, batch: StreamBatch) -> tuple[TrainState, MetricSums]:
            state, metrics = step(state, batch)
            carry = jax.lax.with_sharding_constraint(state.carry, sharding)
            return state.replace(carry=carry), metrics

        return train_step

    def units_before(self, epoch: int, batch: int) -> int:
        """Counts the tokens in an epoch's first batches."""
        return batch * self._units

    def example_batches(self) -> list[StreamBatch]:
        """Returns one batch: all have the same shape."""
        return [batch for _, batch in itertools.islice(self.batches(0, 0), 1)]

    def batches(self, epoch: int, first: int) -> Iterator[tuple[int, StreamBatch]]:
        """Yields an epoch's batches from `first` on, each with its number of tokens."""
        config = self._config
        streams = Streams(
            running_text(self._splits, config.training.seed, epoch),
            config.data.batch_size,
            config.language_model.bptt_length,
            self._model.directions,
        )
        for k in range(first, len(streams)):
            yield self._units, place_batch(streams[k], self.mesh)

    def metrics(self, sums: MetricSums) -> dict[str, float]:
        """Returns mean cross-entropy and perplexity; estimates if the softmax is sampled."""
        loss = sums.compute()["loss"]
        return {"loss": loss, "perplexity": float(np.exp(loss))}

    def score_development(self, params: Any) -> tuple[dict[str, float], float]:
        """Returns exact development loss and perplexity; the score is minus the loss."""
        scored = self._evaluator.evaluate(params, self.dataset.split("development"))
        return {name: scored[name] for name in ("loss", "perplexity")}, -scored["loss"]

    def show_score(self, score: float) -> str:
        """Formats a perplexity."""
        return f"perplexity {np.exp(-score):.1f}"


def make_language_model_step(
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    settings: LanguageModelConfig,
    ema_decay: float = 0.0,
) -> Callable[[TrainState, StreamBatch], tuple[TrainState, MetricSums]]:
    """Makes the step as a pure function `(state, batch) -> (state, metrics)`, not yet compiled.

    The loss is the mean cross-entropy of all targets of all directions, plus activation and
    temporal activation regularisation (Merity et al. 2017, equations 1 and 2, with mean squares).

    Args:
        model: the model to train; its states are the carry of the training state.
        optimizer: from gradients to updates.
        settings: the number of softmax samples, and the penalties.
        ema_decay: decay of the averaged parameters, if the state has them.
    """
    vocab = model.vocab_size

    def loss_and_rest(
        params: Any, carry: Carry, batch: StreamBatch, key: jax.Array
    ) -> tuple[jax.Array, tuple[MetricSums, Carry]]:
        dropout_key, candidates_key = jax.random.split(key)
        queries, outputs, carry = read_piece(model, params, batch.token_ids, carry, dropout_key)
        targets, weights = batch.targets.reshape(-1), batch.target_mask.reshape(-1)
        loss, estimate = sampled_cross_entropy(
            queries.reshape(-1, queries.shape[-1]),
            targets,
            weights.astype(jnp.float32),
            *softmax_weights(params),
            draw_candidates(candidates_key, vocab, settings.softmax_samples),
            expected_log_counts(targets, vocab, settings.softmax_samples),
        )
        count = jnp.sum(weights, dtype=jnp.int32)
        sums = MetricSums(estimate, count.astype(jnp.float32), jnp.zeros((), jnp.int32), count)
        loss /= sums.weight
        if settings.activation_penalty > 0:
            loss += settings.activation_penalty * jnp.mean(jnp.square(outputs))
        if settings.temporal_penalty > 0:
            change = outputs[:, :, 1:] - outputs[:, :, :-1]
            loss += settings.temporal_penalty * jnp.mean(jnp.square(change))
        return loss, (sums, carry)

    def train_step(state: TrainState, batch: StreamBatch) -> tuple[TrainState, MetricSums]:
        key = jax.random.fold_in(state.key, state.step)
        gradient = jax.value_and_grad(loss_and_rest, has_aux=True)
        (loss, (sums, carry)), grads = gradient(state.params, state.carry, batch, key)
        state = state.apply_gradients(grads, optimizer, loss, ema_decay)
        return state.replace(carry=carry), sums

    return train_step
