"""Masks from the lengths of padded sequences. Padding is on the right.

Masks are applied to embeddings (`models/embedding.py`), to the inputs of the layers (`stack.py`),
to their states (`implementations/`; `fused.py` makes its own mask, cuDNN takes the lengths), and in
`models/pooling.py`.

>>> sequence_mask(jnp.array([2]), 3)
Array([[ True,  True, False]], dtype=bool)
"""

import jax
import jax.numpy as jnp


def sequence_mask(lengths: jax.Array, width: int) -> jax.Array:
    """Marks the valid time steps of each row.

    >>> sequence_mask(jnp.array([1, 3]), 3).astype(int)
    Array([[1, 0, 0],
           [1, 1, 1]], dtype=int32)

    Args:
        lengths: i32[B], valid steps of each row.
        width: T, steps of the padded batch.

    Returns:
        bool[B, T], True within a row's length.
    """
    return jnp.arange(width)[None] < jnp.asarray(lengths)[:, None]
