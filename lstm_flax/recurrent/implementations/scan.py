"""The reference implementation: Flax's own cells, scanned with `nn.scan`.

>>> cell = nn.LSTMCell(4)
>>> start = DirectionStart(jnp.zeros((2, 4)), jnp.zeros((2, 4)), drop=None, reverse=False)
>>> variables = cell.init(jax.random.key(0), to_carry(start), jnp.ones((2, 3)))
>>> x, mask = jnp.ones((5, 2, 3)), jnp.ones((5, 2, 1), bool)
>>> outputs, [(h_n, c_n)] = scan_layer(x, [cell.bind(variables)], [start], mask)
>>> outputs.shape, h_n.shape
((5, 2, 4), (2, 4))
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class DirectionStart(NamedTuple):
    """The state from which one direction of a layer starts.

    Attributes:
        h_0: [B, H], or [B, P] with a projection.
        c_0: f32[B, H]; None except for the LSTM.
        drop: recurrent dropout mask shaped like h_0, with a leading axis T if each step has its
            own mask; or None.
        reverse: True if time runs backwards.
    """

    h_0: jax.Array
    c_0: jax.Array | None
    drop: jax.Array | None
    reverse: bool


def to_carry(start: DirectionStart) -> Any:
    """Returns the carry in the order of Flax's cells: (c, h) for the LSTM, h for the others.

    >>> to_carry(DirectionStart("h", "c", None, False))
    ('c', 'h')
    """
    return start.h_0 if start.c_0 is None else (start.c_0, start.h_0)


def scan_layer(
    x: jax.Array,
    cells: Sequence[nn.Module],
    starts: Sequence[DirectionStart],
    mask: jax.Array | None,
) -> tuple[jax.Array, list[tuple[jax.Array, ...]]]:
    """Computes all directions of one layer.

    >>> start = DirectionStart(jnp.zeros((2, 4)), None, drop=None, reverse=True)
    >>> cell = nn.GRUCell(4)
    >>> variables = cell.init(jax.random.key(0), to_carry(start), jnp.ones((2, 3)))
    >>> outputs, [(h_n,)] = scan_layer(jnp.ones((5, 2, 3)), [cell.bind(variables)], [start], None)
    >>> bool(jnp.all(outputs[0] == h_n))  # a backward direction ends at the first step
    True

    Args:
        x: [T, B, E].
        cells: Flax's cells, bound, one for each direction.
        starts: initial states and dropout, in the same order.
        mask: bool[T, B, 1], or None if all steps are valid.

    Returns:
        outputs [T, B, D*H] of the dtype of `x`, zero where the mask is False, and each direction's
        final states: h_n, and c_n for the LSTM, each [B, H].
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
    """Runs Flax's cell over time.

    Where the mask is False, a row's state does not change. A backward direction therefore keeps its
    initial state through the padding until it reaches the row's last step, and no row has to be
    reversed.

    The scan stacks only float32 or wider values, even for a cell that computes in bfloat16: XLA's
    CPU compiler would convert a whole stack of 16-bit floats at every step. The values that a
    step's derivative needs are recomputed from its wide inputs.

    Args:
        cell: Flax's cell, bound.
        x: [T, B, E].
        mask: bool[T, B, 1], or None if all steps are valid.
        start: initial states, recurrent dropout, direction.

    Returns:
        outputs [T, B, H] of the dtype of `x`, zero where the mask is False, and the final states
        h_n, and c_n for the LSTM, each [B, H].
    """
    has_cell_state = start.c_0 is not None
    first = to_carry(start)
    dtypes = jax.tree.map(lambda state: state.dtype, first)
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def widened(tree: Any) -> Any:
        return jax.tree.map(lambda array: array.astype(wide), tree)

    def step(
        cell: nn.Module, carry: Any, inputs: tuple[jax.Array, jax.Array | None], drop: Any
    ) -> tuple[Any, jax.Array]:
        x_t, valid = inputs
        before = jax.tree.map(lambda state, dtype: state.astype(dtype), carry, dtypes)
        after = _call_cell(cell, before, x_t.astype(x.dtype), drop)
        after = jax.tree.map(lambda state, dtype: state.astype(dtype), after, dtypes)
        if valid is not None:
            after = jax.tree.map(lambda new, old: jnp.where(valid, new, old), after, before)
        h = after[1] if has_cell_state else after
        return widened(after), widened(h.astype(x.dtype))

    per_step = start.drop is not None and start.drop.ndim == 3
    scan = nn.scan(
        step if x.dtype == wide else nn.remat(step),
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=(0, 0 if per_step else nn.broadcast),
        reverse=start.reverse,
    )
    carry, outputs = scan(cell, widened(first), (widened(x), mask), start.drop)
    carry = jax.tree.map(lambda state, dtype: state.astype(dtype), carry, dtypes)
    outputs = outputs.astype(x.dtype)
    if mask is not None:
        outputs = jnp.where(mask, outputs, jnp.zeros((), outputs.dtype))
    return outputs, (carry[1], carry[0]) if has_cell_state else (carry,)


def _call_cell(cell: nn.Module, carry: Any, x_t: jax.Array, drop: Any) -> Any:
    """Runs one step of the cell with dropout on the state that enters its gates."""
    if drop is None:
        return cell(carry, x_t)[0]
    if isinstance(carry, tuple):
        c, h = carry
        return cell((c, h * drop), x_t)[0]
    if isinstance(cell, nn.SimpleCell):
        return cell(carry * drop, x_t)[0]

    # The GRU also carries its state over past the gates, and dropout there would erase memory, so
    # only the state entering the products is dropped.
    state_products = ("hr", "hz", "hn")

    def drop_input(next_call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if context.module.name in state_products:
            args = (args[0] * drop,)
        return next_call(*args, **kwargs)

    with nn.intercept_methods(drop_input):
        return cell(carry, x_t)[0]
