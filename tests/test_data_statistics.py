import numpy as np

from lstm_flax.data.statistics import describe_split
from lstm_flax.data.token_cache import TokenizedSplit
from lstm_flax.data.tokenizer import UNKNOWN_ID


def test_figures_of_a_split_equal_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 90, 50)
    sequences = [rng.integers(1, 20, n).astype(np.int32) for n in lengths]
    labels = rng.integers(-1, 3, 50).astype(np.int32)
    texts = [f"text {n % 40}" for n in range(50)]
    split = TokenizedSplit.from_sequences(sequences, labels)
    figures = describe_split(split, texts, ("a", "b", "c"), max_length=30)
    assert figures.examples == 50
    assert figures.label_counts == {name: int((labels == i).sum()) for i, name in enumerate("abc")}
    assert figures.length_quantiles[0] == lengths.min()
    assert figures.length_quantiles[3] == lengths.max()
    assert figures.length_quantiles[1] == np.sort(lengths)[24]
    assert sum(figures.length_histogram.values()) == 50
    assert figures.length_histogram[32] == int(((lengths > 16) & (lengths <= 32)).sum())
    tokens = np.concatenate(sequences)
    assert figures.unknown_rate == np.mean(tokens == UNKNOWN_ID)
    assert figures.cut_texts == np.mean(lengths > 30)
    assert figures.cut_tokens == np.maximum(lengths - 30, 0).sum() / len(tokens)
    assert figures.duplicates == 10
