"""Dropout of the reference layers: where it acts, and for how long."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax import RNN
from tests.recurrent.recurrent_cases import (
    CELLS,
    apply,
    make,
)


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
