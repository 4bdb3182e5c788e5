"""The look-up of hashes against numpy's binary search."""

import numpy as np
import pytest

from lstm_flax.text.ngrams.sorted_hashes import SortedHashes

TOP = 2**32 - 1


def _tables() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    even = rng.integers(0, 2**32, 5_000)
    return {
        "hashes": even,
        "one": np.array([7]),
        "ends": np.array([0, TOP]),
        "crowded": np.arange(1_000),  # no hashes: all under one prefix
        "crowded and even": np.concatenate([np.arange(31), even]),
        "top": np.arange(TOP - 20, TOP + 1),
    }


@pytest.mark.parametrize("name", _tables())
def test_finds_what_a_binary_search_finds(name: str) -> None:
    known = np.unique(_tables()[name]).astype(np.uint32)
    rng = np.random.default_rng(1)
    near = (known[:, None].astype(np.int64) + np.arange(-2, 3)).clip(0, TOP).ravel()
    queries = np.concatenate([near, rng.integers(0, 2**32, 3_000), [0, TOP]]).astype(np.uint32)
    rng.shuffle(queries)
    queries = queries[: queries.size // 2 * 2].reshape(2, -1)
    expected = np.minimum(np.searchsorted(known, queries), known.size - 1)
    np.testing.assert_array_equal(SortedHashes(known).positions(queries), expected)
