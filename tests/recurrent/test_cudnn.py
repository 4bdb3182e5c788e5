"""cuDNN's path: its packing against JAX's own reference on any device, itself on an NVIDIA GPU."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from lstm_flax import LSTM
from lstm_flax.errors import UserError
from lstm_flax.recurrent.implementations import cudnn, dispatch
from lstm_flax.recurrent.implementations.cudnn import pack_weights, why_not_cudnn
from lstm_flax.training.train import warn_of_undivided_batches
from tests.recurrent.recurrent_cases import assert_close, make, random_case, random_variables, run

OBSTACLE = why_not_cudnn("LSTM", jnp.float32, recurrent_dropout=False)
needs_gpu = pytest.mark.skipif(OBSTACLE is not None, reason=f"cuDNN cannot run: {OBSTACLE}")


def reference_lstm(
    x: Any, h_0: Any, c_0: Any, weights: Any, lengths: Any, *rest: Any
) -> tuple[Any, Any, Any]:
    """In the place of cuDNN's call: JAX's reference, which unpacks the same flat vector."""
    input_size, hidden_size, num_layers, dropout, bidirectional, precision = rest
    assert precision in (jax.lax.Precision.HIGH, jax.lax.Precision.HIGHEST)
    shape = (input_size, hidden_size, num_layers)
    assert weights.shape == (rnn.get_num_params_in_lstm(*shape, bidirectional),)
    parts = rnn.unpack_lstm_weights(weights, *shape, bidirectional)
    return rnn.lstm_ref(x, h_0, c_0, *parts, lengths, *shape, dropout, bidirectional)


@pytest.fixture
def reference_in_place_of_cudnn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Routes `implementation='cudnn'` to JAX's reference; counts the calls."""
    calls: list[int] = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments[7])
        return reference_lstm(*arguments)

    monkeypatch.setattr(cudnn.rnn, "lstm", counted)
    monkeypatch.setattr(dispatch, "why_not_cudnn", lambda *arguments: None)
    return calls


def test_packed_weights_unpack_to_torch_matrices() -> None:
    layer = LSTM(3, num_layers=2, bidirectional=True)
    params = random_variables(layer, jnp.ones((1, 2, 5)), 0)["params"]
    names = [f"layers_{k}_{d}" for k in (0, 1) for d in ("forward", "backward")]
    packed = pack_weights([params[name] for name in names])
    w_ih, w_hh, b_ih, b_hh = rnn.unpack_lstm_weights(packed, 5, 3, 2, True)
    for index, name in enumerate(names):
        for gate_index, gate in enumerate("ifgo"):
            rows = slice(3 * gate_index, 3 * gate_index + 3)
            cell = params[name]
            np.testing.assert_array_equal(w_ih[index][rows], cell[f"i{gate}"]["kernel"].T)
            np.testing.assert_array_equal(w_hh[index][rows], cell[f"h{gate}"]["kernel"].T)
            np.testing.assert_array_equal(b_ih[index][rows], 0)
            np.testing.assert_array_equal(b_hh[index][rows], cell[f"h{gate}"]["bias"])


@pytest.mark.parametrize(
    "seed", [500, *[pytest.param(seed, marks=pytest.mark.slow) for seed in (501, 504)], 502, 503]
)
def test_equals_scan_through_jax_reference(
    seed: int, reference_in_place_of_cudnn: list[int]
) -> None:
    case = random_case(seed)
    params = random_variables(case.build(), case.inputs, seed)["params"]
    actual = run(case, params, implementation="cudnn")
    assert set(reference_in_place_of_cudnn) == {case.num_layers}  # all layers in one call
    for ours, expected in zip(actual, run(case, params, implementation="scan"), strict=True):
        for name in expected:
            assert_close(ours[name], expected[name], 1e-5)


def test_merged_layers_are_a_call_each(reference_in_place_of_cudnn: list[int]) -> None:
    layer, variables, inputs, lengths = make(direction_merge="sum", implementation="cudnn")
    actual = layer.apply(variables, inputs, lengths)
    assert set(reference_in_place_of_cudnn) == {1}
    expected = layer.clone(implementation="scan").apply(variables, inputs, lengths)
    assert_close(actual, expected, 1e-5)


