"""Truncated backpropagation through time (Williams & Peng 1990).

The layers read a sequence piece by piece. The states at the end of a piece are where the next one
begins, so that outputs are those of the whole sequence; but no gradient flows back through them.

>>> layer, inputs = LSTM(4), jax.random.normal(jax.random.key(0), (2, 6, 3))
>>> params = layer.init(jax.random.key(1), inputs)["params"]
>>> lengths = jnp.array([6, 3])
>>> def of_last(params, every):
...     return jnp.sum(run_truncated(layer, params, inputs, lengths, every)[1][0])
>>> whole = jnp.sum(layer.apply({"params": params}, inputs, lengths)[1][0])
>>> bool(jnp.allclose(of_last(params, 2), whole, atol=1e-6))
True
>>> kernel = lambda every: jax.grad(of_last)(params, every)["layers_0_forward"]["ii"]["kernel"]
>>> bool(jnp.allclose(kernel(6), kernel(2), atol=1e-6))
False
"""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.errors import UserError
from lstm_flax.recurrent.cells import direction_name
from lstm_flax.recurrent.layers import GRU, LSTM, RNN
from lstm_flax.recurrent.varying import vary_like


def run_truncated(
    layer: LSTM | GRU | RNN,
    params: Any,
    inputs: jax.Array,
    lengths: jax.Array,
    every: int,
    dropout_key: jax.Array | None = None,
) -> tuple[jax.Array, Any]:
    """Runs the layers as `layer.apply` does, with gradients cut every so many steps.

    Pieces are counted from each row's first step, in the backward direction from its last. The
    gradient down from layer to layer is whole. A piece keeps its inputs alone and is computed once
    more for its gradient (`jax.checkpoint`): a longer text needs little more memory.

    Args:
        layer: batch first; it is not changed.
        params: its parameters.
        inputs: [B, T, E].
        lengths: i32[B], from 1 to T.
        every: steps of a piece, at least 1; with T or more the gradient is the full one.
        dropout_key: for training; None turns dropout off. Recurrent dropout draws a mask a piece.

    Returns:
        Outputs and final states, as `layer.apply`.

    Raises:
        UserError: `every` is below 1.
    """
    if every < 1:
        raise UserError(f"gradients cut every {every} steps: a piece needs at least 1")
    one = layer.clone(num_layers=1, bidirectional=False, dropout=0.0, parent=None, name=None)
    directions = 2 if layer.bidirectional else 1
    x, finals = inputs, []
    for index in range(layer.num_layers):
        key = None if dropout_key is None else jax.random.fold_in(dropout_key, index)
        if index > 0 and key is not None:
            dropout = nn.Dropout(layer.dropout, deterministic=False)
            x = cast(jax.Array, dropout.apply({}, x, rngs={"dropout": key}))
        outputs = []
        for direction in range(directions):
            own = {direction_name(0, 0): params[direction_name(index, direction)]}
            own_key = None if key is None else jax.random.fold_in(key, direction + 1)
            read = reversed_rows(x, lengths) if direction else x
            output, final = _one_direction(one, own, read, lengths, every, own_key)
            outputs.append(reversed_rows(output, lengths) if direction else output)
            finals.append(final)
        x = jnp.concatenate(outputs, axis=-1)
    return x, jax.tree.map(lambda *states: jnp.concatenate(states), *finals)


def _one_direction(
    layer: Any, params: Any, x: jax.Array, lengths: jax.Array, every: int, key: jax.Array | None
) -> tuple[jax.Array, Any]:
    """One layer, forward: outputs [B, T, H] and final states [1, B, H]."""
    rows, steps, features = x.shape
    every = min(every, steps)
    count = -(-steps // every)
    padded = jnp.pad(x, ((0, 0), (0, count * every - steps), (0, 0)))
    pieces = padded.reshape(rows, count, every, features).swapaxes(0, 1)
    # What a loop stacks is float32 or wider: see `scan.py`.
    wide = jnp.promote_types(x.dtype, jnp.float32)

    @jax.checkpoint
    def read(state: Any, piece: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        before = jax.lax.stop_gradient(state)
        inputs, index = piece
        left = lengths - index * every
        outputs, after = layer.apply(
            {"params": params},
            inputs,
            jnp.clip(left, 1, every),
            initial_state=before,
            deterministic=key is None,
            rngs=None if key is None else {"dropout": jax.random.fold_in(key, index)},
        )
        # A row that ended before has nothing in this piece.
        goes_on = (left > 0)[:, None]
        outputs = jnp.where(goes_on[..., None], outputs.astype(wide), 0)
        after = jax.tree.map(lambda new, old: jnp.where(goes_on, new, old), after, before)
        return after, (outputs, jax.tree.map(lambda array: array.astype(wide), after))

    sizes = jax.eval_shape(lambda: layer.apply({"params": params}, x, lengths)[1])
    first = vary_like(jax.tree.map(lambda state: jnp.zeros(state.shape, state.dtype), sizes), x)
    _, (outputs, states) = jax.lax.scan(read, first, (pieces, jnp.arange(count)))
    outputs = outputs.swapaxes(0, 1).reshape(rows, count * every, -1)[:, :steps]
    last = (lengths - 1) // every  # the piece that a row ends in

    def final(states: jax.Array, size: Any) -> jax.Array:
        return states[last, :, jnp.arange(rows)].swapaxes(0, 1).astype(size.dtype)

    return outputs.astype(x.dtype), jax.tree.map(final, states, sizes)


def reversed_rows(x: jax.Array, lengths: jax.Array) -> jax.Array:
    """Each row's valid steps in the opposite order, its padding as it is.

    >>> reversed_rows(jnp.array([[1, 2, 3], [4, 5, 0]])[..., None], jnp.array([3, 2]))[..., 0]
    Array([[3, 2, 1],
           [5, 4, 0]], dtype=int32)

    Args:
        x: [B, T, F].
        lengths: i32[B], from 1 to T.
    """
    steps = jnp.arange(x.shape[1])
    source = jnp.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return jnp.take_along_axis(x, source[..., None], axis=1)
