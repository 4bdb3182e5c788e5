"""Arguments of the layers and weights that would be taken in silence for something else."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from lstm_flax import GRU, LSTM, torch_weights
from lstm_flax.errors import UserError
from tests.recurrent.test_torch_weights import state_dict

INPUTS = jnp.ones((2, 5, 2))


@pytest.mark.parametrize("layers", [1, 2])
def test_weights_of_more_layers_or_directions_are_not_dropped(layers: int) -> None:
    params = torch_weights.from_torch(state_dict(4, layers=2))
    with pytest.raises(UserError, match=r"the parameters hold layers_\d_\w+"):
        LSTM(3, num_layers=layers).apply({"params": params}, INPUTS)
    LSTM(3, num_layers=2, bidirectional=True).apply({"params": params}, INPUTS)


def test_a_layer_named_in_two_ways_is_refused() -> None:
    arrays = state_dict(4)
    arrays["weight_ih_l00"] = arrays["weight_ih_l0"] + 1
    with pytest.raises(UserError, match="weight_ih_l00"):
        torch_weights.from_torch(arrays)


class Tensor:
    """What torch's bfloat16 tensors do: they know no numpy array of their own."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.dtype = values, "torch.bfloat16"

    def detach(self) -> "Tensor":
        return self

    def cpu(self) -> "Tensor":
        return self

    def numpy(self) -> np.ndarray:
        raise TypeError("Got unsupported ScalarType BFloat16")

    def float(self) -> Any:
        wide = self.values.astype(np.float32)
        return SimpleNamespace(numpy=lambda: wide, dtype="torch.float32")


def test_bfloat16_weights_come_and_go_as_float32() -> None:
    halves = {name: array.astype(ml_dtypes.bfloat16) for name, array in state_dict(4).items()}
    params = torch_weights.from_torch({name: Tensor(array) for name, array in halves.items()})
    for leaf in jax.tree.leaves(params):
        assert leaf.dtype == np.float32
    np.testing.assert_array_equal(
        params["layers_0_forward"]["ii"]["kernel"], halves["weight_ih_l0"][:3].T.astype(np.float32)
    )
    back = torch_weights.to_torch(jax.tree.map(lambda leaf: jnp.asarray(leaf, "bfloat16"), params))
    assert {array.dtype for array in back.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(back["weight_hh_l0"], halves["weight_hh_l0"].astype(np.float32))


STATE = jnp.zeros((1, 2, 3))


@pytest.mark.parametrize(
    ("layer", "state", "message"),
    [
        (LSTM(3), STATE, "in a tuple, not"),
        (LSTM(3), {"h": STATE, "c": STATE}, "in a tuple, not dict"),
        (LSTM(3), (STATE, None), "not ArrayImpl, NoneType"),
        (LSTM(3), (STATE,), r"must be 2 array\(s\)"),
        (LSTM(3), (STATE.astype(int), STATE), "floating-point numbers, not int32, float32"),
        (GRU(3), (STATE, STATE), r"must be 1 array\(s\)"),
        (GRU(3), "zeros", "not str"),
    ],
)
def test_a_state_of_the_wrong_kind(layer: Any, state: Any, message: str) -> None:
    variables = layer.init(jax.random.key(0), INPUTS)
    with pytest.raises(UserError, match=message):
        layer.apply(variables, INPUTS, initial_state=state)


@pytest.mark.parametrize("shape", [(2, 0, 2), (0, 2)])
def test_inputs_without_a_time_step(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="have no time step"):
        LSTM(3).init(jax.random.key(0), jnp.ones(shape))


@pytest.mark.parametrize("initial", [False, True])
def test_traced_lengths_out_of_range_count_as_the_nearest(initial: bool) -> None:
    inputs = jax.random.normal(jax.random.key(0), (4, 5, 2))
    variables = LSTM(3, bidirectional=True).init(jax.random.key(1), inputs)
    state = (jnp.full((2, 4, 3), 0.5), jnp.full((2, 4, 3), -0.5)) if initial else None
    results = []
    for implementation in ("scan", "fused"):
        layer = LSTM(3, bidirectional=True, implementation=implementation)
        run = jax.jit(lambda lengths, layer=layer: layer.apply(variables, inputs, lengths, state))
        results += [run(jnp.array([9, 5, 0, -3])), run(jnp.array([5, 5, 1, 1]))]
    for other in results[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), results[0], other)


@pytest.mark.parametrize("name", ["bidirectional", "time_major", "use_bias"])
@pytest.mark.parametrize("value", ["False", 1, None])
def test_an_attribute_that_is_neither_true_nor_false(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"{name} = .*: must be True or False"):
        LSTM(4, **{name: value}).init(jax.random.key(0), jnp.ones((2, 3, 4)))
