"""Lengths of padded sequences as masks and index maps. Padding stands on the right."""

import jax
import jax.numpy as jnp


def sequence_mask(lengths: jax.Array, width: int) -> jax.Array:
    """Which time steps belong to each row.

    >>> sequence_mask(jnp.array([1, 3]), 3).astype(int)
    Array([[1, 0, 0],
           [1, 1, 1]], dtype=int32)

    Args:
        lengths: i32[B], valid steps of each row.
        width: T, steps of the padded batch.

    Returns:
        bool[B, T], True within a row's length.
    """
    return jnp.arange(width) < jnp.asarray(lengths)[:, None]


def reverse_within_length(values: jax.Array, lengths: jax.Array) -> jax.Array:
    """Reverses each row's valid steps in time and leaves its padding where it is.

    >>> reverse_within_length(jnp.array([[1, 2, 3, 0]]), jnp.array([3]))
    Array([[3, 2, 1, 0]], dtype=int32)

    Args:
        values: [B, T, ...].
        lengths: i32[B], valid steps of each row.

    Returns:
        [B, T, ...], of the dtype of `values`.
    """
    steps = jnp.arange(values.shape[1])[None, :]
    ends = jnp.asarray(lengths)[:, None]
    source = jnp.where(steps < ends, ends - 1 - steps, steps)
    return jnp.take_along_axis(values, source.reshape(source.shape + (1,) * (values.ndim - 2)), 1)
