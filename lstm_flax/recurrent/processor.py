"""The dtype whose products are fast on this machine.

>>> products_dtype("float32").name
'float32'
"""

import functools
import logging
from pathlib import Path

import jax
import jax.numpy as jnp

logger = logging.getLogger(__name__)

_CPU_INFO = Path("/proc/cpuinfo")  # Linux
_BFLOAT16_PRODUCTS = frozenset(["avx512_bf16", "amx_bf16"])  # vdpbf16ps and AMX tiles


def products_dtype(requested: str) -> jnp.dtype:
    """Returns the dtype of a model's products: the one requested or, with `auto`, the faster one.

    `auto` is bfloat16 on CPUs with bfloat16 instructions and float32 elsewhere.

    Args:
        requested: `auto`, `float32` or `bfloat16`.
    """
    if requested != "auto":
        return jnp.dtype(requested)
    fast = jax.default_backend() == "cpu" and multiplies_bfloat16()
    return jnp.dtype(jnp.bfloat16 if fast else jnp.float32)


@functools.cache
def multiplies_bfloat16() -> bool:
    """Returns True if this CPU can multiply bfloat16, as far as Linux reports."""
    try:
        return not _BFLOAT16_PRODUCTS.isdisjoint(_CPU_INFO.read_text().split())
    except (OSError, UnicodeDecodeError):
        return False


def warn_of_slow_dtype(dtype: str) -> None:
    """Warns if bfloat16 is used on a CPU that has to convert it before each product."""
    if dtype == "bfloat16" and jax.default_backend() == "cpu" and not multiplies_bfloat16():
        logger.warning(
            "config.model.dtype = 'bfloat16': this processor has no bfloat16 instructions, so "
            "float32 is faster; a run that begins here with auto uses it"
        )
