"""What the recurrent layers refuse: sizes, inputs and lengths that cannot be meant."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.errors import UserError


def check_attributes(layer: Any) -> None:
    """Makes sure that a layer's own sizes and rates are within their ranges; `UserError` if not."""
    for name in ("dropout", "recurrent_dropout"):
        if not 0.0 <= getattr(layer, name) < 1.0:
            raise UserError(f"{name} = {getattr(layer, name)}: must be at least 0 and below 1")
    for name in ("hidden_size", "num_layers"):
        if getattr(layer, name) < 1:
            raise UserError(f"{name} = {getattr(layer, name)}: must be at least 1")


def check_sizes(
    params: Mapping[str, Any], name: str, gate: str, features: int, hidden_size: int
) -> None:
    """Makes sure that a cell's parameters, where there are any yet, are of these sizes.

    Anything else that is wrong with them Flax names itself.

    Args:
        params: of the cell, perhaps in boxes (`nn.Partitioned`); empty while they are being made.
        name: of the cell, for the message.
        gate: any of the cell's gates.
        features: of its inputs.
        hidden_size: of its state.

    Raises:
        UserError: they are of other sizes.
    """
    kernel = nn.unbox(params).get(f"i{gate}", {}).get("kernel")
    if kernel is None or jnp.ndim(kernel) != 2 or kernel.shape == (features, hidden_size):
        return
    width, hidden = kernel.shape
    raise UserError(
        f"{features} features, hidden_size = {hidden_size}: the parameters {name} are for {width} "
        f"features, hidden_size = {hidden}; give inputs of that width to a layer of that size, or "
        "initialise anew"
    )


def checked_inputs(
    inputs: jax.Array, lengths: jax.Array | None, time_major: bool
) -> tuple[jax.Array, jax.Array | None]:
    """Inputs as [T, B, E] and lengths as i32[B], or a `UserError`."""
    x = jnp.asarray(inputs)
    if x.ndim != 3:
        raise UserError(f"inputs must have three axes (batch, time, features), not {x.shape}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise UserError(f"inputs must be floating point, not {x.dtype}: embed token ids first")
    x = x if time_major else x.swapaxes(0, 1)
    if lengths is None:
        return x, None
    width, batch = x.shape[:2]
    if not isinstance(lengths, jax.core.Tracer):
        known = np.ravel(lengths)
        bad = np.flatnonzero((known < 1) | (known > width))
        if bad.size > 0:
            raise UserError(
                f"lengths must be from 1 to {width} (the time axis of inputs), but row {bad[0]} "
                f"has {known[bad[0]]}"
            )
    lengths = jnp.asarray(lengths)
    if lengths.shape != (batch,) or not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise UserError(
            f"lengths must be {batch} integers (one a row), not {lengths.dtype}{lengths.shape}"
        )
    return x, lengths.astype(jnp.int32)
