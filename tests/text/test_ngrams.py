"""N-gram ratios against plain counting; a training text's own label does not reach its features."""

import math

import numpy as np
import pytest

from lstm_flax.config import TokenizerConfig
from lstm_flax.data.batching import Batcher
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.ngrams import FOLDS, MIN_COUNT, fit_ngram_ratios, fold_of
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
    whole, crossed = fit_ngram_ratios(split, classes, order)
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
    _, before = fit_ngram_ratios(split, 2, 3)
    group = split.groups == split.groups[5]
    assert group.sum() > 1
    fold = fold_of(split.groups) == fold_of(split.groups[5:6])[0]
    split.labels = np.where(fold, 1 - split.labels, split.labels)
    _, after = fit_ngram_ratios(split, 2, 3)
    rows = np.flatnonzero(fold)
    np.testing.assert_array_equal(features_of(before, split, rows), features_of(after, split, rows))
    others = np.flatnonzero(~fold)[:10]
    assert (features_of(before, split, others) != features_of(after, split, others)).any()


def test_a_cut_text_keeps_the_features_of_the_whole_one() -> None:
    split = random_split(2)
    whole, _ = fit_ngram_ratios(split, 2, 3)
    row = np.array([int(np.argmax(split.lengths))])
    full = features_of(whole, split, row)[0, : split.lengths[row[0]]]
    encoder = TextEncoder(TOKENIZER, whole)
    batcher = Batcher(split, encoder, batch_size=1, bucket_widths=(32,), max_length=5)
    cut = batcher.make(row, 32).token_features[0]
    np.testing.assert_array_equal(cut[:5], np.concatenate([full[:3], full[-2:]]))
    assert not cut[5:].any()


def test_unknown_ngrams_say_nothing() -> None:
    whole, _ = fit_ngram_ratios(random_split(3), 2, 3)
    strange = TokenizedSplit.from_sequences([np.arange(500, 520)], [0])
    assert not features_of(whole, strange, np.array([0])).any()


def test_texts_too_few_to_repeat_an_ngram_say_nothing() -> None:
    split = TokenizedSplit.from_sequences([np.array([4, 5]), np.array([6])], [0, 1])
    whole, crossed = fit_ngram_ratios(split, 2, 2)
    assert not features_of(whole, split, np.array([0, 1])).any()
    assert not features_of(crossed, split, np.array([0, 1])).any()
