"""The fused LSTM: products that do not depend on the previous step are moved out of the loop.

>>> from lstm_flax import LSTM
>>> inputs, lengths = jnp.ones((2, 5, 3)), jnp.array([5, 2])
>>> fused, scan = (LSTM(4, implementation=name) for name in ("fused", "scan"))
>>> variables = fused.init(jax.random.key(0), inputs)
>>> both = fused.apply(variables, inputs, lengths)[0], scan.apply(variables, inputs, lengths)[0]
>>> bool(jnp.allclose(*both, atol=1e-6))
True

Parameters and results are those of the reference (`scan.py`). The computation differs:

- the input's product for all T comes before the loop, and the products that give `dx` and the
  kernels' gradients come after it; a step has one `[B, H] x [H, 4H]` product, forward and backward;
- both directions run in one loop, so one's arithmetic fills the gaps in the other's;
- the gates of a padded step are saturated: input and output gate closed, forget gate open. Such a
  step carries the cell state over and outputs exactly zero, in either direction of time, and its
  derivatives are zero. No state is selected and no row is reversed;
- a sigmoid is a scaled tanh, so all four gates are one call;
- with c_t = f c_{t-1} + i g and h_t = o tanh(c_t), the backward loop needs six factors per unit,
  all by-products of the forward pass: the derivatives of c_t (for i, f, g) and of h_t (for o)
  with respect to each gate's sum, o (1 - tanh(c_t)^2), and f. The first four overwrite the input's
  product in place, and the backward loop then overwrites them with the gradient of each gate's sum.
  On a CPU, fresh memory is the largest cost after the products;
- in bfloat16, only the operands of products, the outputs and the gradients of the gates' sums have
  16 bits; sums, cell states and factors are float32. The loops write all 16-bit values as integer
  words (`words.py`).

The gradient is Hochreiter & Schmidhuber's (1997) without truncation, for the cell of Gers et al.
(2000): first-order, reverse mode. See `first_order.py` for the rest.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lstm_flax.errors import UserError
from lstm_flax.recurrent.cells import CellParams
from lstm_flax.recurrent.implementations.first_order import (
    FIRST_ORDER_ONLY,
    forbid_more_derivatives,
)
from lstm_flax.recurrent.implementations.joined_weights import Weights, join_weights
from lstm_flax.recurrent.implementations.scan import DirectionStart
from lstm_flax.recurrent.implementations.time_loop import (
    at,
    drop_at,
    first_time,
    kernel_gradient,
    multiply,
    put,
    put_side_by_side,
    run_steps,
    time_of,
)
from lstm_flax.recurrent.implementations.varying import vary_like
from lstm_flax.recurrent.implementations.words import as_words, from_words, word_dtype

SATURATED = 1e4  # far beyond where tanh rounds to one


class Factors(NamedTuple):
    """Values from one direction's forward loop that its backward loop needs.

    Attributes:
        gates: f32[T, B, 4H], dc_t/dz for the gates i, f, g and dh_t/dz for o; z is the gate's sum.
        state: f32[T, B, 2H], dh_t/dc_t and f = dc_t/dc_{t-1}.
    """

    gates: jax.Array
    state: jax.Array


def fused_layer(
    x: jax.Array,
    cells: Sequence[CellParams],
    starts: Sequence[DirectionStart],
    lengths: jax.Array | None,
    has_initial_h: bool,
) -> tuple[jax.Array, list[tuple[jax.Array, jax.Array]]]:
    """Computes all directions of one layer.

    >>> cell = {f"i{gate}": {"kernel": jnp.ones((3, 4))} for gate in "ifgo"}
    >>> cell |= {f"h{gate}": {"kernel": jnp.eye(4), "bias": jnp.zeros(4)} for gate in "ifgo"}
    >>> start = DirectionStart(jnp.zeros((2, 4)), jnp.zeros((2, 4)), drop=None, reverse=False)
    >>> x, lengths = jnp.ones((5, 2, 3)), jnp.array([5, 2])
    >>> outputs, [(h_n, c_n)] = fused_layer(x, [cell], [start], lengths, has_initial_h=False)
    >>> outputs.shape, h_n.shape
    ((5, 2, 4), (2, 4))

    Args:
        x: [T, B, E]; its dtype is the dtype of the products.
        cells: parameters, one cell per direction: forward, then backward if there are two.
        starts: initial states and recurrent dropout, in the same order.
        lengths: i32[B] from 1 to T, or None if all steps are valid.
        has_initial_h: False if h_0 is known to be zero, which saves its product.

    Returns:
        outputs [T, B, D*H] of the dtype of `x`, zero past each row's length, and the final
        (h_n [B, H], c_n f32[B, H]) of each direction.

    Raises:
        UserError: forward-mode or higher derivatives are requested.
    """
    weights = [join_weights(cell) for cell in cells]
    drops = [start.drop for start in starts]
    h_0 = [start.h_0 if has_initial_h else None for start in starts]
    c_0 = [start.c_0 for start in starts]
    try:
        outputs, h_n, c_n = _layer(x, weights, h_0, c_0, drops, lengths)
    except TypeError as error:
        if "forward-mode" in str(error):  # JAX's message for any function with a custom gradient
            raise UserError(FIRST_ORDER_ONLY) from error
        raise
    return outputs, list(zip(h_n, c_n, strict=True))


@jax.custom_vjp
def _layer(*arguments: Any) -> Any:
    """Returns (outputs, h_n, c_n) from x, weights, h_0, c_0, drops, lengths."""
    if any(first is not None for first in arguments[2]):
        return _results(True, *arguments)
    # If no factors are kept, a CPU is faster with the input's product inside the loop: it stays in
    # the cache, while the product for all T is fresh memory.
    in_loop, hoisted = (functools.partial(_results, hoisted) for hoisted in (False, True))
    return lax.platform_dependent(*arguments, cpu=in_loop, default=hoisted)


def _results(hoisted: bool, *arguments: Any) -> Any:
    return _forward(*arguments, keep=False, hoisted=hoisted)[0]


def _layer_forward(*arguments: Any) -> tuple[Any, Any]:
    checked: Any = forbid_more_derivatives(arguments)
    results, factors = _forward(*checked, keep=True, hoisted=True)
    return results, (checked, results[0], factors)


def _layer_backward(residuals: Any, cotangents: Any) -> Any:
    return _backward(*forbid_more_derivatives((residuals, cotangents)))


_layer.defvjp(_layer_forward, _layer_backward)


def _forward(
    x: jax.Array,
    weights: Sequence[Weights],
    h_0: Sequence[jax.Array | None],
    c_0: Sequence[jax.Array],
    drops: Sequence[jax.Array | None],
    lengths: jax.Array | None,
    *,
    keep: bool,
    hoisted: bool,
) -> tuple[tuple[jax.Array, list[jax.Array], list[jax.Array]], list[Factors]]:
    """Returns outputs, h_n, c_n and, if `keep`, the factors for the backward pass.

    The input's product comes before the loop if `hoisted`. Otherwise the loop ends at the batch's
    longest row, and the outputs past it are set to zero.
    """
    width, batch, _ = x.shape
    hidden = weights[0].state.shape[0]
    wide = c_0[0].dtype
    scale, saturated = _gate_constants(hidden, wide)
    inputs = [w.inputs.astype(x.dtype) for w in weights]
    recurrent = [w.state.astype(x.dtype) for w in weights]
    biases = [w.bias.astype(wide)[None] for w in weights]
    valid = None if lengths is None else jnp.arange(width)[:, None, None] < lengths[None, :, None]
    x_words = as_words(x)
    steps = width if hoisted or lengths is None else jnp.max(lengths, initial=0)

    def step_direction(
        direction: int, step: jax.Array, carry: Any, outputs: jax.Array
    ) -> tuple[Any, jax.Array]:
        h, c, gates, state = carry
        t = time_of(direction, step, steps)
        if hoisted:
            z = at(gates, t)
        else:
            z = multiply(from_words(at(x_words, t), x.dtype), inputs[direction], wide)
        z = z + multiply(drop_at(h, drops[direction], t), recurrent[direction], wide)
        z = (z + biases[direction]) * scale
        if valid is not None:
            z = jnp.where(at(valid, t), z, saturated)
        u = jnp.tanh(z)
        u_i, u_f, g, u_o = (u[:, k * hidden : (k + 1) * hidden] for k in range(4))
        i, f, o = (0.5 * gate + 0.5 for gate in (u_i, u_f, u_o))
        c_new = f * c + i * g
        squashed = jnp.tanh(c_new)
        h = (o * squashed).astype(x.dtype)
        outputs = put(outputs, as_words(h), t, direction * hidden)
        if keep:
            # A sigmoid s = (1 + u) / 2 of z with u = tanh(z / 2) has the derivative (1 - u^2) / 4.
            by_i, by_f = g * (0.25 - 0.25 * u_i * u_i), c * (0.25 - 0.25 * u_f * u_f)
            by_g, by_o = i * (1.0 - g * g), squashed * (0.25 - 0.25 * u_o * u_o)
            gates = put_side_by_side(gates, t, by_i, by_f, by_g, by_o)
            state = put_side_by_side(state, t, o * (1.0 - squashed * squashed), f)
        return (h, c_new, gates, state), outputs

    carries = []
    for direction in range(len(weights)):
        gates: Any = multiply(x, inputs[direction], wide) if hoisted else None
        first = h_0[direction]
        if first is not None:
            # h_0 enters where its row begins; in the carry, padding would erase it.
            start = first_time(direction, lengths, width, batch)
            entering = drop_at(first, drops[direction], start).astype(x.dtype)
            product = multiply(entering, recurrent[direction], wide)
            gates = gates.at[start, jnp.arange(batch)].add(product)
        state: Any = lax.empty((width, batch, 2 * hidden), wide) if keep else None
        h, state = vary_like((jnp.zeros((batch, hidden), x.dtype), state), x)
        carries.append((h, c_0[direction], gates, state))
    outputs = vary_like(lax.empty((width, batch, len(weights) * hidden), x_words.dtype), x)
    carries, outputs = run_steps(steps, step_direction, carries, outputs)
    if steps is not width:
        nothing = jnp.zeros_like(outputs[0])
        outputs = lax.fori_loop(steps, width, lambda t, o: put(o, nothing, t, 0), outputs)
    outputs = from_words(outputs, x.dtype)

    h_n = [carry[0] for carry in carries]
    if lengths is not None:
        last = (lengths - 1)[None, :, None]
        h_n[0] = jnp.take_along_axis(outputs[..., :hidden], last, axis=0)[0]
    return (outputs, h_n, [carry[1] for carry in carries]), [Factors(c[2], c[3]) for c in carries]


def _backward(residuals: Any, cotangents: Any) -> tuple[Any, ...]:
    """Returns the cotangents of `_layer`'s arguments."""
    (x, weights, h_0, c_0, drops, lengths), outputs, factors = residuals
    d_outputs, d_h_n, d_c_n = cotangents
    width, batch, _ = x.shape
    hidden = weights[0].state.shape[0]
    wide = c_0[0].dtype
    transposed = [w.state.astype(x.dtype).T for w in weights]
    d_output_words = as_words(d_outputs)
    in_place = word_dtype(x.dtype) == wide  # writing over factors of another size copies them

    def step_direction(
        direction: int, step: jax.Array, carry: Any, unused: None
    ) -> tuple[Any, None]:
        dh, dc, d_gates = carry
        t = time_of(1 - direction, step, width)
        columns = slice(direction * hidden, (direction + 1) * hidden)
        dh = dh + from_words(at(d_output_words, t)[:, columns], d_outputs.dtype).astype(wide)
        if lengths is not None and direction == 0:
            dh = dh + jnp.where(lengths[:, None] - 1 == t, d_h_n[0].astype(wide), 0.0)
        state = at(factors[direction].state, t)
        dc = dc + dh * state[:, :hidden]
        gates = d_gates if in_place else factors[direction].gates
        dz = (jnp.concatenate([dc, dc, dc, dh], axis=-1) * at(gates, t)).astype(x.dtype)
        d_gates = put(d_gates, as_words(dz), t, 0)
        dh = multiply(dz, transposed[direction], wide)
        return (drop_at(dh, drops[direction], t), dc * state[:, hidden:], d_gates), None

    carries = []
    for direction, factor in enumerate(factors):
        dh = d_h_n[direction].astype(wide)
        if lengths is not None and direction == 0:
            dh = vary_like(jnp.zeros_like(dh), x)  # h_n's gradient enters at each row's last step
        d_gates = factor.gates
        if not in_place:
            d_gates = vary_like(lax.empty(d_gates.shape, word_dtype(x.dtype)), x)
        carries.append((dh, d_c_n[direction], d_gates))
    carries, _ = run_steps(width, step_direction, carries, None)

    dx = jnp.zeros((), wide)
    d_weights, d_h_0 = [], []
    features = x.shape[-1]
    for direction, (weight, (_, _, d_gates)) in enumerate(zip(weights, carries, strict=True)):
        drop = drops[direction]
        dz = from_words(d_gates, x.dtype)
        d_bias = jnp.sum(dz, axis=(0, 1), dtype=wide)
        dx = dx + multiply(dz, weight.inputs.astype(x.dtype).T, wide)
        h = outputs[..., direction * hidden : (direction + 1) * hidden]
        zero = jnp.zeros_like(h[:1])
        entering = jnp.concatenate([h[1:], zero] if direction == 1 else [zero, h[:-1]])
        entering = entering if drop is None else entering * drop
        # One product for both kernels: wider products come closer to the machine's peak speed.
        d_kernels = kernel_gradient(jnp.concatenate([x, entering], axis=-1), dz, wide)
        d_inputs, d_state = d_kernels[:features], d_kernels[features:]
        d_first = None
        first = h_0[direction]
        if first is not None:
            start = first_time(direction, lengths, width, batch)
            dz_start = dz[start, jnp.arange(batch)]
            d_state += multiply(drop_at(first, drop, start).astype(x.dtype).T, dz_start, wide)
            d_first = drop_at(multiply(dz_start, transposed[direction], wide), drop, start)
            d_first = d_first.astype(first.dtype)
        d_h_0.append(d_first)
        d_weight = Weights(d_inputs, d_state, d_bias)
        d_weights.append(jax.tree.map(lambda d, w: d.astype(w.dtype), d_weight, weight))
    return dx.astype(x.dtype), d_weights, d_h_0, [carry[1] for carry in carries], None, None


def _gate_constants(hidden: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scale of the sums of gates i, f, g, o and the scaled sums of a padded step.

    Both are [1, 4H].
    """
    scale = np.repeat(np.array([[0.5, 0.5, 1.0, 0.5]], dtype), hidden, axis=1)
    saturated = np.repeat(
        np.array([[-SATURATED, SATURATED, 0.0, -SATURATED]], dtype), hidden, axis=1
    )
    return scale, saturated
