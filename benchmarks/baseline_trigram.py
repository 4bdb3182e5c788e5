"""Perplexity of a trigram model on the tokens that a language model is scored on.

    python benchmarks/baseline_trigram.py --config=imdb_pretrain

Interpolated modified Kneser-Ney (Chen and Goodman 1998, section 3) over the same vocabulary, fitted
to the same running text (training and unlabelled reviews, with END between them) and scored on the
development part. Prints one JSON object. Flags such as `--config.data.cache_dir=DIR` change the
configuration.
"""

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np

from lstm_flax.config import Config
from lstm_flax.config.files import load_config
from lstm_flax.data.opening import open_dataset
from lstm_flax.data.streams import running_text
from lstm_flax.text.tokenizer import END_ID

# KenLM's --discount_fallback values, for texts too small to estimate discounts from.
_FALLBACK = np.array([0.0, 0.5, 1.0, 1.5])


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the command line and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--config", required=True, help="as for `lstm-flax train`")
    arguments, overrides = parser.parse_known_args(argv)
    config = Config.from_config_dict(load_config(arguments.config, overrides))
    start = time.perf_counter()
    dataset = open_dataset(config.data, config.tokenizer)
    names = [name for name in ("train", "unsupervised") if name in dataset.splits]
    text = running_text([dataset.split(name) for name in names], seed=None)
    held_out = running_text([dataset.split("development")], seed=None)
    model = KneserNey(text, dataset.tokenizer.vocab_size)
    probabilities = model.probabilities(held_out)
    figures = {
        "perplexity": float(np.exp(-np.mean(np.log(probabilities)))),
        "tokens": len(probabilities),
        "training_tokens": len(text) - 1,
        "training_splits": names,
        "vocab_size": dataset.tokenizer.vocab_size,
        "discounts": [np.round(order.discounts[1:], 4).tolist() for order in model.orders],
        "ngrams": [len(order.keys) for order in model.orders],
        "seconds": round(time.perf_counter() - start, 1),
        "numpy": np.__version__,
    }
    print(json.dumps(figures))


class KneserNey:
    """A trigram model.

    Attributes:
        orders: the unigrams', the bigrams' and the trigrams' tables.
    """

    def __init__(self, text: np.ndarray, vocab_size: int) -> None:
        """Counts n-grams.

        Args:
            text: i[N + 1], END first and last; n-grams may cross the end of a review.
            vocab_size: V; every token of it has a probability, seen or not.
        """
        self._vocab_size = vocab_size
        keys, counts = np.unique(self._trigrams(text), return_counts=True)
        self.orders = [Order(keys, counts, vocab_size)]
        for size in (vocab_size**2, vocab_size):
            # Below the trigrams, an n-gram counts once for each distinct token before it.
            keys, counts = np.unique(keys % size, return_counts=True)
            self.orders.insert(0, Order(keys, counts, vocab_size))

    def probabilities(self, text: np.ndarray) -> np.ndarray:
        """Maps a text i[N + 1] to each token's probability given the two before it: f64[N]."""
        keys = self._trigrams(text)
        result = np.full(len(keys), 1 / self._vocab_size)
        for n, order in enumerate(self.orders, start=1):
            result = order.interpolate(keys % self._vocab_size**n, result)
        return result

    def _trigrams(self, text: np.ndarray) -> np.ndarray:
        """Encodes each token after the first, with the two before it, as one number: i64[N]."""
        wide = np.concatenate([[END_ID], text]).astype(np.int64)
        return (wide[:-2] * self._vocab_size + wide[1:-1]) * self._vocab_size + wide[2:]


class Order:
    """The n-grams of one n; key // V is the key of the context, key % V the last token.

    Attributes:
        keys: i64[K], ascending.
        discounts: f64[4]: subtracted from a count of 0, 1, 2, and 3 or more.
    """

    def __init__(self, keys: np.ndarray, counts: np.ndarray, vocab_size: int) -> None:
        self.keys = keys
        self._counts = counts
        self._vocab_size = vocab_size
        self.discounts = estimate_discounts(counts)
        self._contexts, starts = np.unique(keys // vocab_size, return_index=True)
        taken = self.discounts[np.minimum(counts, 3)]
        self._totals = np.add.reduceat(counts, starts)
        self._taken = np.add.reduceat(taken, starts) / self._totals

    def interpolate(self, keys: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """Computes probabilities of the last tokens of n-grams, interpolated with the lower order.

        Args:
            keys: i64[N].
            lower: f64[N], their probabilities under the lower order.
        """
        context, known = _find(self._contexts, keys // self._vocab_size)
        ngram, seen = _find(self.keys, keys)
        counts = np.where(seen, self._counts[ngram], 0)
        left = counts - self.discounts[np.minimum(counts, 3)]
        interpolated = left / self._totals[context] + self._taken[context] * lower
        return np.where(known, interpolated, lower)


def estimate_discounts(counts: np.ndarray) -> np.ndarray:
    """Estimates discounts f64[4] of counts 0, 1, 2, 3 or more (Chen & Goodman 1998, section 3)."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if min(n1, n2, n3, n4) == 0:
        return _FALLBACK
    y = n1 / (n1 + 2 * n2)
    discounts = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    return np.clip(discounts, 0, [0, 1, 2, 3])


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds each wanted key's position among ascending keys, and whether it is there."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places, keys[places] == wanted


if __name__ == "__main__":
    main()
