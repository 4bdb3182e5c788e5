"""Checks of the recurrent layers' attributes, parameters, inputs and lengths.

>>> checked_inputs(jnp.ones((1, 5, 3)), jnp.array([9]), time_major=False)  # doctest: +ELLIPSIS
Traceback (most recent call last):
lstm_flax.errors.UserError: lengths must be from 1 to 5 (the time axis of inputs), but row 0 has 9
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.errors import UserError, some
from lstm_flax.recurrent.cells import direction_name
from lstm_flax.recurrent.merging import MERGES

NONLINEARITIES = ("tanh", "relu")


def check_attributes(layer: Any) -> None:
    """Checks a layer's sizes, rates and choices.

    >>> from lstm_flax import LSTM
    >>> check_attributes(LSTM(8))
    >>> check_attributes(LSTM(8, dropout=1.0))
    Traceback (most recent call last):
    lstm_flax.errors.UserError: dropout = 1.0: must be at least 0 and below 1

    Args:
        layer: an `LSTM`, `GRU` or `RNN`.

    Raises:
        UserError: an attribute is out of its range.
    """
    for name in ("bidirectional", "time_major", "use_bias", "recurrent_dropout_per_step"):
        if not isinstance(
            getattr(layer, name), bool | np.bool_
        ):  # the text 'False' would count as true
            raise UserError(f"{name} = {getattr(layer, name)!r}: must be True or False")
    for name in ("dropout", "recurrent_dropout"):
        if not 0.0 <= getattr(layer, name) < 1.0:
            raise UserError(f"{name} = {getattr(layer, name)}: must be at least 0 and below 1")
    for name in ("hidden_size", "num_layers"):
        if getattr(layer, name) < 1:
            raise UserError(f"{name} = {getattr(layer, name)}: must be at least 1")
    if layer.truncate_gradient_every < 0:
        raise UserError(
            f"truncate_gradient_every = {layer.truncate_gradient_every}: must be a number of "
            "steps, or 0 for the whole gradient"
        )
    proj_size = getattr(layer, "proj_size", 0)
    if not 0 <= proj_size < layer.hidden_size:
        raise UserError(
            f"proj_size = {proj_size}: must be at least 1 and below hidden_size = "
            f"{layer.hidden_size}, or 0 for no projection"
        )
    if layer.direction_merge not in MERGES:
        raise UserError(
            f"direction_merge = {layer.direction_merge!r}: choose {' or '.join(MERGES)}"
        )
    nonlinearity = getattr(layer, "nonlinearity", "tanh")
    if nonlinearity not in NONLINEARITIES:
        raise UserError(f"nonlinearity = {nonlinearity!r}: choose {' or '.join(NONLINEARITIES)}")


def check_parameters(
    params: Mapping[str, Any],
    name: str,
    gate: str,
    features: int,
    hidden_size: int,
    use_bias: bool = True,
) -> None:
    """Checks that a cell's parameters, if they exist yet, fit the layer.

    Flax itself reports any other problem with them.

    >>> cell = {"ii": {"kernel": jnp.ones((3, 4))}, "hi": {"kernel": jnp.ones((4, 4))}}
    >>> check_parameters(cell, "layers_0_forward", "i", 3, 4, use_bias=False)
    >>> check_parameters(cell, "layers_0_forward", "i", 3, 4)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    lstm_flax.errors.UserError: use_bias = True: the parameters layers_0_forward have no biases; ...

    Args:
        params: the cell's parameters, possibly boxed (`nn.Partitioned`); empty during
            initialisation.
        name: the cell's name, for the message.
        gate: any of the cell's gates.
        features: width of the cell's inputs.
        hidden_size: width of the cell's gates.
        use_bias: True if the layer has biases.

    Raises:
        UserError: sizes differ, or biases are missing or unexpected.
    """
    params = nn.unbox(params)
    kernel = params.get(f"i{gate}", {}).get("kernel")
    if kernel is None or jnp.ndim(kernel) != 2:
        return
    if kernel.shape != (features, hidden_size):
        width, hidden = kernel.shape
        raise UserError(
            f"{features} features, hidden_size = {hidden_size}: the parameters {name} are for "
            f"{width} features, hidden_size = {hidden}; give inputs of that width to a layer of "
            "that size, or initialise again"
        )
    has_bias = any("bias" in product for product in params.values())
    if has_bias != use_bias:
        raise UserError(
            f"use_bias = {use_bias}: the parameters {name} have {'' if has_bias else 'no '}biases; "
            f"set use_bias={has_bias} or initialise again"
        )


def check_cells(params: Mapping[str, Any], num_layers: int, bidirectional: bool) -> None:
    """Checks that the parameters contain no cells that the layer would silently ignore.

    >>> check_cells({"layers_0_forward": {}, "layers_1_forward": {}}, 2, bidirectional=False)
    >>> check_cells({"layers_1_forward": {}}, 1, bidirectional=False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    lstm_flax.errors.UserError: num_layers = 1, bidirectional = False: the parameters hold layer...

    Args:
        params: the layer's parameters by cell; empty during initialisation.
        num_layers: L.
        bidirectional: True if D = 2.

    Raises:
        UserError: the parameters contain more cells than the layer has.
    """
    directions = range(2 if bidirectional else 1)
    known = {direction_name(n, d) for n in range(num_layers) for d in directions}
    if further := [name for name in params if name.startswith("layers_") and name not in known]:
        raise UserError(
            f"num_layers = {num_layers}, bidirectional = {bidirectional}: the parameters hold "
            f"{some(further, 3)} as well; give the layer their number of layers and directions"
        )


def checked_state(state: Any, name: str, number: int, shapes: Sequence[tuple[int, ...]]) -> Any:
    """Checks an initial state: the number of arrays, their shapes and their floating-point dtypes.

    >>> checked_state((jnp.ones((1, 2)),), "GRU", 1, [(1, 2)])[0].shape
    (1, 2)

    Args:
        state: the state as given, in a tuple even if it is one array.
        name: the cell's name, for messages.
        number: how many states the cell has.
        shapes: the shapes they must have.

    Returns:
        The states as arrays.

    Raises:
        UserError: the state is anything else.
    """
    expected = (
        f"initial_state of {name} must be {number} array(s) of shape "
        f"{' and '.join(map(str, dict.fromkeys(shapes)))} (layers * directions"
        f"{', batch' * (len(shapes[0]) > 2)}, hidden)"
    )
    if not isinstance(state, tuple | list):
        raise UserError(f"{expected}, in a tuple, not {type(state).__name__}")
    try:
        arrays = tuple(jnp.asarray(array) for array in state)
    except (TypeError, ValueError) as error:
        kinds = ", ".join(type(array).__name__ for array in state)
        raise UserError(f"{expected}, not {kinds}") from error
    found = [array.shape for array in arrays]
    if found != list(shapes):
        raise UserError(f"{expected}, not {', '.join(map(str, found))}")
    if not all(jnp.issubdtype(array.dtype, jnp.floating) for array in arrays):
        kinds = ", ".join(array.dtype.name for array in arrays)
        raise UserError(f"{expected}, of floating-point numbers, not {kinds}")
    return arrays


def checked_inputs(
    inputs: jax.Array, lengths: jax.Array | None, time_major: bool
) -> tuple[jax.Array, jax.Array | None]:
    """Checks inputs and lengths, and puts time first.

    >>> x, lengths = checked_inputs(jnp.ones((2, 5, 3)), jnp.array([5, 1]), time_major=False)
    >>> x.shape
    (5, 2, 3)
    >>> checked_inputs(jnp.ones((5, 3)), None, time_major=False)[0].shape
    (5, 1, 3)

    Args:
        inputs: [B, T, E], or [T, B, E] if time-major, or [T, E] without a batch.
        lengths: i32[B], a scalar without a batch, or None.
        time_major: True if time is the first axis.

    Returns:
        Inputs as [T, B, E] and lengths as i32[B] or None; B is 1 without a batch. Lengths that are
        traced, so not known yet, are clipped to 1 to T.

    Raises:
        UserError: shapes or dtypes do not fit, there is no time step, or lengths are not within 1
            to T (checked only if their values are known, as outside `jax.jit`).
    """
    x = jnp.asarray(inputs)
    if x.ndim not in (2, 3):
        raise UserError(
            "inputs must have three axes (batch, time, features) or two (time, features), not "
            f"{x.shape}"
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise UserError(f"inputs must be floating point, not {x.dtype}: embed token ids first")
    if x.shape[0 if x.ndim == 2 or time_major else 1] == 0:
        raise UserError(f"inputs of shape {x.shape} have no time step; give at least one")
    unbatched = x.ndim == 2
    if unbatched:
        x = x[:, None]
    elif not time_major:
        x = x.swapaxes(0, 1)
    if lengths is None:
        return x, None
    width, batch = x.shape[:2]
    return x, checked_lengths(lengths, width, batch, unbatched)


def checked_lengths(
    lengths: jax.Array, width: int, batch: int, unbatched: bool = False
) -> jax.Array:
    """Returns lengths as i32[B], from 1 to T.

    Traced values cannot be rejected, so they are clipped to the nearest valid length.

    >>> checked_lengths(jnp.array([3, 1]), width=3, batch=2)
    Array([3, 1], dtype=int32)

    Args:
        lengths: i[B]; a single integer if `unbatched`.
        width: T.
        batch: B; 1 if `unbatched`.
        unbatched: True for a single sequence.

    Raises:
        UserError: they are not integers, not one per row, or a known one is out of range.
    """
    if not isinstance(lengths, jax.core.Tracer):
        known = np.ravel(lengths)
        bad = np.flatnonzero((known < 1) | (known > width))
        if bad.size > 0:
            raise UserError(
                f"lengths must be from 1 to {width} (the time axis of inputs), but row {bad[0]} "
                f"has {known[bad[0]]}"
            )
    lengths = jnp.asarray(lengths)
    shape = () if unbatched else (batch,)
    if lengths.shape != shape or not jnp.issubdtype(lengths.dtype, jnp.integer):
        expected = "one integer" if unbatched else f"{batch} integers (one per row)"
        raise UserError(f"lengths must be {expected}, not {lengths.dtype}{lengths.shape}")
    return jnp.clip(lengths.astype(jnp.int32).reshape(batch), 1, width)
