"""Parameters and arguments of the recurrent layers: their start, their types, what is refused."""

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax import LSTM
from lstm_flax.errors import UserError
from lstm_flax.recurrent.initializers import orthogonal
from tests.recurrent.recurrent_cases import (
    CELLS,
    LAYERS,
    apply,
    as_states,
    make,
)


def test_initial_parameters() -> None:
    params = LSTM(64).init(jax.random.key(0), jnp.zeros((2, 3, 32)))["params"]["layers_0_forward"]
    for gate in "ifgo":
        recurrent, kernel = params[f"h{gate}"]["kernel"], params[f"i{gate}"]["kernel"]
        np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(64), atol=1e-5)
        bound = np.sqrt(6 / (32 + 64))  # Glorot & Bengio (2010), equation 16
        assert 0.95 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_array_equal(params[f"h{gate}"]["bias"], float(gate == "f"))
    assert not np.allclose(params["hi"]["kernel"], params["hf"]["kernel"])


def test_init_is_the_same_traced_and_abstract() -> None:
    layer, _, inputs, _ = make(num_layers=1)
    variables = jax.jit(layer.init)(jax.random.key(1), inputs)
    eager = layer.init(jax.random.key(1), inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), eager, variables)
    abstract = jax.eval_shape(layer.init, jax.random.key(1), inputs)
    assert jax.tree.map(jnp.shape, abstract) == jax.tree.map(jnp.shape, variables)
    carry = (jnp.zeros(5),) * 2
    cell = jax.eval_shape(nn.LSTMCell(5).init, jax.random.key(0), carry, jnp.zeros(3))
    sizes = jax.tree.map(jnp.shape, cell)
    assert jax.tree.map(jnp.shape, variables["params"]["layers_0_forward"]) == sizes["params"]


def test_orthogonal_is_orthogonal_and_uniform() -> None:
    matrix = orthogonal(jax.random.key(3), (7, 7))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(7), atol=1e-6)
    many = jax.vmap(lambda key: orthogonal(key, (2, 2)))(jax.random.split(jax.random.key(0), 4000))
    # Both reflections and rotations, and every angle: entries average 0, their squares 1/2.
    assert abs(float(jnp.mean(jnp.linalg.det(many)))) < 0.06
    np.testing.assert_allclose(jnp.mean(many, axis=0), 0, atol=0.05)
    np.testing.assert_allclose(jnp.mean(many**2, axis=0), 0.5, atol=0.05)
    with pytest.raises(ValueError, match="square"):
        orthogonal(jax.random.key(0), (2, 3))


