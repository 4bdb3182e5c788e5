"""Truncated backpropagation: the values of the whole sequence, the gradient of its pieces."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax import GRU, LSTM, RNN
from lstm_flax.errors import UserError
from lstm_flax.recurrent.truncated import run_truncated

CELLS = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
STEPS, FEATURES, SIZE = 11, 3, 4
LENGTHS = jnp.array([11, 1, 6, 4, 9])


def case(cell: str, **options: Any) -> tuple[Any, Any, jax.Array]:
    """Layers, their parameters and inputs with rubbish in the padding."""
    layer = CELLS[cell](SIZE, **options)
    inputs = jax.random.normal(jax.random.key(0), (len(LENGTHS), STEPS, FEATURES))
    params = layer.init(jax.random.key(1), inputs)["params"]
    padding = jnp.arange(STEPS) >= LENGTHS[:, None]
    return layer, params, jnp.where(padding[..., None], jnp.nan, inputs)


def loss_of(outputs: jax.Array, final: Any) -> jax.Array:
    """A number that every output and every final state moves in a way of its own."""
    leaves = [outputs, *jax.tree.leaves(final)]
    total = jnp.zeros(())
    for i, leaf in enumerate(leaves):
        weights = jax.random.normal(jax.random.key(7 + i), leaf.shape)
        total += jnp.sum(weights * leaf)
    return total


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_values_are_those_of_the_whole_sequence(cell: str, bidirectional: bool) -> None:
    layer, params, inputs = case(cell, num_layers=2, bidirectional=bidirectional)
    whole = layer.apply({"params": params}, inputs, LENGTHS)
    for every in (2, 4, STEPS + 5):
        found = jax.jit(run_truncated, static_argnums=(0, 4))(layer, params, inputs, LENGTHS, every)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, whole)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_piece_as_long_as_the_sequence_has_the_full_gradient(
    cell: str, bidirectional: bool
) -> None:
    layer, params, inputs = case(cell, num_layers=2, bidirectional=bidirectional)
    inputs = jnp.nan_to_num(inputs)

    def full(params: Any, inputs: jax.Array) -> jax.Array:
        return loss_of(*layer.apply({"params": params}, inputs, LENGTHS))

    def truncated(params: Any, inputs: jax.Array) -> jax.Array:
        return loss_of(*run_truncated(layer, params, inputs, LENGTHS, STEPS))

    expected = jax.jit(jax.grad(full, argnums=(0, 1)))(params, inputs)
    found = jax.jit(jax.grad(truncated, argnums=(0, 1)))(params, inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


@pytest.mark.parametrize("every", [1, 3, 4])
def test_the_gradient_is_that_of_a_loop_over_the_cell_with_cuts(every: int) -> None:
    """Row by row and step by step, without padding, cut where a piece begins; both directions."""
    layer, params, inputs = case("lstm", bidirectional=True)
    inputs = jnp.nan_to_num(inputs)

    def by_hand(params: Any, inputs: jax.Array) -> jax.Array:
        outputs, finals = [], []
        for row, length in enumerate(LENGTHS.tolist()):
            both = []
            for direction in ("forward", "backward"):
                cell = nn.LSTMCell(SIZE)
                order = range(length) if direction == "forward" else range(length)[::-1]
                carry = (jnp.zeros(SIZE), jnp.zeros(SIZE))
                states = {}
                for step, t in enumerate(order):
                    if step % every == 0:
                        carry = jax.lax.stop_gradient(carry)
                    own = {"params": params[f"layers_0_{direction}"]}
                    carry, states[t] = cell.apply(own, carry, inputs[row, t])
                both.append(jnp.stack([states[t] for t in range(length)]))
                finals.append((carry[1], carry[0]))
            joined = jnp.concatenate(both, axis=-1)
            outputs.append(jnp.pad(joined, ((0, STEPS - length), (0, 0))))
        h, c = (jnp.stack(states) for states in zip(*finals, strict=True))
        final = tuple(state.reshape(len(LENGTHS), 2, SIZE).swapaxes(0, 1) for state in (h, c))
        return loss_of(jnp.stack(outputs), final)

    def truncated(params: Any, inputs: jax.Array) -> jax.Array:
        return loss_of(*run_truncated(layer, params, inputs, LENGTHS, every))

    expected = jax.jit(jax.grad(by_hand, argnums=(0, 1)))(params, inputs)
    found = jax.jit(jax.grad(truncated, argnums=(0, 1)))(params, inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


def test_padding_and_neighbours_change_nothing() -> None:
    layer, params, inputs = case("lstm", num_layers=2, bidirectional=True)
    inputs = jnp.nan_to_num(inputs)

    def gradient(inputs: jax.Array, lengths: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            _, (h_n, _) = run_truncated(layer, params, inputs, lengths, 3)
            return jnp.sum(jnp.sin(h_n))

        return jax.jit(jax.grad(loss))(params)

    together = gradient(inputs, LENGTHS)
    wider = gradient(jnp.pad(inputs, ((0, 0), (0, 4), (0, 0)), constant_values=9.0), LENGTHS)
    parts = [gradient(inputs[part], LENGTHS[part]) for part in (slice(0, 2), slice(2, None))]
    alone = jax.tree.map(jnp.add, *parts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), wider, together)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), alone, together)


def test_pieces_need_less_memory_than_the_whole() -> None:
    layer = LSTM(64, implementation="fused")
    inputs, lengths = jnp.ones((16, 512, 8)), jnp.full(16, 512)
    params = layer.init(jax.random.key(0), inputs)["params"]

    def temporary(every: int) -> int:
        def loss(params: Any) -> jax.Array:
            return jnp.mean(run_truncated(layer, params, inputs, lengths, every)[0])

        compiled = jax.jit(jax.grad(loss)).lower(params).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    assert temporary(64) < 0.4 * temporary(512)


def test_dropout_is_drawn_by_the_key() -> None:
    layer, params, inputs = case("lstm", num_layers=2, dropout=0.5)
    read = [
        run_truncated(layer, params, inputs, LENGTHS, 4, key)[0]
        for key in (jax.random.key(0), jax.random.key(0), jax.random.key(1), None)
    ]
    np.testing.assert_array_equal(read[0], read[1])
    assert all((read[0] != other).any() for other in read[2:])


def test_a_piece_of_nothing_is_refused() -> None:
    layer, params, inputs = case("lstm")
    with pytest.raises(UserError, match="every 0 steps: a piece needs at least 1"):
        run_truncated(layer, params, inputs, LENGTHS, 0)
