"""Masks against plain Python."""

import jax.numpy as jnp

from lstm_flax.recurrent.masking import sequence_mask


def test_sequence_mask_counts_each_row() -> None:
    mask = sequence_mask(jnp.array([1, 4, 3]), 4)
    expected = [[True, False, False, False], [True] * 4, [True, True, True, False]]
    assert mask.dtype == bool
    assert mask.tolist() == expected
