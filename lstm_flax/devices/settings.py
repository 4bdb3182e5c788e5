"""The JAX settings that the commands need."""

import logging
import os
from typing import Any

import jax

from lstm_flax.devices.program_cache import keep_compiled_programs
from lstm_flax.errors import UserError, one_line, some

logger = logging.getLogger(__name__)

# The packages that training relies on do not work with other values of these.
_NEEDED = {
    "jax_disable_jit": False,  # programs are compiled ahead of their first use
    "jax_no_tracing": False,
    "jax_numpy_rank_promotion": "allow",
    "jax_numpy_dtype_promotion": "standard",
}
_GUARD = "jax_transfer_guard"
_OF_DEVICES = ("JAX_PLATFORMS", "JAX_NUM_CPU_DEVICES")


def prepare_jax() -> None:
    """Prepares JAX for a command: finds a device, fixes settings, keeps programs on disk.

    Raises:
        UserError: JAX finds no device of the kind named in the environment, no cache folder is
            known, or the cache of compiled programs holds links, pipes or devices.
    """
    needed: dict[str, Any] = dict(_NEEDED)
    if str(getattr(jax.config, _GUARD)).startswith("disallow"):  # a guard that only logs may stay
        needed[_GUARD] = "allow"
    for name, value in needed.items():
        if getattr(jax.config, name) != value:
            logger.warning("%s is set to %s here, overriding the environment", name, value)
            jax.config.update(name, value)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        wanted = [f"{name}={os.environ[name]}" for name in _OF_DEVICES if name in os.environ]
        raise UserError(
            f"{some(wanted) or 'JAX_PLATFORMS is not set'}: JAX finds no such device "
            f"({one_line(error)}); unset it, or install jax for that device"
        ) from error
    keep_compiled_programs()
