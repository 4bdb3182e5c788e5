"""Weights to and from torch's state dicts; torch itself only where it is installed."""

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax import torch_weights
from lstm_flax.errors import UserError
from tests.recurrent.recurrent_cases import LAYERS, apply, random_case, random_variables


def state_dict(gates: int, layers: int = 1, hidden: int = 3, features: int = 2) -> dict:
    rng = np.random.default_rng(0)
    arrays = {}
    for layer in range(layers):
        for end in ("", "_reverse"):
            size = features if layer == 0 else 2 * hidden
            arrays[f"weight_ih_l{layer}{end}"] = rng.normal(size=(gates * hidden, size))
            arrays[f"weight_hh_l{layer}{end}"] = rng.normal(size=(gates * hidden, hidden))
            arrays[f"bias_ih_l{layer}{end}"] = rng.normal(size=gates * hidden)
            arrays[f"bias_hh_l{layer}{end}"] = rng.normal(size=gates * hidden)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.mark.parametrize(("cell", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_from_torch_gives_the_tree_of_init(cell: str, gates: int) -> None:
    layer = LAYERS[cell](3, num_layers=2, bidirectional=True)
    init = jax.eval_shape(layer.init, jax.random.key(0), np.zeros((1, 2, 2), np.float32))["params"]
    params = torch_weights.from_torch(state_dict(gates, layers=2))
    assert jax.tree.structure(params) == jax.tree.structure(init)
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, init)


@pytest.mark.parametrize("gates", [4, 3, 1])
def test_there_and_back_keeps_kernels_and_the_sum_of_biases(gates: int) -> None:
    arrays = state_dict(gates, layers=2)
    back = torch_weights.to_torch(torch_weights.from_torch(arrays))
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].flags["C_CONTIGUOUS"]
        if name.startswith("weight"):
            np.testing.assert_array_equal(back[name], array)
        else:
            other = name.replace("_ih_", "_xx_").replace("_hh_", "_ih_").replace("_xx_", "_hh_")
            np.testing.assert_array_equal(back[name] + back[other], array + arrays[other])
    if gates == 3:  # the new gate's two biases do not add: the reset gate acts on one
        np.testing.assert_array_equal(back["bias_hh_l0"][6:], arrays["bias_hh_l0"][6:])


@pytest.mark.parametrize(
    "value",
    [
        None,
        np.ones((12, 2), complex),
        np.full((12, 2), "1.0"),
        np.full((12, 2), None),
        np.ones((12, 2), np.int64),
        np.ones((12, 2), jnp.float8_e4m3fn),
        [[1.0, 2.0], [3.0]],
    ],
    ids=lambda value: str(getattr(value, "dtype", type(value).__name__)),
)
def test_an_entry_that_holds_no_weights_is_named(value: Any) -> None:
    with pytest.raises(UserError, match=r"torch weights: weight_ih_l0 (is|cannot)"):
        torch_weights.from_torch(state_dict(4) | {"weight_ih_l0": value})
    whole = {f"lstm.{name}": array for name, array in state_dict(4).items()}
    with pytest.raises(UserError, match=r"torch weights: fc\.weight (is|cannot)"):
        torch_weights.classifier_from_torch(whole | {"fc.weight": value})
    with pytest.raises(UserError, match="torch weights: 3 is not a name"):
        torch_weights.from_torch(state_dict(4) | {3: np.ones(2)})


@pytest.mark.slow  # CI has torch for the slow tests alone
@pytest.mark.parametrize("kind", ["meta", "sparse", "float8", "complex"])
def test_a_tensor_that_is_no_dense_array_of_numbers_is_named(kind: str) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.ones(12, 2)
    make = {
        "meta": lambda: tensor.to("meta"),
        "sparse": tensor.to_sparse,
        "float8": lambda: tensor.to(torch.float8_e4m3fn),
        "complex": lambda: tensor.to(torch.complex64),
    }
    with pytest.raises(UserError, match=r"torch weights: weight_ih_l0 (is|cannot)"):
        torch_weights.from_torch(state_dict(4) | {"weight_ih_l0": make[kind]()})


def test_gates_land_under_their_names() -> None:
    arrays = state_dict(4)
    params = torch_weights.from_torch(arrays)["layers_0_backward"]
    for index, gate in enumerate("ifgo"):
        rows = slice(3 * index, 3 * index + 3)
        np.testing.assert_array_equal(
            params[f"i{gate}"]["kernel"], arrays["weight_ih_l0_reverse"][rows].T
        )
        np.testing.assert_array_equal(
            params[f"h{gate}"]["kernel"], arrays["weight_hh_l0_reverse"][rows].T
        )


