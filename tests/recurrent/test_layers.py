"""The reference layers: torch's contract, Flax's cells, states, derivatives."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax import GRU, RNN
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
FLAX_CELLS = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "RNN": nn.SimpleCell}


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
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


def test_the_package_imports_at_once() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import lstm_flax; "
        "assert time.perf_counter() - start < 1.5; assert 'jax' not in sys.modules; "
        "assert lstm_flax.__version__; assert set(lstm_flax.__all__) <= set(dir(lstm_flax)); "
        "from lstm_flax import LSTM; assert LSTM.__module__ == 'lstm_flax.recurrent.layers'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