@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_products_and_float32_state(cell: str) -> None:
    layer, variables, inputs, lengths = make(cell, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    outputs, states = apply(layer, variables, inputs, lengths)
    exact, _ = apply(layer.clone(dtype=jnp.float32), variables, inputs, lengths)
    assert outputs.dtype == jnp.bfloat16
    kept = {"LSTM": (jnp.bfloat16, jnp.float32), "GRU": (jnp.float32,), "RNN": (jnp.bfloat16,)}
    assert tuple(state.dtype for state in as_states(states)) == kept[cell]
    np.testing.assert_allclose(outputs.astype(jnp.float32), exact, atol=0.05)


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({}, (np.ones(3, np.float32),), r"three axes .* or two .*\(3,\)"),
        ({}, (np.ones((2, 3, 1, 1), np.float32),), "three axes"),
        ({}, (np.ones((2, 3), np.float32), np.array([2])), "one integer"),
        ({}, (np.ones((2, 3), np.float32), np.array(3)), "from 1 to 2"),
        ({}, (np.ones((2, 3), np.float32), None, (np.ones((1, 1, 4)),) * 2), r"\(1, 4\)"),
        (
            {"proj_size": 2},
            (np.ones((2, 3, 1), np.float32), None, (np.ones((1, 2, 4)),) * 2),
            r"\(1, 2, 2\) and \(1, 2, 4\)",
        ),
        ({"proj_size": 4}, (np.ones((2, 3, 1), np.float32),), "proj_size = 4: .*hidden_size = 4"),
        ({"proj_size": -1}, (np.ones((2, 3, 1), np.float32),), "proj_size = -1"),
        ({}, (np.ones((2, 3, 1), np.int32),), "embed token ids"),
        ({}, (np.ones((2, 3, 1), np.float32), np.array([0, 3])), "row 0 has 0"),
        ({}, (np.ones((2, 3, 1), np.float32), np.array([3, 4])), "from 1 to 3 .* row 1 has 4"),
        ({}, (np.ones((2, 3, 1), np.float32), np.array([3])), "2 integers"),
        ({}, (np.ones((2, 3, 1), np.float32), np.array([3.0, 2.0])), "2 integers"),
        ({}, (np.ones((2, 3, 1), np.float32), None, (np.ones((2, 2, 4)),) * 2), r"\(1, 2, 4\)"),
        ({}, (np.ones((2, 3, 1), np.float32), None, (np.ones((1, 2, 4)),)), "2 array"),
        ({"dropout": 1.0}, (np.ones((2, 3, 1), np.float32),), "dropout = 1.0"),
        ({"recurrent_dropout": -0.1}, (np.ones((2, 3, 1), np.float32),), "recurrent_dropout"),
        ({"num_layers": 0}, (np.ones((2, 3, 1), np.float32),), "num_layers = 0"),
        ({"implementation": "fast"}, (np.ones((2, 3, 1), np.float32),), "choose auto, scan"),
    ],
)
def test_mistakes_are_named(options: dict, arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        LSTM(4, **options).init(jax.random.key(0), *arguments)


@pytest.mark.parametrize(
    ("cell", "implementation"), [*((cell, "scan") for cell in CELLS), ("LSTM", "fused")]
)
def test_parameters_of_another_size_are_refused(cell: str, implementation: str) -> None:
    layer, variables, inputs, _ = make(cell, implementation=implementation)
    message = r"^4 features, hidden_size = 5: .* layers_0_forward are for 3 features, hidden_size"
    with pytest.raises(UserError, match=message):
        layer.apply(variables, jnp.pad(inputs, [(0, 0), (0, 0), (0, 1)]))
    with pytest.raises(UserError, match=r"^3 features, hidden_size = 6: .*hidden_size = 5"):
        layer.copy(hidden_size=6).apply(variables, inputs)
    forward = layer.copy(bidirectional=False)
    with pytest.raises(UserError, match=r"the parameters hold layers_0_backward"):
        forward.apply(variables, inputs)
    cells = {n: cell for n, cell in variables["params"].items() if n.endswith("_forward")}
    with pytest.raises(UserError, match=r"layers_1_forward are for 10 features"):
        forward.apply({"params": cells}, inputs)


def test_parameters_in_boxes_are_taken_and_those_of_another_cell_named_by_flax() -> None:
    layer, variables, inputs, lengths = make()
    boxed = jax.tree.map(lambda leaf: nn.Partitioned(leaf, (None,) * leaf.ndim), variables)
    expected, found = apply(layer, variables, inputs, lengths), layer.apply(boxed, inputs, lengths)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    with pytest.raises(flax.errors.ScopeParamNotFoundError, match="kernel"):
        layer.apply(make("GRU")[1], inputs, lengths)


@pytest.mark.parametrize("cell", CELLS)
def test_arguments_in_torch_s_order_are_refused(cell: str) -> None:
    for arguments in ((16, 64), (16, 64, 2)):
        with pytest.raises(
            UserError, match=r"\(16, 64, \.\.\.\): give hidden_size alone by position"
        ):
            LAYERS[cell](*arguments)
    with pytest.raises(TypeError, match="positional arguments"):
        LAYERS[cell](16, 64, 2, True)
