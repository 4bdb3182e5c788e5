"""Weights of n-grams against plain counting and scikit-learn; no text's label reaches its own."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lstm_flax.config import TokenizerConfig
from lstm_flax.data.batching import Batcher
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.ngrams import fitting as ngram_fitting
from lstm_flax.text.ngrams.fitting import (
    MIN_COUNT,
    STRENGTH,
    count_ngrams,
    fit_ngram_weights,
    regression,
)
from lstm_flax.text.ngrams.weights import FOLDS, fold_of
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["a few words"], TokenizerConfig(kind="char", vocab_size=20))


def random_split(seed: int, texts: int = 120, classes: int = 2) -> TokenizedSplit:
    """Short texts over few tokens, so that n-grams recur, and groups of several texts."""
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(4, 12, size=rng.integers(1, 9)) for _ in range(texts)]
    split = TokenizedSplit.from_sequences(sequences, rng.integers(0, classes, size=texts))
    split.groups = rng.integers(0, 40, size=texts).astype(np.uint64)
    return split


def ngrams_ending_at(text: list[int], t: int, order: int) -> list[tuple[int, ...] | None]:
    return [tuple(text[t - n + 1 : t + 1]) if t - n + 1 >= 0 else None for n in range(1, order + 1)]


def expected_ratio(ngram, split: TokenizedSplit, others: np.ndarray, c: int) -> float:
    """The formula of the module, by counting the texts that hold the n-gram."""

    def holds(text: list[int]) -> bool:
        n = len(ngram)
        return any(tuple(text[i : i + n]) == ngram for i in range(len(text) - n + 1))

    having = [i for i in others if holds(split[i].tolist())]
    if ngram is None or len(having) < MIN_COUNT:
        return 0.0
    own = sum(split.labels[i] == c for i in having)
    part = np.mean(split.labels[others] == c)
    ratio = (own + 2 * part) / (len(having) - own + 2 * (1 - part))
    return math.log(ratio) - math.log(part / (1 - part))


def features_of(ratios, split: TokenizedSplit, rows: np.ndarray, width: int = 32) -> np.ndarray:
    encoder = TextEncoder(TOKENIZER, ratios)
    batcher = Batcher(
        split, encoder, batch_size=len(rows), bucket_widths=(width,), max_length=width
    )
    return batcher.make(rows, width).token_features


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("order", [1, 3])
def test_features_equal_plain_counting(classes: int, order: int) -> None:
    split, rows = random_split(0, classes=classes), np.arange(12)
    whole, crossed = fit_ngram_weights(split, classes, order)
    everything = np.arange(len(split))
    folds = fold_of(split.groups)
    assert len(set(folds)) > FOLDS / 2
    found = {"whole": features_of(whole, split, rows), "crossed": features_of(crossed, split, rows)}
    labels = [1] if classes == 2 else range(classes)
    for row in rows:
        text = split[row].tolist()
        others = {"whole": everything, "crossed": everything[folds != folds[row]]}
        for name, features in found.items():
            for t in range(len(text)):
                expected = [
                    0.0 if ngram is None else expected_ratio(ngram, split, others[name], c)
                    for ngram in ngrams_ending_at(text, t, order)
                    for c in labels
                ]
                np.testing.assert_allclose(features[row, t], expected, atol=4e-3)
            assert not features[row, len(text) :].any()
    assert any(f.any() for f in found.values())


def test_a_training_texts_features_do_not_depend_on_its_own_label() -> None:
    split = random_split(1)
    _, before = fit_ngram_weights(split, 2, 3)
    group = split.groups == split.groups[5]
    assert group.sum() > 1
    fold = fold_of(split.groups) == fold_of(split.groups[5:6])[0]
    split.labels = np.where(fold, 1 - split.labels, split.labels)
    _, after = fit_ngram_weights(split, 2, 3)
    rows = np.flatnonzero(fold)
    np.testing.assert_array_equal(features_of(before, split, rows), features_of(after, split, rows))
    others = np.flatnonzero(~fold)[:10]
    assert (features_of(before, split, others) != features_of(after, split, others)).any()


def test_a_cut_text_keeps_the_features_of_the_whole_one() -> None:
    split = random_split(2)
    whole, _ = fit_ngram_weights(split, 2, 3)
    row = np.array([int(np.argmax(split.lengths))])
    full = features_of(whole, split, row)[0, : split.lengths[row[0]]]
    encoder = TextEncoder(TOKENIZER, whole)
    batcher = Batcher(split, encoder, batch_size=1, bucket_widths=(32,), max_length=5)
    cut = batcher.make(row, 32).token_features[0]
    np.testing.assert_array_equal(cut[:5], np.concatenate([full[:3], full[-2:]]))
    assert not cut[5:].any()


def test_unknown_ngrams_say_nothing() -> None:
    whole, _ = fit_ngram_weights(random_split(3), 2, 3)
    strange = TokenizedSplit.from_sequences([np.arange(500, 520)], [0])
    assert not features_of(whole, strange, np.array([0])).any()


def test_texts_too_few_to_repeat_an_ngram_say_nothing() -> None:
    split = TokenizedSplit.from_sequences([np.array([4, 5]), np.array([6])], [0, 1])
    whole, crossed = fit_ngram_weights(split, 2, 2)
    assert not features_of(whole, split, np.array([0, 1])).any()
    assert not features_of(crossed, split, np.array([0, 1])).any()


@pytest.mark.parametrize("classes", [2, 3])
def test_regression_weights_are_those_of_scikit_learn(classes: int) -> None:
    split = random_split(4, texts=400, classes=classes)
    keys, counts = count_ngrams(split, 2)
    weights = regression(counts, split.lengths, split.labels, classes)
    idf = np.log((1 + len(split)) / (1 + (counts > 0).sum(axis=0).A1)) + 1
    inputs = counts.toarray() / np.sqrt(split.lengths[:, None]) * idf
    model = LogisticRegression(C=STRENGTH, tol=1e-6, max_iter=1000).fit(inputs, split.labels)
    assert len(keys) == counts.shape[1] > 20
    np.testing.assert_allclose(weights, model.coef_.T * idf[:, None], atol=0.02)
    assert np.abs(weights).max() > 0.5


def test_votes_of_regression_weights_are_the_logits_of_the_linear_model() -> None:
    split, rows = random_split(5, classes=3), np.arange(20)
    _, counts = count_ngrams(split, 2)
    weights = regression(counts, split.lengths, split.labels, 3)
    whole, _ = fit_ngram_weights(split, 3, 2, "regression")
    sums = features_of(whole, split, rows).sum(axis=1).reshape(len(rows), 2, 3).sum(axis=1)
    np.testing.assert_allclose(sums, counts[rows] @ weights, atol=0.02)


def test_cross_fitted_regression_weights_do_not_know_their_own_texts() -> None:
    """Labels drawn at random: what is learnt from a text says nothing about another."""
    split = random_split(6, texts=600)
    whole, crossed = fit_ngram_weights(split, 2, 3, "regression")
    rows = np.arange(600)
    right = {
        name: np.mean((features_of(found, split, rows).sum(axis=(1, 2)) > 0) == split.labels)
        for name, found in (("whole", whole), ("crossed", crossed))
    }
    assert right["whole"] > 0.75
    assert abs(right["crossed"] - 0.5) < 0.1


def test_a_regression_takes_the_most_frequent_ngrams_of_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = random_split(7)
    _, counts = count_ngrams(split, 3)
    monkeypatch.setattr(ngram_fitting, "_MOST_WEIGHTS", 60)
    whole, _ = fit_ngram_weights(split, 2, 3, "regression")
    having = np.sort((counts > 0).sum(axis=0).A1)
    assert counts.shape[1] > 60
    assert 1 <= len(whole.keys) == (having > having[-31]).sum() <= 30


def test_weights_keep_their_kind_in_a_file() -> None:
    split = random_split(8)
    for kind in ("ratios", "regression"):
        encoder = TextEncoder(TOKENIZER).fit_ngrams(split, 2, 2, kind)
        again = TextEncoder.from_files(encoder.to_files())
        assert again.ngrams is not None
        assert encoder.ngrams is not None
        assert again.ngrams.kind == kind
        np.testing.assert_array_equal(again.ngrams.tables, encoder.ngrams.tables)
        crossed = [any_.for_training(split, 2).to_files() for any_ in (encoder, again)]
        assert crossed[0] == crossed[1] != encoder.to_files()
