"""Truncated backpropagation through time (Williams & Peng 1990): cuts the states' gradient.

Each direction of each layer reads a row in chunks of k steps, counted from where it starts reading:
the row's first step for the forward direction, the row's own last step for the backward one. The
amount of padding moves no boundary. States are carried from chunk to chunk, so all values are those
of the untruncated layer; only the gradient is cut between chunks.

Gradients still reach every step through its own output. They are cut along time within a layer,
never between layers: in a stack, they can travel k steps in each layer.

The backward pass recomputes each chunk from the states at its start, so the values inside the cells
are held for k steps, not for all.

>>> from lstm_flax import LSTM
>>> inputs = jnp.ones((1, 6, 3))
>>> whole, cut = LSTM(4), LSTM(4, truncate_gradient_every=2)
>>> variables = whole.init(jax.random.key(0), inputs)
>>> def last_h(layer, inputs):
...     return jnp.sum(layer.apply(variables, inputs)[1][0])
>>> bool(jnp.allclose(last_h(whole, inputs), last_h(cut, inputs), atol=1e-6))
True
>>> [(jax.grad(last_h, 1)(layer, inputs) != 0).any(axis=-1).tolist() for layer in (whole, cut)]
[[[True, True, True, True, True, True]], [[False, False, False, False, True, True]]]
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from lstm_flax.recurrent.implementations.scan import DirectionStart
from lstm_flax.recurrent.implementations.varying import vary_like
from lstm_flax.recurrent.masking import sequence_mask


def truncated_layer(
    run: Callable[..., Any],
    x: jax.Array,
    cells: Sequence[nn.Module],
    starts: Sequence[DirectionStart],
    lengths: jax.Array | None,
    every: int,
) -> tuple[jax.Array, list[tuple[jax.Array, ...]]]:
    """Computes all directions of one layer in chunks.

    Args:
        run: computes one forward direction over a chunk: `run(x, cells, starts, lengths)`, with
            one cell and one start; lengths are from 1 to k.
        x: [T, B, E].
        cells: Flax's cells, bound, one for each direction.
        starts: initial states and dropout, in the same order.
        lengths: i32[B] from 1 to T, or None if all steps are valid.
        every: k, at least 1.

    Returns:
        outputs [T, B, D*H] of the dtype of `x`, zero past each row's length, and each direction's
        final states.
    """
    if lengths is None:
        lengths = vary_like(jnp.full(x.shape[1], x.shape[0], jnp.int32), x)
    outputs, finals = [], []
    for cell, start in zip(cells, starts, strict=True):
        if start.reverse:
            drop = start.drop
            if drop is not None and drop.ndim == 3:
                drop = reverse_rows(drop, lengths)
            forward = start._replace(drop=drop, reverse=False)
            output, final = _run_chunks(
                run, reverse_rows(x, lengths), cell, forward, lengths, every
            )
            output = reverse_rows(output, lengths)
        else:
            output, final = _run_chunks(run, x, cell, start, lengths, every)
        outputs.append(output)
        finals.append(final)
    return jnp.concatenate(outputs, axis=-1), finals


def _run_chunks(
    run: Callable[..., Any],
    x: jax.Array,
    cell: nn.Module,
    start: DirectionStart,
    lengths: jax.Array,
    every: int,
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Runs one direction from each row's first step on."""
    width = x.shape[0]
    chunks = -(-width // every)
    params, unbound = cell.variables["params"], cell.clone(parent=None, name=None)
    per_step = start.drop is not None and start.drop.ndim == 3
    # 16-bit floats stacked by a loop are all converted at every step: see `scan.py`.
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def in_chunks(array: jax.Array) -> jax.Array:
        """Reshapes [T, ...] to [chunks, k, ...], padded with zeros."""
        missing = [(0, chunks * every - width)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array.astype(wide), missing).reshape(chunks, every, *array.shape[1:])

    def run_chunk(before: Any, piece: Any) -> Any:
        first, x_chunk, drop = piece
        left = lengths - first
        own = DirectionStart(
            h_0=before[0],
            c_0=before[1] if len(before) > 1 else None,
            drop=drop.astype(x.dtype) if per_step else start.drop,
            reverse=False,
        )
        bound = unbound.bind({"params": params})
        read = jnp.clip(left, 1, every)
        outputs, [after] = run(x_chunk.astype(x.dtype), [bound], [own], read)
        # A row that has already ended reads nothing and passes its gradient through. A row that
        # continues after this chunk passes on its state without the gradient.
        here, goes_on = (left > 0)[:, None], (left > every)[:, None]
        after = jax.tree.map(lambda new, old: jnp.where(here, new, old), after, before)
        after = jax.tree.map(lambda s: jnp.where(goes_on, lax.stop_gradient(s), s), after)
        return after, jnp.where(here, outputs, 0).astype(wide)

    before = (start.h_0,) if start.c_0 is None else (start.h_0, start.c_0)
    pieces = (
        every * jnp.arange(chunks, dtype=jnp.int32),
        in_chunks(x),
        in_chunks(start.drop) if per_step and start.drop is not None else None,
    )
    final, outputs = lax.scan(jax.checkpoint(run_chunk, prevent_cse=False), before, pieces)
    return outputs.reshape(-1, *outputs.shape[2:])[:width].astype(x.dtype), final


def reverse_rows(x: jax.Array, lengths: jax.Array) -> jax.Array:
    """Reverses each row's valid steps and sets the rest to zero.

    >>> x = jnp.array([[1.0], [2.0], [3.0], [0.0]])[:, None]  # one row of 3 steps
    >>> reverse_rows(x, jnp.array([3])).ravel().tolist()
    [3.0, 2.0, 1.0, 0.0]

    Args:
        x: [T, B, F].
        lengths: i32[B], from 1 to T.
    """
    valid = sequence_mask(lengths, x.shape[0]).T[..., None]
    at = jnp.maximum(lengths[None] - 1 - jnp.arange(x.shape[0])[:, None], 0)
    return jnp.where(valid, jnp.take_along_axis(x, at[..., None], axis=0), jnp.zeros((), x.dtype))
