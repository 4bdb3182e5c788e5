"""The fused LSTM equals the scan: values, states and gradients; and what it may be asked to do."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from lstm_flax import LSTM
from lstm_flax.errors import UserError
from lstm_flax.recurrent.implementations.fused import fused_layer
from lstm_flax.recurrent.implementations.scan import DirectionStart
from tests.recurrent.recurrent_cases import apply, assert_close, random_case, random_variables, run
from tests.recurrent.torch_reference import compare_with_torch, load_case

REFERENCE = [
    path
    for path in sorted((Path(__file__).parent / "reference").glob("lstm_*.npz"))
    if "projected" not in path.stem
]

# bfloat16 keeps 8 bits: one rounding is 2^-9 = 0.002 of a number. The scan rounds every gate and
# sums its weight gradients step by step in bfloat16; the fused loop rounds only what enters a
# product. Over up to three layers and nine steps they differ by at most this part of the largest.
BFLOAT16_TOLERANCE = 0.08
FLOAT32_TOLERANCE = 1e-5

# Others of the quick tests, or the reference vectors, have as many layers and directions.
ALIKE, LONG, LONGER = (pytest.param(seed, marks=pytest.mark.slow) for seed in (300, 302, 304))


def compare_with_scan(
    seed: int, tolerance: float, dropout_seed: int | None, **options: Any
) -> None:
    """Values, states and all gradients of one random shape."""
    case = random_case(seed)
    params = random_variables(case.build(), case.inputs, seed)["params"]
    scan = run(case, params, seed=dropout_seed, implementation="scan", **options)
    fused = run(case, params, seed=dropout_seed, implementation="fused", **options)
    for actual, expected in zip(fused, scan, strict=True):
        for name in expected:
            assert_close(actual[name], expected[name], tolerance)
            same = jax.tree.map(lambda a, b: a.dtype == b.dtype, actual[name], expected[name])
            assert all(jax.tree.leaves(same))


def make(**options: Any) -> tuple[Any, Any, Any, Any]:
    """A bidirectional layer with its parameters, inputs [4, 6, 3] and lengths."""
    layer = LSTM(5, bidirectional=True, implementation="fused", **options)
    inputs = jax.random.normal(jax.random.key(0), (4, 6, 3))
    return layer, random_variables(layer, inputs, 1), inputs, jnp.array([6, 1, 4, 3])


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_reference_vectors_of_torch(path: Path) -> None:
    with np.load(path) as arrays:
        compare_with_torch(load_case(arrays), arrays, implementation="fused")


@pytest.mark.parametrize("seed", [ALIKE, 301, LONG, 303, LONGER, 305])
def test_equals_scan(seed: int) -> None:
    compare_with_scan(seed, FLOAT32_TOLERANCE, None)


@pytest.mark.parametrize("seed", [pytest.param(310, marks=pytest.mark.slow), 311, 312])
def test_equals_scan_in_bfloat16(seed: int) -> None:
    compare_with_scan(seed, BFLOAT16_TOLERANCE, None, dtype=jnp.bfloat16)


@pytest.mark.parametrize("per_step", [False, True])
def test_equals_scan_under_dropout(per_step: bool) -> None:
    compare_with_scan(
        320 + per_step,
        FLOAT32_TOLERANCE,
        5,
        dropout=0.3,
        recurrent_dropout=0.4,
        recurrent_dropout_per_step=per_step,
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(400, 600, 20))
def test_equals_scan_on_two_hundred_shapes(first: int) -> None:
    for seed in range(first, first + 20):
        compare_with_scan(seed, FLOAT32_TOLERANCE, None)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(600, 800, 20))
def test_equals_scan_on_two_hundred_shapes_in_bfloat16(first: int) -> None:
    for seed in range(first, first + 20):
        compare_with_scan(seed, BFLOAT16_TOLERANCE, None, dtype=jnp.bfloat16)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(800, 820, 5))
def test_equals_scan_under_dropout_on_twenty_shapes(first: int) -> None:
    for seed in range(first, first + 5):
        options = {"recurrent_dropout": 0.4, "recurrent_dropout_per_step": bool(seed % 2)}
        compare_with_scan(seed, FLOAT32_TOLERANCE, seed, dropout=0.3, **options)


def test_equals_scan_without_lengths_and_at_a_size_of_use() -> None:
    inputs = jax.random.normal(jax.random.key(0), (8, 50, 32))
    scan = LSTM(64, bidirectional=True, implementation="scan")
    variables = random_variables(scan, inputs, 1)

    def values_and_gradients(layer: Any) -> Any:
        def loss(variables: Any, inputs: jax.Array) -> tuple[jax.Array, Any]:
            outputs, states = layer.apply(variables, inputs)
            return jnp.sum(jnp.sin(outputs)) + jnp.sum(states[1] ** 2), (outputs, states)

        return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(variables, inputs)

    fused = values_and_gradients(scan.clone(implementation="fused"))
    for actual, expected in zip(fused, values_and_gradients(scan), strict=True):
        assert_close(actual, expected, FLOAT32_TOLERANCE)


@pytest.mark.parametrize("seed", [300, 302, LONGER])
def test_without_a_gradient_the_values_are_the_same(seed: int) -> None:
    case = random_case(seed)  # with and without an initial state: two ways through the loop
    variables = random_variables(case.build(), case.inputs, seed)
    for initial in (None, tuple(np.ones_like(state) for state in case.state_cotangents)):
        scan, fused = (
            apply(case.build(implementation=name), variables, case.inputs, case.lengths, initial)
            for name in ("scan", "fused")
        )
        assert_close(fused, scan, FLOAT32_TOLERANCE)


def test_gradients_are_those_of_finite_differences() -> None:
    layer, variables, inputs, lengths = make()
    initial = tuple(jax.random.normal(jax.random.key(k), (2, 4, 5)) for k in (2, 3))

    @jax.jit
    def loss(variables: Any, inputs: jax.Array, initial: Any) -> jax.Array:
        outputs, (h_n, c_n) = layer.apply(variables, inputs, lengths, initial)
        return jnp.mean(jnp.sin(outputs)) + jnp.mean(h_n * c_n)

    check_grads(loss, (variables, inputs, initial), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


def test_padding_changes_nothing_bit_for_bit() -> None:
    layer, variables, inputs, lengths = make(num_layers=2)
    mask = (jnp.arange(6) < lengths[:, None])[..., None]
    wider = jnp.where(mask, inputs, jnp.nan)
    wider = jnp.concatenate([wider, jnp.full((4, 3, 3), jnp.inf)], axis=1)

    def loss(variables: Any, inputs: jax.Array) -> tuple[jax.Array, Any]:
        outputs, states = layer.apply(variables, inputs, lengths)
        return jnp.sum(jnp.sin(outputs)) + jnp.sum(states[0] * states[1]), (outputs, states)

    step = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    gradients, (outputs, states) = step(variables, inputs)
    padded_gradients, (padded, padded_states) = step(variables, wider)
    np.testing.assert_array_equal(padded[:, :6], outputs)
    assert not padded[:, 6:].any()
    jax.tree.map(np.testing.assert_array_equal, padded_states, states)
    # Sums over more (zero) rows may be split otherwise: equal but for rounding.
    assert_close(padded_gradients[0], gradients[0], 1e-6)
    np.testing.assert_array_equal(padded_gradients[1][:, :6], gradients[1])
    assert not padded_gradients[1][:, 6:].any()


def test_vmap_over_batches_and_over_parameters() -> None:
    layer, variables, inputs, lengths = make()
    stack = jnp.stack([inputs, inputs[::-1]])
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), variables)

    @jax.jit
    def gradient(variables: Any, inputs: jax.Array) -> Any:
        return jax.grad(lambda v: jnp.sum(layer.apply(v, inputs, lengths)[0] ** 2))(variables)

    actual = jax.jit(jax.vmap(gradient))(many, stack)
    for index in range(2):
        one = jax.tree.map(lambda leaf, index=index: leaf[index], many)
        expected = gradient(one, stack[index])
        assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], actual), expected, 1e-5)


def test_strict_dtype_promotion() -> None:
    layer, variables, inputs, lengths = make()
    cells = list(variables["params"].values())
    for dtype in (jnp.float32, jnp.bfloat16):
        x = inputs.swapaxes(0, 1).astype(dtype)
        h_0, c_0 = jnp.ones((4, 5), dtype), jnp.ones((4, 5))
        starts = [DirectionStart(h_0, c_0, jnp.ones((4, 5), dtype), bool(d)) for d in (0, 1)]

        def loss(cells: Any, x: jax.Array, starts: Any = starts) -> jax.Array:
            outputs, finals = fused_layer(x, cells, starts, lengths, True)
            return jnp.sum(outputs).astype(jnp.float32) + jnp.sum(finals[0][1])

        with jax.numpy_dtype_promotion("strict"):
            gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(cells, x)
        assert gradients[1].dtype == dtype
        assert {leaf.dtype for leaf in jax.tree.leaves(gradients[0])} == {jnp.dtype("float32")}
    assert layer.implementation == "fused"


def test_other_derivatives_say_that_scan_has_them() -> None:
    layer, variables, inputs, lengths = make()

    def loss(inputs: jax.Array) -> jax.Array:
        return jnp.sum(layer.apply(variables, inputs, lengths)[0])

    with pytest.raises(UserError, match="scan"):
        jax.jvp(loss, (inputs,), (inputs,))
    with pytest.raises(UserError, match="scan"):
        jax.grad(lambda x: jnp.sum(jax.grad(loss)(x)))(inputs)
    with pytest.raises(UserError, match="scan"):
        jax.jit(jax.grad(lambda x: jnp.sum(jax.grad(loss)(x))))(inputs)
    with pytest.raises(UserError, match="scan"):
        jax.jvp(jax.grad(loss), (inputs,), (inputs,))
    with pytest.raises(TypeError, match="forward-mode"):  # JAX's own message: found after tracing
        jax.jit(lambda x: jax.jvp(loss, (x,), (x,)))(inputs)


@pytest.mark.slow
def test_two_devices_share_a_batch() -> None:
    code = textwrap.dedent(
        """
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
        from lstm_flax import LSTM
        layer = LSTM(5, num_layers=2, bidirectional=True, implementation="fused")
        inputs = jax.random.normal(jax.random.key(0), (4, 6, 3))
        lengths = jnp.array([6, 1, 4, 3])
        variables = layer.init(jax.random.key(1), inputs)
        def loss(variables, inputs, lengths):
            outputs, (h_n, c_n) = layer.apply(variables, inputs, lengths)
            return jnp.sum(jnp.sin(outputs)) + jnp.sum(h_n * c_n)
        step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
        expected = step(variables, inputs, lengths)
        mesh = Mesh(np.array(jax.devices()), ("data",))
        def put(array):
            return jax.device_put(array, NamedSharding(mesh, P("data")))
        placed = variables, put(inputs), put(lengths)
        program = step.lower(*placed).compile().as_text()
        assert "all-gather" not in program, "every device computes all rows"
        actual = step(*placed)
        assert len(actual[1][1].sharding.device_set) == 2
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), actual, expected)
        """
    )
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=environment)


@pytest.mark.parametrize("seed", [301, 303])
def test_equals_scan_without_biases(seed: int) -> None:
    case = random_case(seed, use_bias=False)
    params = random_variables(case.build(), case.inputs, seed)["params"]
    scan, fused = (run(case, params, implementation=name) for name in ("scan", "fused"))
    for actual, expected in zip(fused, scan, strict=True):
        for name in expected:
            assert_close(actual[name], expected[name], FLOAT32_TOLERANCE)


@pytest.mark.parametrize("use_bias", [True, False])
def test_parameters_with_and_without_biases_are_not_confused(use_bias: bool) -> None:
    layer = LSTM(5, use_bias=use_bias, implementation="fused")
    variables = random_variables(layer, jnp.ones((2, 3, 4)), 0)
    with pytest.raises(UserError, match=f"use_bias = {not use_bias}.*layers_0_forward"):
        layer.clone(use_bias=not use_bias).apply(variables, jnp.ones((2, 3, 4)))


def test_a_batch_without_rows() -> None:
    inputs, lengths = jnp.ones((0, 5, 3)), jnp.zeros(0, int)
    for bidirectional in (False, True):
        layer = LSTM(4, bidirectional=bidirectional, implementation="fused")
        variables = layer.init(jax.random.key(0), jnp.ones((1, 5, 3)))
        outputs, _ = layer.apply(variables, inputs, lengths)
        assert outputs.shape == (0, 5, 4 * (1 + bidirectional))
