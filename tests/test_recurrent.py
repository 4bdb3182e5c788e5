"""The reference layers: torch's contract, Flax's parameters, lengths, dropout, errors."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax import GRU, LSTM, RNN
from lstm_flax.errors import UserError
from lstm_flax.model.initializers import orthogonal
from tests.recurrent_cases import (
    LAYERS,
    apply,
    as_states,
    assert_close,
    random_case,
    random_variables,
    run,
)
from tests.torch_reference import compare_with_torch, load_case, run_torch

REFERENCE = sorted((Path(__file__).parent / "reference").glob("*.npz"))
FLAX_CELLS = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "RNN": nn.SimpleCell}
CELLS = sorted(LAYERS)


def make(cell: str = "LSTM", seed: int = 0, **options: Any) -> tuple[Any, Any, Any, Any]:
    """A two-layer bidirectional layer with its parameters, inputs [4, 6, 3] and lengths."""
    options = {"num_layers": 2, "bidirectional": True, "implementation": "scan"} | options
    layer = LAYERS[cell](5, **options)
    inputs = jax.random.normal(jax.random.key(seed), (4, 6, 3))
    return layer, random_variables(layer, inputs, seed), inputs, jnp.array([6, 1, 4, 3])


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_reference_vectors_of_torch(path: Path) -> None:
    with np.load(path) as arrays:
        compare_with_torch(load_case(arrays), arrays, implementation="scan")


def test_the_reference_vectors_are_small_and_cover_every_cell() -> None:
    assert {path.stem.split("_")[0] for path in REFERENCE} == {"lstm", "gru", "rnn"}
    assert sum(path.stat().st_size for path in REFERENCE) < 1_000_000


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("seed", [101, 103])
def test_equals_live_torch(cell: str, seed: int) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    case = random_case(seed, cell)
    compare_with_torch(case, run_torch(case, torch.float32), implementation="scan")


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("first", range(200, 300, 10))
def test_equals_live_torch_on_a_hundred_shapes(cell: str, first: int) -> None:
    torch = pytest.importorskip("torch")
    for seed in range(first, first + 10):
        torch.manual_seed(seed)
        case = random_case(seed, cell)
        compare_with_torch(case, run_torch(case, torch.float32), implementation="scan")


@pytest.mark.parametrize("cell", CELLS)
def test_equals_a_python_loop_over_each_row(cell: str) -> None:
    layer, variables, inputs, lengths = make(cell, num_layers=1)
    outputs, states = apply(layer, variables, inputs, lengths)
    flax_cell = FLAX_CELLS[cell](5)
    for row, length in enumerate(lengths.tolist()):
        for direction, name in enumerate(("layers_0_forward", "layers_0_backward")):
            params = {"params": variables["params"][name]}
            carry = flax_cell.initialize_carry(jax.random.key(0), (3,))
            steps = range(length) if direction == 0 else reversed(range(length))
            for t in steps:
                carry, output = apply(flax_cell, params, carry, inputs[row, t])
                actual = outputs[row, t, 5 * direction : 5 * direction + 5]
                np.testing.assert_allclose(actual, output, atol=1e-6)
            expected = (carry[1], carry[0]) if cell == "LSTM" else (carry,)
            for actual, state in zip(as_states(states), expected, strict=True):
                np.testing.assert_allclose(actual[direction, row], state, atol=1e-6)


def test_shapes_and_order_of_the_states() -> None:
    layer, variables, inputs, lengths = make()
    outputs, (h_n, c_n) = apply(layer, variables, inputs, lengths)
    assert outputs.shape == (4, 6, 10)
    assert h_n.shape == c_n.shape == (4, 4, 5)
    rows = jnp.arange(4)
    # The last layer's states come last: forward at each row's end, backward at its beginning.
    np.testing.assert_array_equal(h_n[2], outputs[rows, lengths - 1, :5])
    np.testing.assert_array_equal(h_n[3], outputs[:, 0, 5:])
    time_major, states = apply(
        layer.clone(time_major=True), variables, inputs.swapaxes(0, 1), lengths
    )
    np.testing.assert_array_equal(time_major.swapaxes(0, 1), outputs)
    np.testing.assert_array_equal(states[0], h_n)


@pytest.mark.parametrize("cell", [GRU, RNN])
def test_gru_and_rnn_return_one_state(cell: Any) -> None:
    inputs = jnp.ones((2, 3, 4))
    layer = cell(5)
    (outputs, h_n), _ = layer.init_with_output(jax.random.key(0), inputs)
    assert outputs.shape == (2, 3, 5)
    np.testing.assert_array_equal(h_n[0], outputs[:, -1])


@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_may_be_cut_and_its_state_carried_over(cell: str) -> None:
    layer, variables, inputs, _ = make(cell, bidirectional=False)
    whole, final = apply(layer, variables, inputs)
    first, middle = apply(layer, variables, inputs[:, :2])
    second, last = apply(layer, variables, inputs[:, 2:], None, middle)
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), whole, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), last, final)


@pytest.mark.parametrize("cell", CELLS)
def test_padding_changes_nothing_bit_for_bit(cell: str) -> None:
    layer, variables, inputs, lengths = make(cell)
    outputs, states = apply(layer, variables, inputs, lengths)
    mask = (jnp.arange(6) < lengths[:, None])[..., None]
    wider = jnp.where(mask, inputs, jnp.nan)
    wider = jnp.concatenate([wider, jnp.full((4, 3, 3), jnp.inf)], axis=1)
    padded, padded_states = apply(layer, variables, wider, lengths)
    np.testing.assert_array_equal(padded[:, :6], outputs)
    assert not padded[:, 6:].any()
    assert not jnp.where(mask, 0, outputs).any()
    jax.tree.map(np.testing.assert_array_equal, padded_states, states)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_finite_and_zero_in_the_padding(cell: str) -> None:
    layer, variables, inputs, lengths = make(cell)
    mask = (jnp.arange(6) < lengths[:, None])[..., None]

    def loss(variables: Any, inputs: jax.Array) -> jax.Array:
        outputs, states = layer.apply(variables, inputs, lengths)
        return jnp.sum(jnp.sin(outputs)) + sum(jnp.sum(state**2) for state in as_states(states))

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    clean = gradient(variables, jnp.where(mask, inputs, 0))
    dirty = gradient(variables, jnp.where(mask, inputs, jnp.nan))
    jax.tree.map(np.testing.assert_array_equal, dirty, clean)
    assert not jnp.where(mask, 0, clean[1]).any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))


@pytest.mark.parametrize("cell", CELLS)
def test_rows_do_not_know_their_neighbours(cell: str) -> None:
    layer, variables, inputs, lengths = make(cell)
    outputs, states = apply(layer, variables, inputs, lengths)
    order = jnp.array([2, 0, 3, 1])
    permuted, permuted_states = apply(layer, variables, inputs[order], lengths[order])
    np.testing.assert_allclose(permuted, outputs[order], atol=1e-6)
    for actual, state in zip(as_states(permuted_states), as_states(states), strict=True):
        np.testing.assert_allclose(actual, state[:, order], atol=1e-6)
    for row in range(4):
        alone, _ = apply(layer, variables, inputs[row : row + 1], lengths[row : row + 1])
        np.testing.assert_allclose(alone[0], outputs[row], atol=1e-6)


def test_no_lengths_means_full_lengths() -> None:
    layer, variables, inputs, _ = make()
    full = jax.tree.leaves(apply(layer, variables, inputs, jnp.full(4, 6)))
    for a, b in zip(jax.tree.leaves(apply(layer, variables, inputs)), full, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_other_lengths_do_not_compile_again() -> None:
    layer, variables, inputs, lengths = make()
    compiled = jax.jit(layer.apply)
    compiled(variables, inputs, lengths)
    compiled(variables, inputs, lengths[::-1])
    assert compiled._cache_size() == 1


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
    sizes = jax.tree.map(
        jnp.shape, nn.LSTMCell(5).init(jax.random.key(0), (jnp.zeros(5),) * 2, jnp.zeros(3))
    )
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


def test_dropout_acts_between_layers_only() -> None:
    key = {"dropout": jax.random.key(7)}
    one, variables, inputs, lengths = make(num_layers=1, dropout=0.5)
    plain, _ = apply(one, variables, inputs, lengths)
    dropped, _ = apply(one, variables, inputs, lengths, deterministic=False, rngs=key)
    np.testing.assert_array_equal(dropped, plain)

    two, variables, inputs, lengths = make(dropout=0.5)
    plain, (h_plain, _) = apply(two, variables, inputs, lengths)
    dropped, (h_dropped, _) = apply(two, variables, inputs, lengths, deterministic=False, rngs=key)
    again, _ = apply(two, variables, inputs, lengths, deterministic=False, rngs=key)
    np.testing.assert_array_equal(again, dropped)
    np.testing.assert_array_equal(h_dropped[:2], h_plain[:2])  # the first layer sees none
    assert not np.allclose(dropped, plain)
    valid = np.arange(6) < np.asarray(lengths)[:, None]
    assert np.asarray(dropped)[valid].all()  # no output of the last layer is dropped


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_dropout_acts_on_what_enters_the_gates(cell: str) -> None:
    layer, variables, inputs, lengths = make(cell, num_layers=1, recurrent_dropout=0.5)
    key = {"dropout": jax.random.key(7)}
    plain, _ = apply(layer, variables, inputs, lengths)
    dropped, _ = apply(layer, variables, inputs, lengths, deterministic=False, rngs=key)
    assert not np.allclose(dropped, plain)
    per_step = layer.clone(recurrent_dropout_per_step=True)
    other, _ = apply(per_step, variables, inputs, lengths, deterministic=False, rngs=key)
    assert not np.allclose(other, dropped)
    # Without recurrent kernels nothing is left to drop: the state carried over is whole.
    no_kernels = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * (path[-2].key[0] != "h" or path[-1].key != "kernel"), variables
    )
    for module in (layer, per_step):
        plain, _ = apply(module, no_kernels, inputs, lengths)
        dropped, _ = apply(module, no_kernels, inputs, lengths, deterministic=False, rngs=key)
        np.testing.assert_allclose(dropped, plain, atol=1e-6)


def test_recurrent_dropout_mask_stays_for_a_whole_sequence() -> None:
    # A linear cell makes the mask visible: with inputs, kernels and state small, tanh is the
    # identity, and the state of a dropped unit is its input alone, at every step.
    layer = RNN(8, recurrent_dropout=0.5, implementation="scan")
    inputs = jnp.full((3, 5, 1), 1e-3)
    cell = {"h": {"kernel": jnp.eye(8)}, "i": {"kernel": jnp.ones((1, 8)), "bias": jnp.zeros(8)}}
    variables = {"params": {"layers_0_forward": cell}}
    key = {"dropout": jax.random.key(0)}
    outputs, _ = apply(layer, variables, inputs, deterministic=False, rngs=key)
    growth = np.round(np.asarray(outputs) * 1e3)
    kept, dropped = np.cumsum(2.0 ** np.arange(5)), np.ones(5)
    units = growth.transpose(0, 2, 1).reshape(-1, 5)
    is_kept = units[:, 1] > 1
    assert 0 < is_kept.sum() < len(units)
    np.testing.assert_array_equal(units, np.where(is_kept[:, None], kept, dropped))


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({}, (np.ones((2, 3), np.float32),), "three axes"),
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
    with pytest.raises(UserError, match=r"layers_1_forward are for 10 features"):
        layer.copy(bidirectional=False).apply(variables, inputs)


@pytest.mark.parametrize("cell", CELLS)
def test_arguments_in_torch_s_order_are_refused(cell: str) -> None:
    for arguments in ((16, 64), (16, 64, 2)):
        with pytest.raises(
            UserError, match=r"\(16, 64, \.\.\.\): give hidden_size alone by position"
        ):
            LAYERS[cell](*arguments)
    with pytest.raises(TypeError, match="positional arguments"):
        LAYERS[cell](16, 64, 2, True)


def test_second_derivatives_and_forward_mode_of_the_scan() -> None:
    layer, variables, inputs, lengths = make(num_layers=1)

    def loss(inputs: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(apply(layer, variables, inputs, lengths)[0]))

    slope = jax.jit(jax.grad(loss))
    gradient, curvature = jax.jvp(slope, (inputs,), (jnp.ones_like(inputs),))
    step = 1e-2
    difference = slope(inputs + step) - slope(inputs - step)
    np.testing.assert_allclose(curvature, difference / (2 * step), atol=2e-3)
    assert np.isfinite(gradient).all()


def test_batch_first_and_time_major_have_the_same_gradients() -> None:
    case = random_case(21)
    params = random_variables(case.build(), case.inputs, 0)["params"]
    values, gradients = run(case, params, implementation="scan")
    swapped = {
        name: np.swapaxes(getattr(case, name), 0, 1) for name in ("inputs", "output_cotangent")
    }
    other = type(case)(**{**vars(case), **swapped, "time_major": not case.time_major})
    other_values, other_gradients = run(other, params, implementation="scan")
    assert_close(other_values["states"], values["states"], 1e-6)
    assert_close(other_gradients["params"], gradients["params"], 1e-5)


def test_the_package_imports_at_once() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import lstm_flax; "
        "assert time.perf_counter() - start < 1.5; assert 'jax' not in sys.modules; "
        "assert lstm_flax.__version__; assert set(lstm_flax.__all__) <= set(dir(lstm_flax)); "
        "from lstm_flax import LSTM; assert LSTM.__module__ == 'lstm_flax.model.recurrent'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
