"""Chooses the implementation that computes a recurrent layer, and calls it.

>>> choose_implementation("scan", "LSTM", jnp.float32, recurrent_dropout=True)
'scan'
"""

import functools
import logging
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.errors import UserError
from lstm_flax.recurrent.implementations.cudnn import cudnn_layers, why_not_cudnn
from lstm_flax.recurrent.implementations.fused import fused_layer
from lstm_flax.recurrent.implementations.scan import DirectionStart, scan_layer
from lstm_flax.recurrent.implementations.varying import vary_like
from lstm_flax.recurrent.masking import sequence_mask

_logger = logging.getLogger(__name__)


def choose_implementation(
    requested: str, cell: str, dtype: Any, recurrent_dropout: bool, projected: bool = False
) -> str:
    """Chooses the implementation for a call: the one requested or, with `auto`, the fastest.

    >>> choose_implementation("auto", "GRU", jnp.float32, recurrent_dropout=False)
    'scan'

    `auto` picks cuDNN in a process with one NVIDIA GPU (its call cannot be split across devices),
    the fused LSTM elsewhere, and the scan for the other cells and for projections. The choice is
    logged once. Requesting `cudnn` by name also gives correct results on sharded rows, but every
    device then computes all of them.

    Args:
        requested: `auto`, `scan`, `fused` or `cudnn`.
        cell: `LSTM`, `GRU` or `RNN`.
        dtype: dtype of the products.
        recurrent_dropout: True if h_{t-1} is dropped in this call.
        projected: True for an LSTM with `proj_size`.

    Raises:
        UserError: the requested implementation cannot run this; the message says why.
    """
    obstacles: dict[str, str | None] = {"scan": None}
    if projected:
        obstacles |= {
            "fused": "fused has no projections (proj_size)",
            "cudnn": "jax.experimental.rnn has no projections (proj_size)",
        }
    else:
        is_lstm = cell == "LSTM"
        obstacles["fused"] = None if is_lstm else f"fused is for the LSTM, not for the {cell}"
        obstacles["cudnn"] = why_not_cudnn(cell, dtype, recurrent_dropout)
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


def run_layers(
    implementation: str,
    x: jax.Array,
    cells: Sequence[nn.Module],
    starts: Sequence[DirectionStart],
    lengths: jax.Array | None,
    has_initial_h: bool,
    bidirectional: bool = False,
) -> tuple[jax.Array, Sequence[tuple[jax.Array, ...]]]:
    """Computes one layer (with `cudnn`, one or more) using the chosen implementation.

    Args:
        implementation: as returned by `choose_implementation`.
        x: [T, B, E].
        cells: Flax's cells, bound, one for each direction, layer by layer.
        starts: initial states and dropout, in the same order.
        lengths: i32[B] from 1 to T, or None if all steps are valid.
        has_initial_h: False if h_0 is known to be zero.
        bidirectional: True if D = 2.

    Returns:
        outputs [T, B, D*H], zero past each row's length, and each direction's final states.
    """
    if implementation == "scan":
        mask = None if lengths is None else sequence_mask(lengths, x.shape[0]).T[..., None]
        return scan_layer(x, cells, starts, mask)
    params = vary_like([cell.variables["params"] for cell in cells], x)
    if implementation == "fused":
        return fused_layer(x, params, starts, lengths, has_initial_h)
    return cudnn_layers(x, params, starts, lengths, bidirectional)


@functools.cache
def _log_choice(cell: str, choice: str, dtype: str, platform: str) -> None:
    """Logs each combination once, thanks to the cache."""
    _logger.info("%s in %s on %s: implementation %r", cell, dtype, platform, choice)
