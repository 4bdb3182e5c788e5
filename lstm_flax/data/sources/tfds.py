"""Text data sets from TensorFlow Datasets, as far as they can be read without TensorFlow."""

import contextlib
import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.examples import Examples, sorted_label_names
from lstm_flax.data.sources.base import Source
from lstm_flax.errors import UserError, one_line
from lstm_flax.files import expanded
from lstm_flax.untrusted import read_json

_NAME = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_+-][A-Za-z0-9_.+-]*)?(:[0-9]+\.[0-9]+\.[0-9]+)?")
_OWN = "tensorflow_datasets.core.features."
_OWN_NAMES = {"train": "train", "development": "validation", "test": "test"}


def tfds_folder(config: DataConfig) -> Path:
    """Returns the TensorFlow Datasets folder set by the configuration and the environment."""
    folder = config.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return expanded(folder)


def text_of(value: Any) -> str:
    """Decodes a text feature, which TFDS gives as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def require_known_features(folder: Path) -> None:
    """Checks that a prepared data set describes itself with TFDS's own feature classes alone.

    TFDS imports the module of any class named in `features.json`, even from the working directory:
    a data set from someone else could run its author's code.

    Raises:
        UserError: it names another class; the message names the file and the class.
    """
    for path in sorted(folder.rglob("features.json")):
        try:
            # The user named this folder, so a link in it to a regular file is the user's own.
            described = read_json(path.resolve())
            foreign = [name for name in _class_names(described) if not name.startswith(_OWN)]
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"{path}: no description of features ({one_line(error)}); prepare the data again"
            ) from error
        if foreign:
            raise UserError(
                f"{path}: names {foreign[0]!r}, which is not a TensorFlow Datasets class and "
                "would be imported; if you trust it, export the data to a file for source 'files'"
            )


def _class_names(value: Any) -> Iterator[str]:
    """Yields the classes named in a `features.json`, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("pythonClassName", "python_class_name", "type") and isinstance(inner, str):
                yield inner
            yield from _class_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _class_names(inner)


def fingerprint_of(builder: Any, split: str) -> str:
    """Returns the name, version, counts and sizes that TFDS recorded for one split."""
    info = builder.info.splits[split]
    described = [builder.info.full_name, split, info.num_bytes, list(info.shard_lengths)]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


class TfdsSource(Source):
    """A TFDS data set with a text and a label feature.

    TFDS's `validation` is the development split and its `test` the test split, if present.

    Args:
        config: names the data set (`tfds:NAME`, `tfds:NAME/CONFIG`) and its two features.
    """

    def __init__(self, config: DataConfig) -> None:
        self._name = config.source.removeprefix("tfds:")
        self._where = f"config.data.source = {config.source!r}"
        self._text, self._label = config.text_column, config.label_column
        self._builder = self._open_builder(tfds_folder(config))
        own = self._builder.info.splits
        self.splits = tuple(name for name, theirs in _OWN_NAMES.items() if theirs in own)
        if "train" not in self.splits:
            raise UserError(f"{self._where}: has no train split, only {', '.join(own)}")
        features = self._builder.info.features
        for field, name in (("text_column", self._text), ("label_column", self._label)):
            if name not in features:
                raise UserError(
                    f"{self._where}: has no feature {name!r}; "
                    f"set --config.data.{field} to one of {', '.join(features)}"
                )

    def _open_builder(self, data_dir: Path) -> Any:
        # No builder arguments and no namespaces: both can name other people's code.
        if not _NAME.fullmatch(self._name):
            raise UserError(
                f"{self._where}: no name of a data set; write tfds:NAME or tfds:NAME/CONFIG"
            )
        require_known_features(data_dir / self._name.partition("/")[0])

        import tensorflow_datasets as tfds

        try:
            builder = tfds.builder(self._name, data_dir=os.fspath(data_dir))
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
                builder.download_and_prepare(file_format="array_record")
        except Exception as error:  # TFDS raises any type: unknown name, network, TensorFlow
            raise UserError(
                f"{self._where}: cannot be had without TensorFlow or network ({one_line(error)}); "
                "prepare it in ArrayRecord format elsewhere, or export it to a file for source "
                "'files'"
            ) from error
        return builder

    def check_labels(self, split: str) -> None:
        """Checks that a split's first example has a label: some test splits hide theirs as -1.

        Raises:
            UserError: it has none; the message says what to evaluate on instead.
        """
        if split not in self.splits:
            return
        class_names = getattr(self._builder.info.features[self._label], "names", None)
        if class_names and int(self._records(split)[0][self._label]) < 0:
            raise UserError(
                f"{self._where}: its {split} split has no labels (they are -1); "
                "evaluate with --split=development"
            )

    def fingerprint(self, split: str) -> str:
        """Returns TFDS's record of the split, and the names of the features used."""
        recorded = fingerprint_of(self._builder, _OWN_NAMES[split])
        return f"{recorded}-{self._text}-{self._label}"

    def load(self, split: str) -> Examples:
        """Loads the examples in TFDS's order, without those whose text is empty."""
        texts, raw_labels, ids = self._read(split)
        names = self._label_names(raw_labels if split == "train" else None)
        number = {name: i for i, name in enumerate(names)}
        for label, id_ in zip(raw_labels, ids, strict=True):
            if label not in number:
                raise UserError(
                    f"{self._where}: {id_} has label {label!r}, which no training example has; "
                    f"known are {', '.join(names)}; choose another --config.data.label_column, or "
                    "export the data set, correct that label and read it by source 'files'"
                )
        labels = np.array([number[label] for label in raw_labels], dtype=np.int32)
        return Examples(texts, labels, ids, names)

    def _records(self, split: str) -> Any:
        try:
            return self._builder.as_data_source(_OWN_NAMES[split])
        # What TFDS and ArrayRecord raise for other formats and for damaged or missing records.
        except (NotImplementedError, RuntimeError, ValueError, OSError) as error:
            raise UserError(
                f"{self._where}: cannot be read without TensorFlow ({one_line(error)}); "
                "choose another --config.data.data_dir"
            ) from error

    def _read(self, split: str) -> tuple[list[str], list[str], list[str]]:
        records = self._records(split)
        class_names = getattr(self._builder.info.features[self._label], "names", None)
        texts: list[str] = []
        labels: list[str] = []
        ids: list[str] = []
        for i in range(len(records)):
            record = records[i]
            text, label = text_of(record[self._text]), record[self._label]
            if not text.strip():
                continue
            texts.append(text)
            if isinstance(label, bytes):
                labels.append(label.decode("utf-8"))
            elif class_names and 0 <= int(label) < len(class_names):
                labels.append(class_names[int(label)])
            else:
                labels.append(str(int(label)))
            ids.append(f"{split}/{i}")
        if len(texts) < len(records):
            logging.getLogger(__name__).warning(
                "%s: %d empty texts of %s left out", self._where, len(records) - len(texts), split
            )
        return texts, labels, ids

    def _label_names(self, training_labels: list[str] | None) -> tuple[str, ...]:
        class_names = getattr(self._builder.info.features[self._label], "names", None)
        if class_names:
            return tuple(class_names)
        if training_labels is None:
            training_labels = self._read("train")[1]
        return sorted_label_names(set(training_labels))
