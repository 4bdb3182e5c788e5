"""Weights to and from the state dicts of `torch.nn.LSTM`, `GRU` and `RNN`.

For layer k, with suffix `_reverse` for the backward direction, torch keeps `weight_ih_lk` [G*H, E],
`weight_hh_lk` [G*H, P], the biases `bias_ih_lk`, `bias_hh_lk` [G*H] and, for a projected LSTM,
`weight_hr_lk` [P, H]. The G gates are stacked, and P = H without a projection. Flax's cells keep
one kernel per gate, transposed, and one bias where torch adds two.

>>> arrays = {
...     "weight_ih_l0": np.ones((8, 3)), "weight_hh_l0": np.ones((8, 2)),
...     "bias_ih_l0": np.ones(8), "bias_hh_l0": np.zeros(8),
... }
>>> params = from_torch(arrays)
>>> list(params), params["layers_0_forward"]["ii"]["kernel"].shape
(['layers_0_forward'], (3, 2))
>>> sorted(to_torch(params)) == sorted(arrays)
True

Neither torch nor jax is imported: arrays and tensors become numpy arrays.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_flax.errors import UserError, one_line, some
from lstm_flax.recurrent.cells import (
    GRU_SPEC,
    LSTM_SPEC,
    RNN_SPEC,
    CellSpec,
    direction_name,
    layer_of,
)

KEY = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)_l(\d+)(_reverse)?")
_SPECS = (LSTM_SPEC, GRU_SPEC, RNN_SPEC)

Params = dict[str, dict[str, dict[str, np.ndarray]]]


def from_torch(state_dict: Mapping[str, Any]) -> Params:
    """Converts the state dict of `torch.nn.LSTM`, `GRU` or `RNN` to parameters.

    The kind of cell follows from the shapes: four gates, three or one. The two biases that torch
    adds are kept as their sum; the GRU's new gate does not add them, so both are kept. Weights made
    with `bias=False` or `proj_size` need a layer with `use_bias=False` or that `proj_size`.

    A state dict does not record the `nonlinearity` of `torch.nn.RNN`: for "relu" weights, set
    `RNN(..., nonlinearity="relu")`.

    >>> arrays = {"weight_ih_l0": np.ones((6, 3)), "weight_hh_l0": np.ones((6, 2))}
    >>> params = from_torch(arrays)  # of torch.nn.GRU(3, 2, bias=False)
    >>> import jax.numpy as jnp
    >>> from lstm_flax import GRU
    >>> layer = GRU(hidden_size=2, use_bias=False)
    >>> outputs, h_n = layer.apply({"params": params}, jnp.ones((1, 5, 3)))
    >>> outputs.shape
    (1, 5, 2)

    Args:
        state_dict: names to arrays or torch tensors, as `torch.nn.LSTM(...).state_dict()`.

    Returns:
        `params` for `LSTM(...).apply({"params": params}, ...)`: a dictionary for each layer and
        direction (`layers_0_forward` ...) that holds, for each product, `kernel` and `bias`.

    Raises:
        UserError: these are not the weights of one recurrent layer, entries are missing or left
            over, or shapes do not fit.
    """
    arrays = to_arrays(state_dict)
    strange = [n for n in arrays if not (m := KEY.fullmatch(n)) or m[2] != str(int(m[2]))]
    if strange or "weight_ih_l0" not in arrays or "weight_hh_l0" not in arrays:
        raise UserError(
            "not the state dict of one torch.nn.LSTM, GRU or RNN: expected names such as "
            f"weight_ih_l0, found {some(strange or list(arrays), 3) or 'none'} (strip a prefix "
            "first and leave other layers out, or use classifier_from_torch)"
        )
    spec, hidden = spec_of(arrays)
    _check_arrays(arrays, spec, hidden)
    places = sorted({(layer, reverse) for _, layer, reverse in map(_parse, arrays)})
    return {
        direction_name(layer, reverse): _direction_from_torch(arrays, _suffix(layer, reverse), spec)
        for layer, reverse in places
    }


def to_torch(params: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, np.ndarray]:
    """Converts parameters to a state dict for `torch.nn.LSTM`, `GRU` or `RNN`.

    Where torch adds two biases, one holds the sum and the other is zero. bfloat16 becomes float32.

    >>> import jax, jax.numpy as jnp
    >>> from lstm_flax import LSTM
    >>> params = LSTM(4).init(jax.random.key(0), jnp.ones((1, 2, 3)))["params"]
    >>> {name: array.shape for name, array in to_torch(params).items()}
    {'weight_ih_l0': (16, 3), 'weight_hh_l0': (16, 4), 'bias_ih_l0': (16,), 'bias_hh_l0': (16,)}

    Args:
        params: as `LSTM(...).init(...)["params"]`.

    Returns:
        Names to numpy arrays; `{k: torch.from_numpy(v) for k, v in ...}` loads into torch.

    Raises:
        UserError: the tree is not that of one recurrent layer, or it merges its directions, which
            torch cannot.
    """
    layers = 1 + max((layer_of(n) for n in params if re.match(r"layers_\d+_", n)), default=-1)
    directions = 2 if direction_name(0, 1) in params else 1
    order = [(layer, direction) for layer in range(layers) for direction in range(directions)]
    expected = {direction_name(*place) for place in order}
    if not params or set(params) != expected:
        raise UserError(
            "not the parameters of one LSTM, GRU or RNN: expected layers_0_forward and so on, "
            f"found {some(list(params), 3) or 'none'}{_missing(expected - set(params))}"
        )
    state_dict: dict[str, np.ndarray] = {}
    for layer, direction in order:
        cell, suffix = params[direction_name(layer, direction)], _suffix(layer, direction == 1)
        arrays = _direction_to_torch(cell, suffix)
        width, size = (arrays[f"weight_{side}{suffix}"].shape[1] for side in ("ih", "hh"))
        if layer > 0 and width == size < directions * size:
            raise UserError(
                f"{direction_name(layer, direction)}: reads {width} features of a layer with two "
                f"directions of {size}, as with direction_merge = 'sum' or 'mean'; torch only "
                "concatenates: convert a layer with direction_merge = 'concat'"
            )
        state_dict |= arrays
    return state_dict


def to_arrays(state_dict: Any) -> dict[str, np.ndarray]:
    """Converts entries (arrays or torch tensors on any device) to numpy arrays.

    bfloat16, which numpy lacks, becomes float32, which holds the same numbers.

    >>> to_arrays({"fc.bias": [1.0, 2.0]})
    {'fc.bias': array([1., 2.])}

    Raises:
        UserError: it is not a mapping of names, or an entry is not a dense floating-point array.
    """
    if not isinstance(state_dict, Mapping):
        raise UserError(f"a {type(state_dict).__name__} is no state dict; pass its .state_dict()")
    return {name: _to_array(name, value) for name, value in state_dict.items()}


def _to_array(name: str, value: Any) -> np.ndarray:
    if not isinstance(name, str):
        raise UserError(f"torch weights: {name!r} is not a name; pass a module's .state_dict()")
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
        array = np.asarray(value)
    except (RuntimeError, TypeError, ValueError) as error:  # meta, sparse, quantized; uneven lists
        reason = f"cannot become a numpy array ({one_line(error)})"
    else:
        if array.dtype.name == "bfloat16":
            return array.astype(np.float32)
        if array.dtype.kind == "f":
            return array
        reason = f"is of dtype {array.dtype}"
    raise UserError(
        f"torch weights: {name} {reason}; pass dense arrays of float16, bfloat16, float32 or "
        "float64"
    )


def _parse(name: str) -> tuple[str, int, bool]:
    """Returns the kind (e.g. `weight_ih`), the layer, and True for the backward direction."""
    match = KEY.fullmatch(name)
    assert match is not None
    return match[1], int(match[2]), match[3] is not None


def _suffix(layer: int, reverse: bool) -> str:
    return f"_l{layer}" + "_reverse" * reverse


def _missing(names: set[str]) -> str:
    return f"; missing: {some(sorted(names))}" if names else ""


def spec_of(arrays: Mapping[str, np.ndarray]) -> tuple[CellSpec, int]:
    """Infers the cell and H from the shapes of layer 0.

    >>> spec, hidden = spec_of({"weight_hh_l0": np.ones((6, 2))})
    >>> spec.name, hidden
    ('GRU', 2)

    Raises:
        UserError: no cell has these shapes.
    """
    weight_hh = arrays["weight_hh_l0"]
    projection = arrays.get("weight_hr_l0")
    if weight_hh.ndim == 2 and weight_hh.size and (projection is None or projection.ndim == 2):
        hidden = weight_hh.shape[1] if projection is None else projection.shape[-1]
        gates, rest = divmod(weight_hh.shape[0], hidden)
        for spec in _SPECS if projection is None else (LSTM_SPEC,):
            if gates == len(spec.gates) and rest == 0:
                return spec, hidden
    raise UserError(f"weight_hh_l0 of shape {weight_hh.shape} is not that of an LSTM, GRU or RNN")


def _check_arrays(arrays: Mapping[str, np.ndarray], spec: CellSpec, hidden: int) -> None:
    """Checks that every layer and direction is present, with arrays of the right shapes."""
    parsed = [_parse(name) for name in arrays]
    kinds = {kind for kind, _, _ in parsed}
    layers = 1 + max(layer for _, layer, _ in parsed)
    directions = (False, True) if any(reverse for _, _, reverse in parsed) else (False,)
    rows, size = len(spec.gates) * hidden, arrays["weight_hh_l0"].shape[1]
    features = arrays["weight_ih_l0"].shape[-1]
    for layer in range(layers):
        shapes: dict[str, tuple[int, ...]] = {}
        shapes["weight_ih"] = (rows, features if layer == 0 else len(directions) * size)
        shapes["weight_hh"] = (rows, size)
        if kinds & {"bias_ih", "bias_hh"}:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if "weight_hr" in kinds:
            shapes["weight_hr"] = (size, hidden)
        for reverse in directions:
            for kind, shape in shapes.items():
                name = f"{kind}{_suffix(layer, reverse)}"
                if name not in arrays:
                    raise UserError(f"torch weights: {name} is missing; pass a whole state dict")
                if arrays[name].shape != shape:
                    raise UserError(
                        f"torch weights: {name} has shape {arrays[name].shape}, which does not fit "
                        f"the {shape} expected from weight_ih_l0 and weight_hh_l0; pass the state "
                        "dict of one layer"
                    )


def _direction_from_torch(
    arrays: Mapping[str, np.ndarray], suffix: str, spec: CellSpec
) -> dict[str, dict[str, np.ndarray]]:
    # Copies, even where `ascontiguousarray` would make none: torch may train on.
    gates = len(spec.gates)
    parts = {
        name: np.split(arrays[f"{name}{suffix}"], gates)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if f"{name}{suffix}" in arrays
    }
    cell: dict[str, dict[str, np.ndarray]] = {}
    for index, gate in enumerate(spec.gates):
        cell[f"i{gate}"] = {"kernel": np.array(parts["weight_ih"][index].T, order="C")}
        cell[f"h{gate}"] = {"kernel": np.array(parts["weight_hh"][index].T, order="C")}
        if "bias_ih" not in parts:
            continue
        input_bias, state_bias = parts["bias_ih"][index], parts["bias_hh"][index]
        if gate in spec.input_biases and gate in spec.state_biases:
            cell[f"i{gate}"]["bias"] = input_bias.copy()
            cell[f"h{gate}"]["bias"] = state_bias.copy()
        else:
            side = "i" if gate in spec.input_biases else "h"
            cell[f"{side}{gate}"]["bias"] = input_bias + state_bias
    if f"weight_hr{suffix}" in arrays:
        cell["hr"] = {"kernel": np.array(arrays[f"weight_hr{suffix}"].T, order="C")}
    return cell


def _direction_to_torch(
    cell: Mapping[str, Mapping[str, Any]], suffix: str
) -> dict[str, np.ndarray]:
    for spec in _SPECS:
        products = {f"{side}{gate}" for side in "ih" for gate in spec.gates}
        projected = spec is LSTM_SPEC and set(cell) == products | {"hr"}
        if set(cell) == products or projected:
            break
    else:
        raise UserError(f"not the parameters of an LSTM, GRU or RNN cell: {', '.join(cell)}")

    def join(side: str, leaf: str) -> np.ndarray:
        columns = []
        for gate in spec.gates:
            product = cell[f"{side}{gate}"]
            name = f"{side}{gate}/{leaf} of {suffix[1:]}"
            zero = np.zeros_like(_to_array(name, product["kernel"])[0])
            columns.append(_to_array(name, product.get(leaf, zero)))
        return np.ascontiguousarray(np.concatenate(columns, axis=-1).T)

    arrays = {
        f"weight_ih{suffix}": join("i", "kernel"),
        f"weight_hh{suffix}": join("h", "kernel"),
    }
    if any("bias" in product for product in cell.values()):
        arrays |= {f"bias_ih{suffix}": join("i", "bias"), f"bias_hh{suffix}": join("h", "bias")}
    if projected:
        arrays[f"weight_hr{suffix}"] = np.ascontiguousarray(
            _to_array("hr/kernel", cell["hr"]["kernel"]).T
        )
    return arrays
