"""The user's own texts: .jsonl, .csv, .tsv, or a folder with a folder per class."""

import hashlib
from pathlib import Path

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.labelled import Examples, sorted_label_names
from lstm_flax.data.rows import Row, folder_files, read_rows, some_names
from lstm_flax.errors import UserError


class FileSource:
    """The training part, and the development and test parts that are given."""

    cut_by_film = False

    def __init__(self, config: DataConfig) -> None:
        given = {
            "train": config.train_path,
            "development": config.development_path,
            "test": config.test_path,
        }
        self._paths = {
            split: Path(path).expanduser() for split, path in given.items() if path is not None
        }
        if "train" not in self._paths:
            raise UserError("config.data.train_path: source 'files' needs the training part")
        # Of all of them, so that a mistyped test path does not end a run that has trained.
        for split, path in self._paths.items():
            if not path.exists():
                raise UserError(
                    f"config.data.{split}_path = {given[split]!r}: no such file or folder; "
                    "check the path"
                )
        self._columns = (config.text_column, config.label_column)
        self.splits = tuple(self._paths)

    def fingerprint(self, split: str) -> str:
        """A hash of the file; of a folder, of its files' names, sizes and times."""
        path = self._paths[split]
        digest = hashlib.blake2b(repr(self._columns).encode(), digest_size=8)
        if path.is_dir():
            for file in folder_files(path):
                status = file.stat()
                entry = (str(file.relative_to(path)), status.st_size, status.st_mtime_ns)
                digest.update(repr(entry).encode())
        else:
            with path.open("rb") as content:
                digest.update(hashlib.file_digest(content, "blake2b").digest())
        return digest.hexdigest()

    def load(self, split: str) -> Examples:
        """Reads one part; for another part than `train`, that one too for its label names.

        Raises:
            UserError: naming the file, the line and what is wrong with it.
        """
        rows = self._read(split)
        if split == "train":
            names = sorted_label_names({row.label for row in rows})
        else:
            names = sorted_label_names({row.label for row in self._read("train")})
        number = {name: i for i, name in enumerate(names)}
        for row in rows:
            if row.label not in number:
                raise UserError(
                    f"{row.id}: label {row.label!r} is not in the training part, which has "
                    f"{some_names(names)}; correct it or add training examples"
                )
        return Examples(
            [row.text for row in rows],
            np.array([number[row.label] for row in rows], dtype=np.int32),
            [row.id for row in rows],
            names,
        )

    def check(self, split: str) -> None:
        """Reads a part that has a file of its own for its mistakes alone.

        Raises:
            UserError: as `load`.
        """
        if split in self._paths:
            self.load(split)

    def _read(self, split: str) -> list[Row]:
        path = self._paths[split]
        rows = list(read_rows(path, *self._columns))
        if not rows:
            raise UserError(f"{path}: no examples; the {split} data is empty")
        return rows
