"""Hugging Face data sets, by name or saved by `save_to_disk`; uses `datasets`."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.examples import Examples, sorted_label_names
from lstm_flax.data.sources.base import Source
from lstm_flax.data.sources.rows import label_name
from lstm_flax.data.tables.columns import SAMPLE
from lstm_flax.data.tables.mistakes import some_names
from lstm_flax.data.tables.table import Record
from lstm_flax.errors import UserError, one_line
from lstm_flax.files import expanded

PREFIX = "hf:"
_OWN_NAMES = {"train": ("train",), "development": ("validation", "dev"), "test": ("test",)}


def is_saved(folder: Path) -> bool:
    """Returns True for a folder written by `save_to_disk`."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def is_folder_of_own(source: str) -> bool:
    """Returns True for `hf:PATH` if the path exists on this machine, whatever its format.

    >>> is_folder_of_own("hf:/"), is_folder_of_own("hf:no/such-folder"), is_folder_of_own("imdb")
    (True, False, False)
    """
    return source.startswith(PREFIX) and expanded(source.removeprefix(PREFIX)).exists()


class HuggingFaceSource(Source):
    """A data set with a column of texts and a column of labels.

    Its `validation` is the development split and its `test` the test split, if present.

    Args:
        config: names the data set (`hf:OWNER/NAME`, `hf:OWNER/NAME:CONFIG`) or the folder
            (`hf:PATH`), and the two columns.
    """

    def __init__(self, config: DataConfig) -> None:
        self._where = f"config.data.source = {config.source!r}"
        self._columns = (config.text_column, config.label_column)
        parts = _open(config.source.removeprefix(PREFIX), self._where)
        self._parts = {
            split: parts[name]
            for split, names in _OWN_NAMES.items()
            for name in names
            if name in parts
        }
        if "train" not in self._parts:
            raise UserError(f"{self._where}: has no train split, only {some_names(list(parts))}")
        self.splits = tuple(self._parts)

    def sample(self) -> list[Record]:
        """Returns the first records of the training split, used to find columns."""
        part = self._parts["train"]
        names = tuple(part.column_names)
        rows = part.select(range(min(len(part), SAMPLE)))
        return [Record(self._where, names, [row[name] for name in names]) for row in rows]

    def fingerprint(self, split: str) -> str:
        """Hashes the split's fingerprint from `datasets`, its size and the columns used."""
        part = self._parts[split]
        known = repr((part._fingerprint, len(part), self._columns))
        return hashlib.blake2b(known.encode(), digest_size=8).hexdigest()

    def check_labels(self, split: str) -> None:
        """Checks that a split's first example has a label: some test splits hide theirs as -1.

        Raises:
            UserError: it has none; the message says what to evaluate on instead.
        """
        part = self._parts.get(split)
        if part is not None and len(part) and self._names(part) and part[0][self._columns[1]] == -1:
            raise UserError(
                f"{self._where}: its {split} split has no labels (they are -1); "
                "evaluate with --split=development"
            )

    def load(self, split: str) -> Examples:
        """Loads the examples in order, without those whose text is empty.

        Raises:
            UserError: a column is missing, or contains anything but texts or labels.
        """
        texts, labels, ids = self._read(split)
        names = self._names(self._parts["train"])
        if names is None:
            given = labels if split == "train" else self._read("train")[1]
            names = sorted_label_names(set(given))
        number = {name: i for i, name in enumerate(names)}
        if unknown := [(i, label) for i, label in enumerate(labels) if label not in number]:
            index, label = unknown[0]
            raise UserError(
                f"{self._where}: {ids[index]} has label {label!r}, which no training example has; "
                f"known are {some_names(names)}; choose another --config.data.label_column"
            )
        numbers = np.array([number[label] for label in labels], dtype=np.int32)
        return Examples(texts, numbers, ids, tuple(names))

    def _names(self, part: Any) -> tuple[str, ...] | None:
        """Returns a split's names for its labels; None if the labels are names themselves."""
        names = getattr(part.features.get(self._columns[1]), "names", None)
        return None if names is None else tuple(names)

    def _read(self, split: str) -> tuple[list[str], list[str], list[str]]:
        part = self._parts[split]
        for field, column in zip(("text_column", "label_column"), self._columns, strict=True):
            if column not in part.column_names:
                raise UserError(
                    f"{self._where}: its {split} split has no column {column!r}; set "
                    f"--config.data.{field} to one of {some_names(part.column_names)}"
                )
        class_names = self._names(part)
        texts: list[str] = []
        labels: list[str] = []
        ids: list[str] = []
        given = zip(*(part[column] for column in self._columns), strict=True)
        for i, (text, label) in enumerate(given):
            if isinstance(text, str) and not text.strip():
                continue
            name = label_name(label)
            if class_names and isinstance(label, int) and 0 <= label < len(class_names):
                name = class_names[label]
            if not isinstance(text, str) or name is None:
                wrong = self._columns[0] if not isinstance(text, str) else self._columns[1]
                value = text if not isinstance(text, str) else label
                raise UserError(
                    f"{self._where}: {split}/{i}: {wrong!r} is {value!r:.60}; choose another column"
                )
            texts.append(text)
            labels.append(name)
            ids.append(f"{split}/{i}")
        return texts, labels, ids


def _open(name: str, where: str) -> Any:
    """Opens the splits of a data set, by name."""
    try:
        import datasets
    except ImportError as error:
        raise UserError(f"{where}: needs the package datasets; pip install datasets") from error
    folder = expanded(name)
    try:
        if is_saved(folder):
            found = datasets.load_from_disk(str(folder))
        else:
            name, _, configuration = name.partition(":")
            found = datasets.load_dataset(name, configuration or None)
    except Exception as error:  # of any type: unknown name, no network, damaged files
        raise UserError(
            f"{where}: cannot be had ({one_line(error)}); check the name and the network, or save "
            "it elsewhere with save_to_disk and name that folder"
        ) from error
    return found if isinstance(found, dict) else {"train": found}
