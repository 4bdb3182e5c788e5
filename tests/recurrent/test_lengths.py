"""Lengths of the reference layers: padding, neighbours, a sequence cut in two."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.recurrent.recurrent_cases import (
    CELLS,
    apply,
    as_states,
    make,
)


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
