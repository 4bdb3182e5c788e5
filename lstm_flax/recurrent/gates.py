"""Inside the cells: gates and cell states, from a layer's inputs and outputs.

Every implementation returns the states h_t. Given the previous state and the input, all steps'
gates come from one product; the LSTM's cell states are then a running sum of what the gates let in.
The values are therefore those of the implementation that ran, no matter which one it was.

>>> from lstm_flax import LSTM
>>> from lstm_flax.recurrent.cells import LSTM_SPEC
>>> layer = LSTM(4, bidirectional=True, implementation="fused")
>>> x, lengths = jnp.ones((1, 5, 3)), jnp.array([4])
>>> outputs, (h_n, c_n) = layer.init_with_output(jax.random.key(0), x, lengths)[0]
>>> params = layer.init(jax.random.key(0), x, lengths)["params"]
>>> inside = look_inside(LSTM_SPEC, params["layers_0_forward"], x, outputs[..., :4], lengths, False)
>>> sorted(inside.gates), bool(jnp.allclose(inside.cell[:, 3], c_n[0], atol=1e-6))
(['f', 'g', 'i', 'o'], True)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lstm_flax.recurrent.cells import CellParams, CellSpec
from lstm_flax.recurrent.masking import sequence_mask


class Inside(NamedTuple):
    """One direction of one layer at each step; values past a row's length are meaningless.

    Attributes:
        gates: by letter, f32[B, T, H]; `g` of the LSTM and `n` of the GRU are the candidates, from
            -1 to 1, the others from 0 (closed) to 1 (open). Empty for the plain RNN.
        cell: c_t, f32[B, T, H]; None except for the LSTM.
    """

    gates: dict[str, jax.Array]
    cell: jax.Array | None


def look_inside(
    spec: CellSpec,
    params: CellParams,
    x: jax.Array,
    outputs: jax.Array,
    lengths: jax.Array,
    reverse: bool,
) -> Inside:
    """Computes the gates and cell states of one direction of a layer that started from zeros.

    Args:
        spec: the kind of cell.
        params: the cell's parameters.
        x: [B, T, E], the layer's inputs.
        outputs: [B, T, H], this direction's outputs, zero past each row's length.
        lengths: i32[B], from 1 to T.
        reverse: True if time runs backwards.
    """
    x, outputs = x.astype(jnp.float32), outputs.astype(jnp.float32)
    before = jnp.zeros_like(outputs[:, :1])
    if reverse:  # the state past a row's length is zero, as it is before the first step
        h = jnp.concatenate([outputs[:, 1:], before], axis=1)
    else:
        h = jnp.concatenate([before, outputs[:, :-1]], axis=1)

    def product(name: str, values: jax.Array) -> jax.Array:
        of = params[name]
        total = jnp.matmul(values, of["kernel"], precision=lax.Precision.HIGHEST)
        return total + of["bias"] if "bias" in of else total

    if spec.name == "RNN":
        return Inside({}, None)
    if spec.name == "GRU":
        r, z = (jax.nn.sigmoid(product(f"i{k}", x) + product(f"h{k}", h)) for k in "rz")
        return Inside(
            {"r": r, "z": z, "n": jnp.tanh(product("in", x) + r * product("hn", h))}, None
        )
    sums = {gate: product(f"i{gate}", x) + product(f"h{gate}", h) for gate in spec.gates}
    gates = {k: jnp.tanh(z) if k == "g" else jax.nn.sigmoid(z) for k, z in sums.items()}
    valid = sequence_mask(lengths, x.shape[1])[..., None]

    def step(c: jax.Array, at: Any) -> tuple[jax.Array, jax.Array]:
        keep, new, is_valid = at
        c = jnp.where(is_valid, keep * c + new, c)
        return c, c

    by_time = [jnp.swapaxes(a, 0, 1) for a in (gates["f"], gates["i"] * gates["g"], valid)]
    _, cell = lax.scan(step, before[:, 0], tuple(by_time), reverse=reverse)
    return Inside(gates, jnp.swapaxes(cell, 0, 1))
