"""Vectors from co-occurrence: what stands in like company lies close."""

import numpy as np
import pytest

from lstm_flax.errors import UserError
from lstm_flax.text.ppmi_svd import DEVIATION, fit_word_vectors
from lstm_flax.text.tokenized import TokenizedSplit


def two_topics(seed: int = 0) -> TokenizedSplit:
    """Texts whose tokens are 10 to 29, or 30 to 49, never both."""
    rng = np.random.default_rng(seed)
    return TokenizedSplit.from_sequences(
        [rng.integers(10, 30, size=20) + 20 * (i % 2) for i in range(200)], np.zeros(200)
    )


def test_tokens_of_one_topic_lie_close() -> None:
    vectors = fit_word_vectors([two_topics()], 60, 8)
    unit = vectors[10:50] / np.linalg.norm(vectors[10:50], axis=1, keepdims=True)
    likeness = unit @ unit.T
    assert likeness[:20, :20].mean() > likeness[:20, 20:].mean() + 0.3


def test_scale_and_tokens_that_never_occur() -> None:
    vectors = fit_word_vectors([two_topics()], 60, 8)
    assert vectors.shape == (60, 8)
    assert vectors.dtype == np.float32
    assert not vectors[:10].any()
    assert not vectors[50:].any()
    np.testing.assert_allclose(vectors[10:50].std(), DEVIATION, rtol=1e-5)


def test_texts_do_not_run_into_one_another() -> None:
    """The order of the texts is of no importance, so no pair lies across a border."""
    split = two_topics()
    backwards = TokenizedSplit.from_sequences(list(split)[::-1], np.zeros(200))
    vectors, again = fit_word_vectors([split], 60, 8), fit_word_vectors([backwards], 60, 8)
    np.testing.assert_allclose(vectors @ vectors.T, again @ again.T, atol=1e-3)


def test_a_vocabulary_smaller_than_the_vectors() -> None:
    split = TokenizedSplit.from_sequences([np.array([4, 5, 6, 4, 5, 6])] * 3, np.zeros(3))
    vectors = fit_word_vectors([split], 7, 16)
    assert vectors.shape == (7, 16)
    assert np.isfinite(vectors).all()
    assert vectors[4:].any()


def test_texts_of_one_word_are_refused() -> None:
    split = TokenizedSplit.from_sequences([np.array([4]), np.array([5])] * 5, np.zeros(10))
    with pytest.raises(UserError, match="single words"):
        fit_word_vectors([split], 7, 4)
