"""Merges the two directions of a bidirectional layer into one sequence.

>>> outputs = jnp.array([[1.0, 2.0, 10.0, 20.0]])  # forward, then backward
>>> merge_directions(outputs, "sum"), merge_directions(outputs, "mean")
(Array([[11., 22.]], dtype=float32), Array([[ 5.5, 11. ]], dtype=float32))
"""

import jax
import jax.numpy as jnp

MERGES = ("concat", "sum", "mean")


def merge_directions(outputs: jax.Array, merge: str) -> jax.Array:
    """Merges the outputs of two directions that are concatenated on the last axis.

    Keras's `Bidirectional` offers the same choices as `merge_mode` (`mean` is its `ave`); torch and
    cuDNN only concatenate.

    >>> merge_directions(jnp.ones((2, 3, 8)), "concat").shape
    (2, 3, 8)
    >>> merge_directions(jnp.ones((2, 3, 8)), "mean").shape
    (2, 3, 4)

    Args:
        outputs: [..., 2*H], forward then backward.
        merge: `concat`, `sum` or `mean`.

    Returns:
        The outputs unchanged for `concat`, else [..., H].
    """
    if merge == "concat":
        return outputs
    forward, backward = jnp.split(outputs, 2, axis=-1)
    total = forward + backward
    return total if merge == "sum" else total / 2
