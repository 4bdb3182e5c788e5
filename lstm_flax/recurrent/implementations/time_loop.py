"""A loop over time for the directions of a layer, and access to its arrays [T, B, n].

>>> total = run_steps(3, lambda direction, step, carry, _: (carry + step, None), [0, 10], None)[0]
>>> [int(carry) for carry in total]
[3, 13]
>>> array = put(jnp.zeros((3, 1, 4)), jnp.ones((1, 2)), jnp.array(1), column=2)
>>> at(array, 1).tolist()
[[0.0, 0.0, 1.0, 1.0]]
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lstm_flax.recurrent.implementations.words import as_words, from_words


def run_steps(
    steps: int | jax.Array, step_direction: Callable[..., Any], carries: list[Any], shared: Any
) -> tuple[list[Any], Any]:
    """Runs `step_direction(direction, step, carry, shared)` for all directions and steps."""

    def step(index: jax.Array, loop: tuple[list[Any], Any]) -> tuple[list[Any], Any]:
        carries, shared = loop
        new = []
        for direction, carry in enumerate(carries):
            carry, shared = step_direction(direction, index, carry, shared)
            new.append(carry)
        return new, shared

    return lax.fori_loop(0, steps, step, (carries, shared))


def time_of(direction: int, step: jax.Array, steps: int | jax.Array) -> jax.Array:
    """Returns the time at which a direction takes a step: forward, or from the last time back."""
    return steps - 1 - step if direction == 1 else step


def first_time(direction: int, lengths: jax.Array | None, width: int, batch: int) -> jax.Array:
    """Returns i32[B]: the time at which each row begins, in its direction."""
    if direction == 1 and lengths is not None:
        return lengths - 1
    return jnp.full((batch,), (width - 1) * direction, jnp.int32)


def drop_at(h: jax.Array, drop: jax.Array | None, t: jax.Array) -> jax.Array:
    """Applies recurrent dropout to [B, H] at time t: one t for all rows, or i32[B], one per row."""
    if drop is None:
        return h
    if drop.ndim == 3 and jnp.ndim(t) == 1:
        drop = drop[t, jnp.arange(drop.shape[1])]
    elif drop.ndim == 3:
        drop = from_words(at(as_words(drop), t), drop.dtype)
    return h * drop.astype(h.dtype)


def multiply(left: jax.Array, right: jax.Array, dtype: Any) -> jax.Array:
    """Returns the matrix product, its sums in `dtype`."""
    return jnp.matmul(left, right, preferred_element_type=dtype)


def kernel_gradient(entering: jax.Array, dz: jax.Array, dtype: Any) -> jax.Array:
    """Returns [n, 4H] from [T, B, n] and [T, B, 4H], with no reshape: rows may be sharded."""
    axes = ((0, 1), (0, 1))
    return lax.dot_general(entering, dz, (axes, ((), ())), preferred_element_type=dtype)


def at(array: jax.Array, t: jax.Array) -> jax.Array:
    """Reads the [B, n] values at time t."""
    return lax.dynamic_index_in_dim(array, t, axis=0, keepdims=False)


def put(array: jax.Array, values: jax.Array, t: jax.Array, column: int) -> jax.Array:
    """Writes [B, n] values at time t, starting at a column; in place within a loop."""
    index = t.dtype.type  # all three indices share t's dtype: int64 if JAX has 64 bits enabled
    return lax.dynamic_update_slice(array, values[None], (t, index(0), index(column)))


def put_side_by_side(array: jax.Array, t: jax.Array, *parts: jax.Array) -> jax.Array:
    """Writes [B, n] values at time t: one after the other on a CPU, in one kernel elsewhere."""

    def one_by_one(array: jax.Array, t: jax.Array, *parts: jax.Array) -> jax.Array:
        for index, part in enumerate(parts):
            array = put(array, part, t, index * part.shape[-1])
        return array

    def joined(array: jax.Array, t: jax.Array, *parts: jax.Array) -> jax.Array:
        return put(array, jnp.concatenate(parts, axis=-1), t, 0)

    return lax.platform_dependent(array, t, *parts, cpu=one_by_one, default=joined)
