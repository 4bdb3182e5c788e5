"""The reference layers: torch's contract, Flax's cells, states, derivatives."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lstm_flax
from lstm_flax import GRU, RNN, torch_weights
from lstm_flax.errors import UserError
from tests.recurrent.recurrent_cases import (
    CELLS,
    apply,
    as_states,
    assert_close,
    make,
    random_case,
    random_variables,
    run,
)
from tests.recurrent.torch_reference import compare_with_torch, load_case, run_torch

REFERENCE = sorted((Path(__file__).parent / "reference").glob("*.npz"))
SMOKE = "lstm_11"  # the reference vectors of the smoke stage
FLAX_CELLS = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "RNN": nn.SimpleCell}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.smoke if path.stem == SMOKE else ())
        for path in REFERENCE
    ],
)
def test_reference_vectors_of_torch(path: Path) -> None:
    with np.load(path) as arrays:
        compare_with_torch(load_case(arrays), arrays, implementation="scan")


def test_the_reference_vectors_are_small_and_cover_every_cell() -> None:
    assert {path.stem.split("_")[0] for path in REFERENCE} == {"lstm", "gru", "rnn"}
    assert sum(path.stat().st_size for path in REFERENCE) < 1_000_000


@pytest.mark.slow  # CI has torch for the slow tests alone
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("seed", range(100, 104))
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


VARIANTS = [
    ("LSTM", {"proj_size": 2}),
    ("LSTM", {"proj_size": 1, "use_bias": False}),
    *((cell, {"use_bias": False}) for cell in CELLS),
    ("RNN", {"nonlinearity": "relu"}),
    ("RNN", {"nonlinearity": "relu", "use_bias": False}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "options"), VARIANTS)
def test_variants_equal_live_torch(cell: str, options: dict) -> None:
    torch = pytest.importorskip("torch")
    for seed in range(110, 114):
        torch.manual_seed(seed)
        case = random_case(seed, cell, **options)
        arrays = run_torch(case, torch.float32)
        compare_with_torch(case, arrays, implementation="scan")
        if case.proj_size == 0 and cell == "LSTM":
            compare_with_torch(case, arrays, implementation="fused")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    ("cell", "implementation", "proj_size"),
    [*((cell, "scan", 0) for cell in CELLS), ("LSTM", "scan", 2), ("LSTM", "fused", 0)],
)
def test_one_sequence_equals_live_torch(cell: str, implementation: str, proj_size: int) -> None:
    torch = pytest.importorskip("torch")
    options = {"num_layers": 2, "bidirectional": True}
    sizes = {"proj_size": proj_size} if proj_size else {}
    torch.manual_seed(0)
    theirs = getattr(torch.nn, cell)(3, 5, **options, **sizes)
    sequence = torch.randn(7, 3, requires_grad=True)
    h_0 = torch.randn(4, proj_size or 5, requires_grad=True)
    c_0 = torch.randn(4, 5, requires_grad=True)
    expected, states = theirs(sequence, (h_0, c_0) if cell == "LSTM" else h_0)
    states = states if isinstance(states, tuple) else (states,)
    (torch.sin(expected).sum() + sum((state**2).sum() for state in states)).backward()
    layer = getattr(lstm_flax, cell)(5, **options, **sizes, implementation=implementation)
    params = {"params": torch_weights.from_torch(theirs.state_dict())}
    given = [jnp.asarray(state.detach().numpy()) for state in (h_0, c_0)[: len(states)]]

    def loss(x: jax.Array, initial: Any) -> tuple[jax.Array, Any]:
        outputs, ours = layer.apply(params, x, None, initial if cell == "LSTM" else initial[0])
        total = jnp.sum(jnp.sin(outputs)) + sum(jnp.sum(s**2) for s in as_states(ours))
        return total, (outputs, as_states(ours))

    step = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    (dx, d_initial), (outputs, ours) = step(jnp.asarray(sequence.detach().numpy()), tuple(given))
    assert_close(outputs, expected.detach().numpy(), 1e-5, relative=False)
    for actual, state in zip(ours, states, strict=True):
        assert_close(actual, state.detach().numpy(), 1e-5, relative=False)
    assert_close(dx, sequence.grad.numpy(), 1e-4)
    for actual, state in zip(d_initial, (h_0, c_0), strict=False):
        assert_close(actual, state.grad.numpy(), 1e-4)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("time_major", [False, True])
def test_one_sequence_equals_a_batch_of_one(cell: str, time_major: bool) -> None:
    layer, variables, inputs, _ = make(cell, time_major=time_major)
    states = [jax.random.normal(jax.random.key(k), (4, 5)) for k in (1, 2)]
    alone = tuple(states) if cell == "LSTM" else states[0]
    together = jax.tree.map(lambda state: state[:, None], alone)
    rows = inputs[0][:, None] if time_major else inputs[:1]
    for length in (None, 4):
        lengths = None if length is None else jnp.array(length)
        outputs, final = apply(layer, variables, inputs[0], lengths, alone)
        batch_lengths = None if length is None else jnp.array([length])
        expected, expected_final = apply(layer, variables, rows, batch_lengths, together)
        np.testing.assert_allclose(outputs, expected.reshape(6, 10), atol=1e-6)
        for actual, state in zip(as_states(final), as_states(expected_final), strict=True):
            assert actual.shape == (4, 5)
            np.testing.assert_allclose(actual, state[:, 0], atol=1e-6)


@pytest.mark.parametrize(("cell", "options"), VARIANTS)
def test_parameters_of_variants(cell: str, options: dict) -> None:
    layer = getattr(lstm_flax, cell)(5, num_layers=2, bidirectional=True, **options)
    params = jax.eval_shape(layer.init, jax.random.key(0), jnp.ones((2, 3, 4)))["params"]
    leaves = {
        "/".join(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]
    }
    has_bias = any(name.endswith("bias") for name in leaves)
    assert has_bias == options.get("use_bias", True)
    proj_size = options.get("proj_size", 0)
    assert (leaves.get("layers_1_backward/hr/kernel") == (5, proj_size)) == (proj_size > 0)
    gate = {"LSTM": "i", "GRU": "n", "RNN": ""}[cell]
    assert leaves[f"layers_1_forward/i{gate}/kernel"] == (2 * (proj_size or 5), 5)
    assert leaves[f"layers_0_forward/h{gate}/kernel"] == (proj_size or 5, 5)


@pytest.mark.parametrize(("cell", "options"), VARIANTS)
def test_variants_take_recurrent_dropout(cell: str, options: dict) -> None:
    layer = getattr(lstm_flax, cell)(5, recurrent_dropout=0.5, **options)
    inputs, lengths = jax.random.normal(jax.random.key(0), (4, 6, 3)), jnp.array([6, 1, 4, 3])
    variables = random_variables(layer, inputs, 1)
    plain, _ = apply(layer, variables, inputs, lengths)
    dropped, _ = apply(
        layer,
        variables,
        inputs,
        lengths,
        deterministic=False,
        rngs={"dropout": jax.random.key(2)},
    )
    np.testing.assert_allclose(dropped[:, 0], plain[:, 0], atol=1e-6)  # h_0 is zero
    assert not np.allclose(dropped[0], plain[0])


def test_an_rnn_of_another_nonlinearity_is_refused() -> None:
    with pytest.raises(UserError, match=r"nonlinearity = 'sigmoid'.*tanh.*relu"):
        RNN(5, nonlinearity="sigmoid").init(jax.random.key(0), jnp.ones((2, 3, 4)))


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


@pytest.mark.parametrize(
    ("cell", "implementation"),
    [("LSTM", "scan"), ("LSTM", "fused"), ("GRU", "scan"), ("RNN", "scan")],
)
def test_64_bits_of_jax_change_nothing(cell: str, implementation: str) -> None:
    layer, variables, inputs, lengths = make(cell, implementation=implementation)

    def loss(variables: Any) -> Any:
        outputs, states = layer.apply(variables, inputs, lengths)
        return jnp.sum(outputs**2), (outputs, states)

    expected = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
    with jax.enable_x64(True):
        actual = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
        made = jax.eval_shape(layer.init, jax.random.key(0), inputs, lengths)
    assert {leaf.dtype for leaf in jax.tree.leaves((actual, made))} == {jnp.dtype(jnp.float32)}
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), actual, expected)


def test_the_package_imports_at_once() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import lstm_flax; "
        "assert time.perf_counter() - start < 1.5; assert 'jax' not in sys.modules; "
        "assert lstm_flax.__version__; assert set(lstm_flax.__all__) <= set(dir(lstm_flax)); "
        "from lstm_flax import LSTM; assert LSTM.__module__ == 'lstm_flax.recurrent.layers'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
