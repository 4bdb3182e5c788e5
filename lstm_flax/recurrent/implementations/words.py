"""16-bit floats stored as integers, for arrays that a loop writes to.

XLA's CPU compiler has no `dynamic_update_slice` for bfloat16: it converts the whole array to
float32 and back at each step of a loop. The same bits as unsigned integers are written in place.

>>> import jax.numpy as jnp
>>> halves = jnp.array([1.0, -2.5], jnp.bfloat16)
>>> as_words(halves).dtype, bool(jnp.all(from_words(as_words(halves), halves.dtype) == halves))
(dtype('uint16'), True)
>>> as_words(jnp.ones(2)).dtype
dtype('float32')
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def word_dtype(dtype: Any) -> jnp.dtype:
    """Returns the dtype of a loop's array: uint16 for 16-bit floats, others unchanged."""
    return jnp.dtype(jnp.uint16 if jnp.finfo(dtype).bits == 16 else dtype)


def as_words(array: jax.Array) -> jax.Array:
    """Reinterprets the bits as `word_dtype`; any shape."""
    return lax.bitcast_convert_type(array, word_dtype(array.dtype))


def from_words(array: jax.Array, dtype: Any) -> jax.Array:
    """Inverts `as_words`; `dtype` is the array's original dtype."""
    return lax.bitcast_convert_type(array, dtype)
