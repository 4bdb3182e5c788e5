"""Which implementation computes a recurrent layer."""

import functools
import logging
from typing import Any

import jax
import jax.numpy as jnp

from lstm_flax.errors import UserError
from lstm_flax.recurrent.cudnn import why_not_cudnn

_logger = logging.getLogger(__name__)


def choose_implementation(requested: str, cell: str, dtype: Any, recurrent_dropout: bool) -> str:
    """The implementation of a call: the one asked for, or under `auto` the fastest that can.

    `auto` takes cuDNN in a process with one NVIDIA GPU (its call cannot be divided among devices),
    the fused LSTM elsewhere, and the scan for the other cells. The choice is logged once. `cudnn`
    asked for by name is right on sharded rows too, but every device then computes all of them.

    Args:
        requested: `auto`, `scan`, `fused` or `cudnn`.
        cell: `LSTM`, `GRU` or `RNN`.
        dtype: of the products.
        recurrent_dropout: whether h_{t-1} is dropped in this call.

    Raises:
        UserError: the implementation asked for cannot do this; the message says why.
    """
    obstacles = {
        "scan": None,
        "fused": None if cell == "LSTM" else f"fused is written for the LSTM, not for the {cell}",
        "cudnn": why_not_cudnn(cell, dtype, recurrent_dropout),
    }
    if requested == "auto":
        if obstacles["cudnn"] is None and jax.device_count() == 1:
            choice = "cudnn"
        else:
            choice = "scan" if obstacles["fused"] else "fused"
        _log_choice(cell, choice, jnp.dtype(dtype).name, jax.default_backend())
        return choice
    if requested not in obstacles:
        raise UserError(f"implementation={requested!r}: choose auto, {', '.join(obstacles)}")
    if obstacles[requested] is not None:
        raise UserError(
            f"implementation={requested!r} cannot run here: {obstacles[requested]}; choose auto"
        )
    return requested


@functools.cache
def _log_choice(cell: str, choice: str, dtype: str, platform: str) -> None:
    """Logs each combination once: the cache is what remembers."""
    _logger.info("%s in %s on %s: implementation %r", cell, dtype, platform, choice)
