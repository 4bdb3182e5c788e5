"""The training step: one batch, one update. `jax.jit` compiles it once per batch shape."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import optax

from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.training.train_state import TrainState
from lstm_flax.types import Batch

# (params, batch, key) -> (loss f32[], metrics); the key is for the loss's random draws.
LossFn: TypeAlias = Callable[[Any, Batch, jax.Array], tuple[jax.Array, MetricSums]]
# The same plus the loss's gradient with respect to params: ((loss, metrics), gradient).
GradientFn: TypeAlias = Callable[[Any, Batch, jax.Array], tuple[tuple[jax.Array, MetricSums], Any]]


def plain_gradient(loss_fn: LossFn) -> GradientFn:
    """Returns `jax.value_and_grad` of the loss, with its metrics passed through: the default."""
    return jax.value_and_grad(loss_fn, has_aux=True)


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float = 0.0,
    gradient: Callable[[Any], GradientFn] = plain_gradient,
) -> Callable[[TrainState, Batch], tuple[TrainState, MetricSums]]:
    """Makes the training step: a pure function for the caller to compile.

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
        loss_fn: for example a `ClassificationLoss`.
        optimizer: from gradients to updates.
        ema_decay: decay of the averaged parameters, if the state has them.
        gradient: turns `loss_fn` into a function that computes loss, metrics and gradient; a recipe
            that perturbs inputs or adds losses passes its own.

    Returns:
        `(state, batch) -> (state, metrics)`. `metrics` are sums over the batch: add several with
        `merge`, then divide once with `compute`.
    """
    loss_and_gradient = gradient(loss_fn)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, MetricSums]:
        key = jax.random.fold_in(state.key, state.step)
        (loss, metrics), grads = loss_and_gradient(state.params, batch, key)
        return state.apply_gradients(grads, optimizer, loss, ema_decay), metrics

    return train_step
