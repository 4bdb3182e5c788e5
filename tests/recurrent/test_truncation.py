"""Truncated backpropagation through time equals a plain loop that cuts the carried states."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.linen import OptimizedLSTMCell

from lstm_flax.errors import UserError
from lstm_flax.recurrent.cells import direction_name
from lstm_flax.recurrent.implementations import cudnn, dispatch
from tests.recurrent.recurrent_cases import (
    LAYERS,
    Case,
    apply,
    assert_close,
    make,
    random_case,
    random_variables,
    run,
)
from tests.recurrent.test_cudnn import reference_lstm

FLAX_CELLS: dict[str, Any] = {"LSTM": OptimizedLSTMCell, "GRU": nn.GRUCell, "RNN": nn.SimpleCell}
TOLERANCE = 1e-5
RUNS = [("LSTM", "scan"), ("LSTM", "fused"), ("LSTM", "cudnn"), ("GRU", "scan"), ("RNN", "scan")]


@pytest.fixture(autouse=True)
def reference_in_place_of_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudnn.rnn, "lstm", reference_lstm)
    monkeypatch.setattr(dispatch, "why_not_cudnn", lambda *arguments: None)


def two_layers(cell: str, bidirectional: bool = True, width: int = 5) -> Case:
    """Three rows of 1 to 5 steps, initial states and cotangents of every result."""
    rng = np.random.default_rng(8)
    directions, states = 1 + bidirectional, 1 + (cell == "LSTM")

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return Case(
        cell=cell,
        num_layers=2,
        bidirectional=bidirectional,
        time_major=False,
        hidden_size=4,
        inputs=normal(3, width, 3),
        lengths=np.array([5, 1, 4]),
        initial_state=tuple(normal(2 * directions, 3, 4) for _ in range(states)),
        output_cotangent=normal(3, width, 4 * directions),
        state_cotangents=tuple(normal(2 * directions, 3, 4) for _ in range(states)),
    )


def loop(case: Case, params: Any, every: int) -> Any:
    """Gradients by parameters, inputs and initial states, step by step, row by row."""
    cell = jax.jit(FLAX_CELLS[case.cell](case.hidden_size).apply)
    directions = 1 + case.bidirectional

    def loss(params: Any, inputs: Any, initial: Any) -> jax.Array:
        total = jnp.zeros(())
        for row, length in enumerate(case.lengths):
            x = [inputs[row, t] for t in range(length)]
            for layer in range(case.num_layers):
                sides = []
                for direction in range(directions):
                    at = layer * directions + direction
                    weights = {"params": params[direction_name(layer, direction)]}
                    states = [array[at, row] for array in initial]
                    carry = tuple(states[::-1]) if len(states) == 2 else states[0]
                    outputs = []
                    for step, x_t in enumerate(x[::-1] if direction else x):
                        if step > 0 and step % every == 0:
                            carry = jax.lax.stop_gradient(carry)
                        carry, h = cell(weights, carry, x_t)
                        outputs.append(h)
                    sides.append(outputs[::-1] if direction else outputs)
                    final = carry[::-1] if len(states) == 2 else (carry,)
                    for state, cotangent in zip(final, case.state_cotangents, strict=True):
                        total += jnp.sum(state * cotangent[at, row])
                x = [jnp.concatenate(both) for both in zip(*sides, strict=True)]
            total += jnp.sum(jnp.stack(x) * case.output_cotangent[row, :length])
        return total

    grads = jax.grad(loss, argnums=(0, 1, 2))(params, case.inputs, case.initial_state)
    return dict(zip(("params", "inputs", "initial_state"), grads, strict=True))


@pytest.fixture(scope="module")
def by_loop() -> dict[Any, Any]:
    """What the loop found, by cell and direction: it compiles for seconds."""
    return {}


@pytest.mark.parametrize(
    ("cell", "implementation", "bidirectional"),
    [(*run, True) for run in RUNS] + [("LSTM", "fused", False)],
)
def test_values_are_untruncated_and_gradients_those_of_a_loop(
    cell: str, implementation: str, bidirectional: bool, by_loop: dict[Any, Any]
) -> None:
    case = two_layers(cell, bidirectional)
    params = random_variables(case.build(), case.inputs, 1)["params"]
    whole, full = run(case, params, implementation=implementation)
    values, gradients = run(case, params, implementation=implementation, truncate_gradient_every=2)
    assert_close(values, whole, 1e-6)
    if (cell, bidirectional) not in by_loop:
        by_loop[cell, bidirectional] = loop(case, params, every=2)
    expected = by_loop[cell, bidirectional]
    for name in expected:
        assert_close(gradients[name], expected[name], TOLERANCE)
    with pytest.raises(AssertionError):  # or nothing would have been cut
        assert_close(full["params"], expected["params"], 100 * TOLERANCE)


@pytest.mark.parametrize(("cell", "implementation"), RUNS)
def test_chunks_as_long_as_the_rows_cut_nothing(cell: str, implementation: str) -> None:
    """Chunks of T steps; and chunks that are shorter than the batch, but not than any row."""
    for width in (5, 8):
        case = two_layers(cell, width=width)
        params = random_variables(case.build(), case.inputs, 1)["params"]
        options = {"implementation": implementation}
        whole = run(case, params, **options)
        chunked = run(case, params, **options, truncate_gradient_every=5)
        assert_close(chunked, whole, TOLERANCE)


def test_padding_moves_no_boundary() -> None:
    options = {"implementation": "fused", "truncate_gradient_every": 2}
    found = []
    for width in (5, 8):
        case = two_layers("LSTM")
        padding = [(0, 0), (0, width - 5), (0, 0)]
        case = Case(
            **(
                vars(case)
                | {
                    name: np.pad(getattr(case, name), padding)
                    for name in ("inputs", "output_cotangent")
                }
            )
        )
        params = random_variables(case.build(), case.inputs, 1)["params"]
        values, gradients = run(case, params, **options)
        found.append([values["states"], gradients["params"], gradients["inputs"][:, :5]])
    assert_close(found[1], found[0], TOLERANCE)


@pytest.mark.parametrize("seed", [3, 4])
def test_projections_and_both_orders_of_axes(seed: int) -> None:
    case = random_case(seed, proj_size=2)
    params = random_variables(case.build(), case.inputs, seed)["params"]
    values, _ = run(case, params, truncate_gradient_every=2)
    whole, _ = run(case, params)
    assert_close(values, whole, 1e-6)


@pytest.mark.parametrize("per_step", [False, True])
def test_dropout_draws_the_masks_of_the_untruncated_layer(per_step: bool) -> None:
    case = two_layers("LSTM")
    params = random_variables(case.build(), case.inputs, 1)["params"]
    options = {"dropout": 0.4, "recurrent_dropout": 0.4, "recurrent_dropout_per_step": per_step}
    for implementation in ("scan", "fused"):
        options["implementation"] = implementation
        whole, _ = run(case, params, seed=1, **options)
        values, _ = run(case, params, seed=1, **options, truncate_gradient_every=2)
        assert_close(values, whole, 1e-6)


def test_bfloat16_stays_near_float32() -> None:
    case = two_layers("LSTM")
    params = random_variables(case.build(), case.inputs, 1)["params"]
    wide = run(case, params, truncate_gradient_every=2)
    for implementation in ("scan", "fused"):
        options = {"implementation": implementation, "dtype": jnp.bfloat16}
        narrow = run(case, params, **options, truncate_gradient_every=2)
        assert narrow[0]["outputs"].dtype == jnp.bfloat16
        for ours, expected in zip(narrow, wide, strict=True):
            for name in expected:  # as of the implementations themselves, see test_fused.py
                assert_close(ours[name], expected[name], 0.08)


def test_less_memory_is_held_for_the_backward_pass() -> None:
    """The values inside the cells, by far the most of it, are held for one chunk."""
    layer = LAYERS["LSTM"](32, bidirectional=True, implementation="fused")
    x, lengths = jnp.ones((8, 512, 16)), jnp.full(8, 512)
    variables = random_variables(layer, x, 0)
    sizes = []
    for every in (0, 32):
        cut = layer.clone(truncate_gradient_every=every)
        grad = jax.grad(lambda v, cut=cut: jnp.sum(cut.apply(v, x, lengths)[0]))
        analysis = jax.jit(grad).lower(variables).compile().memory_analysis()
        sizes.append(analysis.temp_size_in_bytes)
    assert sizes[1] < sizes[0] / 2


def test_a_stack_starts_and_runs_without_lengths() -> None:
    layer, variables, inputs, _ = make("GRU")
    cut = layer.clone(truncate_gradient_every=2)
    fresh = jax.eval_shape(cut.init, jax.random.key(0), inputs)
    assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, variables)
    assert_close(apply(cut, variables, inputs), apply(layer, variables, inputs), 1e-6)
    assert_close(apply(cut, variables, inputs[0]), apply(layer, variables, inputs[0]), 1e-6)
    with pytest.raises(UserError, match=r"truncate_gradient_every = -1: .*0 for the whole"):
        layer.clone(truncate_gradient_every=-1).apply(variables, inputs)
