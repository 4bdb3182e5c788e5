"""JAX's settings as the commands need them."""

import logging
import os

import jax

from lstm_flax.devices.compilation import keep_compiled_programs
from lstm_flax.errors import UserError, one_line

logger = logging.getLogger(__name__)

# The packages that training is built on do not run under other values of these.
_NEEDED = {
    "jax_disable_jit": False,  # programs are compiled ahead of their first use
    "jax_numpy_rank_promotion": "allow",
    "jax_numpy_dtype_promotion": "standard",
}


def prepare_jax() -> None:
    """Makes JAX ready for a command: a device found, settings as needed, programs kept on disk.

    Raises:
        UserError: JAX finds no device of the kind that JAX_PLATFORMS names, or no cache folder is
            known.
    """
    for name, value in _NEEDED.items():
        if getattr(jax.config, name) != value:
            logger.warning("%s is set to %s here, whatever the environment says", name, value)
            jax.config.update(name, value)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        wanted = os.environ.get("JAX_PLATFORMS")
        raise UserError(
            f"JAX_PLATFORMS={wanted}: JAX finds no such device ({one_line(error)}); unset it, or "
            "install the jax of that device"
        ) from error
    keep_compiled_programs()
