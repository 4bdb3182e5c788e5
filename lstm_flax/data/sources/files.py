"""The user's own texts: .jsonl, .csv, .tsv, or a folder with one folder per class."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.examples import Examples, sorted_label_names
from lstm_flax.data.sources.base import Source
from lstm_flax.data.sources.folders import folder_files
from lstm_flax.data.sources.rows import Row, read_rows
from lstm_flax.data.tables.lines import require_file
from lstm_flax.data.tables.mistakes import some_names
from lstm_flax.errors import UserError, some
from lstm_flax.files import expanded


class FileSource(Source):
    """The training part, and the development and test parts if given."""

    def __init__(self, config: DataConfig) -> None:
        given = {
            "train": config.train_path,
            "development": config.development_path,
            "test": config.test_path,
        }
        self._paths = {split: expanded(path) for split, path in given.items() if path is not None}
        if "train" not in self._paths:
            raise UserError("config.data.train_path: source 'files' needs the training part")
        # Check all paths now, so a mistyped test path does not fail a run after training.
        for split, path in self._paths.items():
            if not path.exists():
                raise UserError(
                    f"config.data.{split}_path = {given[split]!r}: no such file or folder; "
                    "check the path"
                )
            require_file(path)
        self._columns = (config.text_column, config.label_column)
        self.splits = tuple(self._paths)

    def fingerprint(self, split: str) -> str:
        """Hashes the file, or for a folder its files and their names."""
        path = self._paths[split]
        digest = hashlib.blake2b(repr(self._columns).encode(), digest_size=8)
        if path.is_dir():
            for file in folder_files(path):
                digest.update(repr(str(file.relative_to(path))).encode())
                digest.update(_hash(file))
        else:
            digest.update(_hash(path))
        return digest.hexdigest()

    def load(self, split: str) -> Examples:
        """Reads one part; for parts other than `train`, also reads `train` for its label names.

        Raises:
            UserError: rows are invalid; the message names the file, the lines and the problems.
        """
        rows = self._read(split)
        known = rows if split == "train" else self._read("train")
        names = sorted_label_names({row.label for row in known})
        labels = _number_labels(rows, names, "not in the training part, which has")
        return Examples([row.text for row in rows], labels, [row.id for row in rows], names)

    def check_texts(self, split: str) -> None:
        """Reads a part with a file of its own, only to check it for mistakes.

        Raises:
            UserError: see `load`.
        """
        if split in self._paths:
            self.load(split)

    def _read(self, split: str) -> list[Row]:
        path = self._paths[split]
        if split == "train":
            return _require_rows(path, read_rows(path, *self._columns))
        return _require_rows(path, read_rows(path, *self._columns, flags=None))


def _hash(path: Path) -> bytes:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "blake2b").digest()


def read_labelled(
    path: Path,
    text_column: str,
    label_column: str,
    label_names: Sequence[str],
    problem: str,
    flags: tuple[str, str] | None = None,
) -> Examples:
    """Reads the examples of a file whose labels must be among known names.

    Args:
        path: see `read_rows`.
        text_column: see `read_rows`.
        label_column: see `read_rows`.
        label_names: C names.
        problem: the problem with any other label, for messages.
        flags: see `read_rows`.

    Raises:
        UserError: rows are invalid; the message names the lines and the problems.
    """
    rows = _require_rows(path, read_rows(path, text_column, label_column, flags))
    labels = _number_labels(rows, label_names, problem)
    return Examples([r.text for r in rows], labels, [r.id for r in rows], tuple(label_names))


def _require_rows(path: Path, found: Iterable[Row]) -> list[Row]:
    rows = list(found)
    if not rows:
        raise UserError(f"{path}: no examples; it is empty")
    return rows


def _number_labels(rows: Sequence[Row], names: Sequence[str], problem: str) -> np.ndarray:
    """Converts each row's label to an index into the names, i32[N]."""
    number = {name: i for i, name in enumerate(names)}
    unknown: dict[str, str] = {}  # each unknown label and the first row that has it
    for row in rows:
        if row.label not in number:
            unknown.setdefault(row.label[:40], row.id)
    if unknown:
        (label, where), *others = unknown.items()
        more = some([f"{id_}: {label!r}" for label, id_ in others], 5, "; ")
        raise UserError(
            f"{where}: label {label!r} is {problem} {some_names(names)}; correct "
            "it or leave the example out" + (f"; unknown too: {more}" if others else "")
        )
    return np.array([number[row.label] for row in rows], dtype=np.int32)
