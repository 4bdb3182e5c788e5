"""Weights to and from the state dicts of torch.nn.LSTM, GRU and RNN, as numpy arrays.

torch keeps, for layer k and direction (suffix `_reverse` for the backward one), `weight_ih_lk`
[G*H, E], `weight_hh_lk` [G*H, H] and the biases `bias_ih_lk`, `bias_hh_lk` [G*H], the G gates one
below the other. Flax's cells keep one kernel a gate, transposed, and one bias where torch adds two.
"""

import itertools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_flax.errors import UserError
from lstm_flax.recurrent.cells import GRU_SPEC, LSTM_SPEC, RNN_SPEC, CellSpec, direction_name

_KEY = re.compile(r"(weight|bias)_(ih|hh)_l\d+(_reverse)?")


def from_torch(state_dict: Mapping[str, Any]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Parameters for `lstm_flax.LSTM`, `GRU` or `RNN` out of torch's state dict.

    The kind of cell follows from the shapes: four, three or one gates. The two biases that torch
    adds are kept as their sum; of the GRU's new gate, where they are not added, both are kept.

    A state dict does not tell the `nonlinearity` of `torch.nn.RNN`. The layer here has tanh alone:
    weights of `nonlinearity="relu"` have no counterpart, and are taken for those of a tanh layer
    without a complaint.

    Args:
        state_dict: names to arrays or torch tensors, as `torch.nn.LSTM(...).state_dict()` gives it.

    Returns:
        `params` for `LSTM(...).apply({"params": params}, ...)`: a dictionary a direction
        (`layers_0_forward` ...), in it one a product, in it `kernel` and `bias`.

    Raises:
        UserError: the weights are those of an option that has no counterpart here (projections,
            no biases), or not of a recurrent layer, or no state dict at all.
    """
    if not isinstance(state_dict, Mapping):
        raise UserError(f"a {type(state_dict).__name__} is no state dict; pass its .state_dict()")
    arrays = {name: _to_numpy(value) for name, value in state_dict.items()}
    if any(name.startswith("weight_hr_l") for name in arrays):
        raise UserError("torch weights of proj_size > 0 have no counterpart here: set proj_size=0")
    strange = [name for name in arrays if not _KEY.fullmatch(name)]
    if strange or "weight_ih_l0" not in arrays or "weight_hh_l0" not in arrays:
        raise UserError(
            "not the state dict of one torch.nn.LSTM, GRU or RNN: expected names such as "
            f"weight_ih_l0, found {', '.join((strange or list(arrays))[:3]) or 'none'} (strip a "
            "prefix first, and leave other layers out)"
        )
    if "bias_ih_l0" not in arrays:
        raise UserError("torch weights without biases have no counterpart here: set bias=True")
    spec = _spec_of(arrays["weight_hh_l0"])
    params = {}
    for layer, direction, suffix in _walk(arrays):
        _check_shapes(arrays, suffix, len(spec.gates) * arrays["weight_hh_l0"].shape[1])
        params[direction_name(layer, direction)] = _direction_from_torch(arrays, suffix, spec)
    return params


def to_torch(params: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, np.ndarray]:
    """A state dict for torch.nn.LSTM, GRU or RNN out of parameters of this package.

    Where torch adds two biases, one holds the sum and the other zeros.

    Args:
        params: as `LSTM(...).init(...)["params"]` gives it.

    Returns:
        Names to numpy arrays; `{k: torch.from_numpy(v) for k, v in ...}` loads into torch.

    Raises:
        UserError: the tree is not that of one recurrent layer.
    """
    state_dict: dict[str, np.ndarray] = {}
    for layer in itertools.count():
        if direction_name(layer, 0) not in params:
            break
        for direction in (0, 1):
            name = direction_name(layer, direction)
            if name in params:
                suffix = f"_l{layer}" + "_reverse" * direction
                state_dict |= _direction_to_torch(params[name], suffix)
    if len(state_dict) != 4 * len(params):
        raise UserError(
            "not the parameters of one LSTM, GRU or RNN: expected layers_0_forward and so on, "
            f"found {', '.join(list(params)[:3]) or 'none'}"
        )
    return state_dict


def _to_numpy(value: Any) -> np.ndarray:
    """A numpy array out of an array or a torch tensor, wherever that lies."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _check_shapes(arrays: Mapping[str, np.ndarray], suffix: str, rows: int) -> None:
    """Makes sure that one direction's four arrays are there and have G*H rows."""
    for name, axes in (("weight_ih", 2), ("weight_hh", 2), ("bias_ih", 1), ("bias_hh", 1)):
        array = arrays.get(f"{name}{suffix}")
        if array is None:
            raise UserError(f"torch weights: {name}{suffix} is missing; pass a whole state dict")
        if array.ndim != axes or len(array) != rows:
            raise UserError(
                f"torch weights: {name}{suffix} has shape {array.shape}, which does not fit "
                f"{rows} rows of weight_hh_l0; pass the state dict of one layer"
            )


def _spec_of(weight_hh: np.ndarray) -> CellSpec:
    gates, rest = divmod(weight_hh.shape[0], weight_hh.shape[1])
    for spec in (LSTM_SPEC, GRU_SPEC, RNN_SPEC):
        if gates == len(spec.gates) and rest == 0:
            return spec
    raise UserError(f"weight_hh_l0 of shape {weight_hh.shape} is not that of an LSTM, GRU or RNN")


def _walk(arrays: Mapping[str, np.ndarray]) -> list[tuple[int, int, str]]:
    """(layer, direction, suffix of torch's names) of all that `arrays` holds, in order."""
    found: list[tuple[int, int, str]] = []
    for layer in itertools.count():
        if f"weight_ih_l{layer}" not in arrays:
            return found
        for direction, end in enumerate(("", "_reverse")):
            if f"weight_ih_l{layer}{end}" in arrays:
                found.append((layer, direction, f"_l{layer}{end}"))
    raise AssertionError("unreachable")


def _direction_from_torch(
    arrays: Mapping[str, np.ndarray], suffix: str, spec: CellSpec
) -> dict[str, dict[str, np.ndarray]]:
    gates = len(spec.gates)
    parts = {
        name: np.split(arrays[f"{name}{suffix}"], gates)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    cell: dict[str, dict[str, np.ndarray]] = {}
    for index, gate in enumerate(spec.gates):
        cell[f"i{gate}"] = {"kernel": np.ascontiguousarray(parts["weight_ih"][index].T)}
        cell[f"h{gate}"] = {"kernel": np.ascontiguousarray(parts["weight_hh"][index].T)}
        input_bias, state_bias = parts["bias_ih"][index], parts["bias_hh"][index]
        if gate in spec.input_biases and gate in spec.state_biases:
            cell[f"i{gate}"]["bias"] = input_bias.copy()
            cell[f"h{gate}"]["bias"] = state_bias.copy()
        else:
            side = "i" if gate in spec.input_biases else "h"
            cell[f"{side}{gate}"]["bias"] = input_bias + state_bias
    return cell


def _direction_to_torch(
    cell: Mapping[str, Mapping[str, Any]], suffix: str
) -> dict[str, np.ndarray]:
    for spec in (LSTM_SPEC, GRU_SPEC, RNN_SPEC):
        if set(cell) == {f"{side}{gate}" for side in "ih" for gate in spec.gates}:
            break
    else:
        raise UserError(f"not the parameters of an LSTM, GRU or RNN cell: {', '.join(cell)}")

    def join(side: str, leaf: str) -> np.ndarray:
        columns = []
        for gate in spec.gates:
            product = cell[f"{side}{gate}"]
            zero = np.zeros_like(np.asarray(product["kernel"])[0])
            columns.append(np.asarray(product.get(leaf, zero)))
        return np.ascontiguousarray(np.concatenate(columns, axis=-1).T)

    return {
        f"weight_ih{suffix}": join("i", "kernel"),
        f"weight_hh{suffix}": join("h", "kernel"),
        f"bias_ih{suffix}": join("i", "bias"),
        f"bias_hh{suffix}": join("h", "bias"),
    }