def test_dropout_between_layers_is_ours(reference_in_place_of_cudnn: list[int]) -> None:
    case = next(case for case in map(random_case, range(99)) if case.num_layers == 3)
    params = random_variables(case.build(), case.inputs, 0)["params"]
    actual, _ = run(case, params, seed=3, implementation="cudnn", dropout=0.5)
    assert set(reference_in_place_of_cudnn) == {1}  # a call a layer
    expected, _ = run(case, params, seed=3, implementation="scan", dropout=0.5)
    assert_close(actual["outputs"], expected["outputs"], 1e-5)


def test_parameters_are_those_of_the_scan(reference_in_place_of_cudnn: list[int]) -> None:
    layers = [
        LSTM(5, num_layers=2, bidirectional=True, implementation=name) for name in ("scan", "cudnn")
    ]
    trees = [jax.jit(layer.init)(jax.random.key(0), jnp.ones((2, 3, 4))) for layer in layers]
    jax.tree.map(np.testing.assert_array_equal, *trees)


def test_precision_follows_jax_configuration() -> None:
    assert cudnn._precision() == jax.lax.Precision.HIGH
    for name in ("highest", "float32"):
        with jax.default_matmul_precision(name):
            assert cudnn._precision() == jax.lax.Precision.HIGHEST
    for name in ("tensorfloat32", "bfloat16"):
        with jax.default_matmul_precision(name):
            assert cudnn._precision() == jax.lax.Precision.HIGH


def test_obstacles_are_named() -> None:
    assert "GRU" in str(why_not_cudnn("GRU", jnp.float32, False))
    assert "bfloat16" in str(why_not_cudnn("LSTM", jnp.bfloat16, False))
    assert "recurrent dropout" in str(why_not_cudnn("LSTM", jnp.float32, True))
    layer = LSTM(5, implementation="cudnn", dtype=jnp.bfloat16)
    with pytest.raises(UserError, match="float32, not bfloat16; choose auto"):
        layer.init(jax.random.key(0), jnp.ones((2, 3, 4)))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="says what happens without a GPU")
def test_without_a_gpu_the_choice_is_refused() -> None:
    with pytest.raises(UserError, match="needs an NVIDIA GPU, and the device here is 'cpu'"):
        LSTM(5, implementation="cudnn").init(jax.random.key(0), jnp.ones((2, 3, 4)))


@pytest.mark.parametrize(
    ("implementation", "devices", "warns"),
    [("cudnn", 2, True), ("cudnn", 1, False), ("auto", 2, False), ("fused", 2, False)],
)
def test_several_devices_that_cannot_share_are_warned_of(
    implementation: str, devices: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_undivided_batches(implementation, devices)
    assert ("each of the 2 devices computes the LSTM of the whole batch" in caplog.text) == warns


def test_auto_leaves_cudnn_to_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "why_not_cudnn", lambda *arguments: None)
    for devices, expected in ((1, "cudnn"), (2, "fused")):
        monkeypatch.setattr(jax, "device_count", lambda devices=devices: devices)
        choice = dispatch.choose_implementation("auto", "LSTM", jnp.float32, False)
        assert choice == expected


def compare_on_gpu(seed: int) -> None:
    """Values, states and all gradients of one random shape."""
    case = random_case(seed)
    params = random_variables(case.build(), case.inputs, seed)["params"]
    with jax.default_matmul_precision("highest"):
        actual = run(case, params, implementation="cudnn")
        expected = run(case, params, implementation="scan")
    for ours, reference in zip(actual, expected, strict=True):
        for name in reference:
            assert_close(ours[name], reference[name], 1e-5)


@needs_gpu
@pytest.mark.parametrize("seed", range(500, 520))
def test_cudnn_equals_scan(seed: int) -> None:
    compare_on_gpu(seed)


@needs_gpu
@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(520, 720, 10))
def test_cudnn_equals_scan_on_two_hundred_shapes(first: int) -> None:
    for seed in range(first, first + 10):
        compare_on_gpu(seed)


@needs_gpu
def test_auto_takes_cudnn_on_one_gpu() -> None:
    expected = "cudnn" if jax.device_count() == 1 else "fused"
    choice = dispatch.choose_implementation("auto", "LSTM", jnp.float32, False)
    assert choice == expected
