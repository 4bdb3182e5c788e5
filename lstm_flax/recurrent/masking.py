"""Lengths of padded sequences as masks. Padding stands on the right."""

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