@pytest.mark.parametrize("gates", [4, 3, 1])
@pytest.mark.parametrize("proj_size", [0, 2])
def test_there_and_back_without_biases_and_with_a_projection(gates: int, proj_size: int) -> None:
    if proj_size > 0 and gates != 4:
        arrays = projected(state_dict(gates, layers=2), proj_size)
        with pytest.raises(UserError, match="weight_hh_l0 of shape"):
            torch_weights.from_torch(arrays)
        return
    arrays = state_dict(gates, layers=2)
    arrays = {name: array for name, array in arrays.items() if name.startswith("weight")}
    if proj_size > 0:
        arrays = projected(arrays, proj_size)
    params = torch_weights.from_torch(arrays)
    assert all(set(product) == {"kernel"} for cell in params.values() for product in cell.values())
    cell = {4: "LSTM", 3: "GRU", 1: "RNN"}[gates]
    sizes = {"proj_size": proj_size} if proj_size else {}
    layer = LAYERS[cell](3, num_layers=2, bidirectional=True, use_bias=False, **sizes)
    init = jax.eval_shape(layer.init, jax.random.key(0), np.zeros((1, 2, 2), np.float32))["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, init)
    back = torch_weights.to_torch(params)
    assert set(back) == set(arrays)
    jax.tree.map(np.testing.assert_array_equal, back, arrays)


def projected(arrays: dict, proj_size: int) -> dict:
    """The weights of a layer with this `proj_size` instead, of hidden size 3."""
    changed = {}
    for name, array in arrays.items():
        if name.startswith("weight_hh"):
            array = array[:, :proj_size]
            end = name.removeprefix("weight_hh")
            changed[f"weight_hr{end}"] = np.full((proj_size, 3), 0.5, np.float32)
        elif name.startswith("weight_ih_l1"):
            array = array[:, : 2 * proj_size]
        changed[name] = array
    return changed


def test_other_trees_are_refused() -> None:
    with pytest.raises(UserError, match="weight_ih_l0"):
        torch_weights.from_torch({f"lstm.{n}": a for n, a in state_dict(4).items()})
    with pytest.raises(UserError, match=r"\(10, 3\)"):
        torch_weights.from_torch(state_dict(4) | {"weight_hh_l0": np.zeros((10, 3))})
    with pytest.raises(UserError, match="layers_0_forward"):
        torch_weights.to_torch({"head": {"kernel": np.zeros((2, 2))}})
    params = torch_weights.from_torch(state_dict(4, layers=2))
    for name in ("layers_0_forward", "layers_0_backward", "layers_1_forward"):
        with pytest.raises(UserError, match="not the parameters") as error:
            torch_weights.to_torch({n: cell for n, cell in params.items() if n != name})
        assert name in str(error.value) or "layers_1_backward" in str(error.value)
    with pytest.raises(UserError, match="not the parameters"):
        torch_weights.to_torch({"layers_0_forward": {"ii": {"kernel": np.zeros((2, 2))}}})


def test_torch_loads_what_to_torch_gives() -> None:
    torch = pytest.importorskip("torch")
    case = random_case(5)
    params = random_variables(case.build(), case.inputs, 0)["params"]
    layer = torch.nn.LSTM(
        case.inputs.shape[-1],
        case.hidden_size,
        num_layers=case.num_layers,
        bidirectional=case.bidirectional,
        batch_first=not case.time_major,
    )
    arrays = torch_weights.to_torch(params)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    expected, _ = layer(torch.from_numpy(case.inputs))
    actual, _ = apply(case.build(), {"params": params}, case.inputs)
    np.testing.assert_allclose(actual, expected.detach().numpy(), atol=1e-6)
    again = torch_weights.from_torch(dict(layer.named_parameters()))  # tensors that need gradients
    jax.tree.map(np.testing.assert_array_equal, again, jax.tree.map(np.asarray, params))


def test_importing_it_loads_neither_torch_nor_jax() -> None:
    code = (
        "import sys; from lstm_flax import torch_weights; "
        "assert not {'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias_hh_l0": None}, "bias_hh_l0 is missing; pass a whole state dict"),
        ({"bias_ih_l1_reverse": np.zeros(5)}, r"bias_ih_l1_reverse has shape \(5,\), which does"),
        ({"weight_ih_l0": np.zeros(8)}, r"weight_ih_l0 has shape \(8,\)"),
        ({"weight_hh_l0": None}, "found weight_ih_l0, bias_ih_l0"),
        ({"fc.weight": np.zeros((2, 4))}, r"found fc\.weight .*leave other layers out"),
        ({"weight_ih_l3": np.zeros((12, 6))}, "weight_ih_l2 is missing"),
        ({"weight_hh_l1_reverse": None}, "weight_hh_l1_reverse is missing"),
        ({"weight_ih_l1": np.zeros((12, 3))}, r"weight_ih_l1 has shape \(12, 3\)"),
        ({"weight_hr_l0": np.zeros((3, 3))}, "weight_hr_l0_reverse is missing"),
        ({"bias_hr_l0": np.zeros(3)}, "bias_hr_l0"),
    ],
)
def test_state_dicts_that_are_not_whole_or_hold_more(change: dict, message: str) -> None:
    arrays = {**state_dict(4, layers=2), **change}
    with pytest.raises(UserError, match=message):
        torch_weights.from_torch(
            {name: array for name, array in arrays.items() if array is not None}
        )
