"""The training step: one batch, one update, compiled once per bucket width."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lstm_flax.config import TrainingConfig
from lstm_flax.model.classifier import TextClassifier, apply_classifier
from lstm_flax.training.metrics import MetricSums
from lstm_flax.training.objectives import (
    adversarial_perturbation,
    cross_entropy,
    predicted_class,
)
from lstm_flax.training.train_state import TrainState
from lstm_flax.types import Batch


def make_train_step(
    model: TextClassifier,
    optimizer: optax.GradientTransformation,
    config: TrainingConfig,
    class_weights: jax.Array,
) -> Callable[[TrainState, Batch], TrainState]:
    """The step as a pure function `(state, batch) -> state`, not yet compiled.

    Args:
        model: whose parameters are trained.
        optimizer: from gradients to updates.
        config: label smoothing, adversarial training, the decay of the average.
        class_weights: f32[C], weight of each label's examples in the loss.
    """

    def loss_and_sums(
        params: Any, perturbation: jax.Array | None, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, MetricSums]:
        logits = apply_classifier(model, params, batch, key, perturbation)
        losses = cross_entropy(logits, batch.labels, config.label_smoothing)
        weights = class_weights[batch.labels] * batch.example_mask
        correct = (predicted_class(logits) == batch.labels) & batch.example_mask
        sums = MetricSums(
            # A filler row must not reach the sum even if its loss is not finite.
            loss=jnp.sum(jnp.where(batch.example_mask, losses, 0) * weights),
            weight=jnp.sum(weights),
            correct=jnp.sum(correct, dtype=jnp.int32),
            examples=jnp.sum(batch.example_mask, dtype=jnp.int32),
        )
        return sums.loss / sums.weight, sums

    def adversarial_gradient(
        params: Any, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, MetricSums, Any]:
        """The clean loss and sums, and the gradient of the clean plus the adversarial loss."""
        table = params["embedding"]["embedding"]
        size = config.adversarial_epsilon * jnp.sqrt(jnp.mean(jnp.square(table)))
        unperturbed = jnp.zeros((*batch.token_ids.shape, table.shape[1]))
        gradient = jax.value_and_grad(loss_and_sums, argnums=(0, 1), has_aux=True)
        (loss, sums), (clean, direction) = gradient(params, unperturbed, batch, key)
        # The same key: both passes drop the same units, or the difference would measure dropout.
        perturbation = adversarial_perturbation(direction, jax.lax.stop_gradient(size))
        adversarial, _ = jax.grad(loss_and_sums, has_aux=True)(params, perturbation, batch, key)
        weight = config.adversarial_weight
        return loss, sums, jax.tree.map(lambda a, b: a + weight * b, clean, adversarial)

    def train_step(state: TrainState, batch: Batch) -> TrainState:
        key = jax.random.fold_in(state.key, state.step)
        if config.adversarial_weight > 0:
            loss, sums, grads = adversarial_gradient(state.params, batch, key)
        else:
            gradient = jax.value_and_grad(loss_and_sums, has_aux=True)
            (loss, sums), grads = gradient(state.params, None, batch, key)
        return advance(state, optimizer, grads, loss, sums, config.ema_decay)

    return train_step


def advance(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    grads: Any,
    loss: jax.Array,
    sums: MetricSums,
    ema_decay: float,
) -> TrainState:
    """The state after one step.

    Args:
        state: before it.
        optimizer: from gradients to updates.
        grads: of the batch's loss by the parameters.
        loss: f32[], watched for being finite.
        sums: of the batch, added to the epoch's.
        ema_decay: of the averaged parameters, where the state has them.
    """
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    is_finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
    is_first_bad = (state.first_bad_step < 0) & ~is_finite
    return state.replace(
        step=state.step + 1,
        params=params,
        averaged_params=_average(state, params, ema_decay),
        opt_state=opt_state,
        epoch_sums=state.epoch_sums.merge(sums),
        first_bad_step=jnp.where(is_first_bad, state.step, state.first_bad_step),
    )


def _average(state: TrainState, params: Any, decay: float) -> Any:
    """The moving average after this step; it follows closely at first, then ever more slowly."""
    if state.averaged_params is None:
        return None
    count = state.step.astype(jnp.float32)
    rate = jnp.minimum(decay, (1 + count) / (10 + count))
    return optax.incremental_update(params, state.averaged_params, 1 - rate)
