"""Masks and reversals against plain Python."""

import jax.numpy as jnp
import numpy as np

from lstm_flax.model.masking import reverse_within_length, sequence_mask


def test_sequence_mask_counts_each_row() -> None:
    mask = sequence_mask(jnp.array([1, 4, 3]), 4)
    expected = [[True, False, False, False], [True] * 4, [True, True, True, False]]
    assert mask.dtype == bool
    assert mask.tolist() == expected


def test_reverse_within_length_leaves_padding_in_place() -> None:
    values = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    lengths = np.array([5, 1, 3])
    actual = np.asarray(reverse_within_length(jnp.asarray(values), jnp.asarray(lengths)))
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(actual[row, :length], values[row, :length][::-1])
        np.testing.assert_array_equal(actual[row, length:], values[row, length:])


def test_reversing_twice_gives_the_sequence_back() -> None:
    values = jnp.arange(12.0).reshape(3, 4)
    lengths = jnp.array([2, 4, 1])
    twice = reverse_within_length(reverse_within_length(values, lengths), lengths)
    assert twice.tolist() == values.tolist()
