"""The reference implementation: Flax's own cells, scanned with `nn.scan`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class DirectionStart(NamedTuple):
    """What one direction of one layer starts from.

    Attributes:
        h_0: [B, H].
        c_0: f32[B, H]; None but for the LSTM.
        drop: recurrent dropout mask [B, H], [T, B, H] with one mask a step, or None.
        reverse: whether time runs backwards.
    """

    h_0: jax.Array
    c_0: jax.Array | None
    drop: jax.Array | None
    reverse: bool


def to_carry(start: DirectionStart) -> Any:
    """The carry in the order of Flax's cells: (c, h) for the LSTM, h for the others."""
    return start.h_0 if start.c_0 is None else (start.c_0, start.h_0)


def scan_layer(
    x: jax.Array,
    cells: Sequence[nn.Module],
    starts: Sequence[DirectionStart],
    mask: jax.Array | None,
) -> tuple[jax.Array, list[tuple[jax.Array, ...]]]:
    """One layer, all its directions: outputs [T, B, D*H] and each direction's final states.

    See `_scan_direction`; `cells` and `starts` have one entry a direction.
    """
    outputs, finals = [], []
    for cell, start in zip(cells, starts, strict=True):
        output, final = _scan_direction(cell, x, mask, start)
        outputs.append(output)
        finals.append(final)
    return jnp.concatenate(outputs, axis=-1), finals


def _scan_direction(
    cell: nn.Module, x: jax.Array, mask: jax.Array | None, start: DirectionStart
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """The reference: Flax's cell over time.

    A row's state is frozen where the mask is False, so that a backward pass over right padding
    keeps its initial state until the row's own last step: no row has to be reversed.

    Args:
        cell: Flax's cell, bound.
        x: [T, B, E].
        mask: bool[T, B, 1], or None where all steps are valid.
        start: initial states, recurrent dropout, direction.

    Returns:
        outputs [T, B, H] of the dtype of `x`, zero where the mask is False, and the final states
        h_n, and c_n for the LSTM, each [B, H].
    """
    has_cell_state = start.c_0 is not None

    def step(
        cell: nn.Module, carry: Any, inputs: tuple[jax.Array, jax.Array | None], drop: Any
    ) -> tuple[Any, jax.Array]:
        x_t, valid = inputs
        new = _call_cell(cell, carry, x_t, drop)
        new = jax.tree.map(lambda after, before: after.astype(before.dtype), new, carry)
        if valid is not None:
            new = jax.tree.map(lambda after, before: jnp.where(valid, after, before), new, carry)
        return new, (new[1] if has_cell_state else new).astype(x.dtype)

    per_step = start.drop is not None and start.drop.ndim == 3
    scan = nn.scan(
        step,
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=(0, 0 if per_step else nn.broadcast),
        reverse=start.reverse,
    )
    carry, outputs = scan(cell, to_carry(start), (x, mask), start.drop)
    if mask is not None:
        outputs = jnp.where(mask, outputs, jnp.zeros((), outputs.dtype))
    return outputs, (carry[1], carry[0]) if has_cell_state else (carry,)


def _call_cell(cell: nn.Module, carry: Any, x_t: jax.Array, drop: Any) -> Any:
    """One step of the cell with dropout on the state that enters its gates."""
    if drop is None:
        return cell(carry, x_t)[0]
    if isinstance(carry, tuple):
        c, h = carry
        return cell((c, h * drop), x_t)[0]
    if isinstance(cell, nn.SimpleCell):
        return cell(carry * drop, x_t)[0]

    # The GRU's state is also carried over, past the gates, and dropout there would be amnesia:
    # only what enters the products of the state is dropped.
    state_products = ("hr", "hz", "hn")

    def drop_input(next_call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if context.module.name in state_products:
            args = (args[0] * drop,)
        return next_call(*args, **kwargs)

    with nn.intercept_methods(drop_input):
        return cell(carry, x_t)[0]
