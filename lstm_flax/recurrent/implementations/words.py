"""16-bit floats as the words that hold them, for arrays that a loop writes to.

XLA's CPU compiler knows no `dynamic_update_slice` of bfloat16: it converts the whole array to
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
    """The dtype of a loop's array: uint16 for floats of 16 bits, others as they are."""
    return jnp.dtype(jnp.uint16 if jnp.finfo(dtype).bits == 16 else dtype)


def as_words(array: jax.Array) -> jax.Array:
    """The same bits in `word_dtype`; any shape."""
    return lax.bitcast_convert_type(array, word_dtype(array.dtype))


def from_words(array: jax.Array, dtype: Any) -> jax.Array:
    """The inverse of `as_words`; `dtype` is what the array had."""
    return lax.bitcast_convert_type(array, dtype)
