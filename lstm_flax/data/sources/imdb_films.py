"""The film of each IMDB training review, and the texts that IMDB's splits share.

`scripts/make_film_table.py` makes `imdb_films.npz` from the published archive. It contains hashes
and numbers, but no text:

- `hashes` u64, sorted, and `films` u16: the film of each training review. Films that share a review
  count as one, so a cut by film never separates equal texts;
- `unsupervised_in_test` u64, sorted: unlabelled reviews that equal a test review;
- `test_in_train` u64, sorted: test reviews that equal a training review.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_flax.text.normalization import NORMALIZATION_VERSION


class FilmTable(NamedTuple):
    """The arrays of `imdb_films.npz`, described at the top of this module."""

    hashes: np.ndarray
    films: np.ndarray
    unsupervised_in_test: np.ndarray
    test_in_train: np.ndarray


@functools.cache
def film_table() -> FilmTable:
    """Loads the table that comes with the package."""
    with np.load(Path(__file__).with_name("imdb_films.npz"), allow_pickle=False) as file:
        if int(file["normalization_version"]) != NORMALIZATION_VERSION:
            raise RuntimeError("imdb_films.npz is stale: run scripts/make_film_table.py again")
        return FilmTable(**{name: file[name] for name in FilmTable._fields})


def film_groups(hashes: np.ndarray) -> np.ndarray:
    """Returns a group number per review: its film, or the hash itself if not in the table.

    Args:
        hashes: u64[N], `text_hash` of each review.

    Returns:
        u64[N]; film numbers are below 2**16.
    """
    table = film_table()
    at = np.minimum(np.searchsorted(table.hashes, hashes), len(table.hashes) - 1)
    return np.where(table.hashes[at] == hashes, table.films[at].astype(np.uint64), hashes)
