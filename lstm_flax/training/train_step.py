"""The training step: one batch, one update. `jax.jit` compiles it once per batch shape."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import optax

from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.training.train_state import TrainState
from lstm_flax.types import Batch

# (params, batch, key) -> (loss f32[], metrics), the key for whatever the loss draws.
LossFn: TypeAlias = Callable[[Any, Batch, jax.Array], tuple[jax.Array, MetricSums]]
# The same, and the gradient of the loss by params: ((loss, metrics), gradient).
GradientFn: TypeAlias = Callable[[Any, Batch, jax.Array], tuple[tuple[jax.Array, MetricSums], Any]]


def plain_gradient(loss_fn: LossFn) -> GradientFn:
    """The default: `jax.value_and_grad` of the loss, with its metrics passed through."""
    return jax.value_and_grad(loss_fn, has_aux=True)


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float = 0.0,
    gradient: Callable[[Any], GradientFn] = plain_gradient,
) -> Callable[[TrainState, Batch], tuple[TrainState, MetricSums]]:
    """Makes the training step: a pure function, to be compiled by the caller.

    >>> import jax.numpy as jnp
    >>> def loss_fn(params, batch, key):
    ...     loss = jnp.sum((params - batch) ** 2)
    ...     return loss, MetricSums(loss, 1.0, 0, 1)
    >>> optimizer = optax.sgd(0.25)
    >>> step = jax.jit(make_train_step(loss_fn, optimizer))
    >>> state, metrics = step(TrainState.create(jnp.array(1.0), optimizer), jnp.array(3.0))
    >>> float(state.params), metrics.compute()["loss"]
    (2.0, 4.0)

    Args:
        loss_fn: such as `ClassificationLoss`.
        optimizer: from gradients to updates.
        ema_decay: of the averaged parameters, where the state has them.
        gradient: makes the function that computes loss, metrics and gradient out of `loss_fn`;
            a recipe that perturbs inputs or adds losses puts its own here.

    Returns:
        `(state, batch) -> (state, metrics)`. `metrics` are sums over the batch: add those of
        several with `merge`, divide once with `compute`.
    """
    loss_and_gradient = gradient(loss_fn)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, MetricSums]:
        key = jax.random.fold_in(state.key, state.step)
        (loss, metrics), grads = loss_and_gradient(state.params, batch, key)
        return state.apply_gradients(grads, optimizer, loss, ema_decay), metrics

    return train_step
