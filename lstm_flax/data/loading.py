"""Loads the examples of a split: the source's own, or a part cut off its training split."""

import dataclasses
import hashlib
import logging
from typing import Any

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.examples import Examples, are_measurements
from lstm_flax.data.sources import Source, open_source
from lstm_flax.data.sources.files import read_labelled
from lstm_flax.data.sources.imdb import NAME as IMDB
from lstm_flax.data.sources.imdb import is_prepared
from lstm_flax.data.sources.imdb_films import film_groups
from lstm_flax.data.sources.tfds import tfds_folder
from lstm_flax.data.splits import cut, draw_balanced
from lstm_flax.data.tables.lines import require_file
from lstm_flax.errors import UserError, some
from lstm_flax.files import expanded
from lstm_flax.text.hashing import text_hashes
from lstm_flax.text.normalization import normalize
from lstm_flax.types import LONGEST_LABEL

logger = logging.getLogger(__name__)

_LARGEST_NAMES = 1_000_000  # total bytes of the labels; files with labels have a size limit

SPLITS = ("train", "development", "test", "unsupervised")


def available_splits(config: DataConfig, source: Source) -> tuple[str, ...]:
    """Returns the available splits: the source's own and those cut off its training split."""
    own = set(source.splits)
    if config.development_fraction > 0:
        own.add("development")
    if config.test_fraction > 0:
        own.add("test")
    return tuple(split for split in SPLITS if split in own)


def check_split(config: DataConfig, split: str, source: Source) -> None:
    """Checks that a split exists and has labels; loads none of it.

    Raises:
        UserError: otherwise; the message lists the splits, or what to evaluate on instead.
    """
    available = available_splits(config, source)
    if split not in available:
        raise UserError(
            f"config.data.source = {config.source!r}: there is no {split!r} split; "
            f"choose {' or '.join(available)}{_how_to_get(split)}"
        )
    source.check_labels(split)


def load_examples(config: DataConfig, split: str, source: Source | None = None) -> Examples:
    """Loads the examples of one split.

    If the source has its own test split, that is opened only for `test`.

    Args:
        config: the source and how it is cut.
        split: `train`, `development`, `test` or `unsupervised`.
        source: the result of `open_source`, if the caller already has it.

    Raises:
        UserError: the data is not available, malformed or too small, or has no such split.
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


def at_hand(config: DataConfig) -> bool:
    """Returns True if the labelled texts are on this machine, so reading downloads nothing."""
    if config.source == "files":
        return config.train_path is not None and expanded(config.train_path).exists()
    return config.source == IMDB and is_prepared(tfds_folder(config))


def load_splits(config: DataConfig) -> tuple[Examples, Examples | None, Examples]:
    """Loads the training, development (if there is one) and test examples."""
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
    """Returns one part of the source's training split; all of it if nothing is cut off."""
    whole = source.load("train")
    _check_training_examples(whole, config)
    hashes = text_hashes(whole.texts) if whole.groups is None else whole.groups
    groups = film_groups(hashes) if source.cut_by_film else hashes
    whole = dataclasses.replace(whole, groups=groups)
    fractions = {
        name: 0.0 if name in source.splits else getattr(config, f"{name}_fraction")
        for name in ("development", "test")
    }
    if not any(fractions.values()):
        return _with_extra(config, _drawn(config, whole)) if split == "train" else whole
    try:
        parts = cut(
            groups,
            whole.labels,
            fractions["development"],
            fractions["test"],
            config.split_seed,
            stratify=not source.cut_by_film,
        )
    except UserError as error:
        raise UserError(f"{_named(config)}: {error}") from error
    part = whole.select(parts[split])
    if split != "train":
        return part
    held_out = np.concatenate([hashes[parts["development"]], hashes[parts["test"]]])
    return _with_extra(config, _drawn(config, part), held_out)


def _drawn(config: DataConfig, train: Examples) -> Examples:
    """Draws `config.data.train_examples` of the training examples."""
    if config.train_examples == 0:
        return train
    if config.train_examples > len(train):
        raise UserError(
            f"config.data.train_examples = {config.train_examples}: the training part has only "
            f"{len(train):,}; lower it, or leave it 0 for all"
        )
    hashes = text_hashes(train.texts)
    chosen = draw_balanced(hashes, train.labels, config.train_examples, config.split_seed)
    return train.select(chosen)


def _with_extra(
    config: DataConfig, train: Examples, held_out: np.ndarray | None = None
) -> Examples:
    """Appends the texts of `config.data.extra_train_path` to the training part.

    Args:
        config: may name the file.
        train: the labelled training part.
        held_out: u64[N], hashes of the texts that scores are computed on.
    """
    if config.extra_train_path is None:
        return train
    extra = read_extra(config, train.label_names)
    groups = text_hashes(extra.texts)
    if held_out is not None and (shared := int(np.isin(groups, held_out).sum())):
        logger.warning(
            "%s: %s of its texts are in the development or test part too: their scores are "
            "inflated",
            config.extra_train_path,
            f"{shared:,}",
        )
    return Examples(
        [*train.texts, *extra.texts],
        np.concatenate([train.labels, extra.labels]),
        [*train.ids, *extra.ids],
        train.label_names,
        None if train.groups is None else np.concatenate([train.groups, groups]),
    )


def _named(config: DataConfig) -> str:
    """Names the training texts in errors."""
    if config.source == "files":
        return str(config.train_path)
    return f"config.data.source = {config.source!r}"


def _check_training_examples(examples: Examples, config: DataConfig) -> None:
    where = _named(config)
    if not len(examples):
        raise UserError(f"{where}: no examples; the training data is empty")
    counts = np.bincount(examples.labels, minlength=len(examples.label_names))
    if np.count_nonzero(counts) < 2:
        only = examples.label_names[int(counts.argmax())]
        raise UserError(f"{where}: every label is {only!r}; a classifier needs two labels or more")
    if are_measurements(examples.label_names, len(examples)):
        raise UserError(
            f"{where}: the labels in {config.label_column!r} are {len(examples.label_names):,} "
            f"different numbers, {some(examples.label_names, 3)}: that is regression, which this "
            "does not do; name a column of classes in config.data.label_column, or group the "
            "numbers into a few classes"
        )
    longest = max(map(len, examples.label_names))
    if longest > LONGEST_LABEL:
        raise UserError(
            f"{where}: a label in {config.label_column!r} has {longest:,} characters, more than "
            f"{LONGEST_LABEL:,}; name a column of classes in config.data.label_column, or shorten "
            "the labels"
        )
    size = sum(len(name.encode()) for name in examples.label_names)
    if size > _LARGEST_NAMES:
        raise UserError(
            f"{where}: the {len(examples.label_names):,} different labels in "
            f"{config.label_column!r} have {size:,} bytes, more than the {_LARGEST_NAMES:,} that a "
            "checkpoint keeps; name a column of classes in config.data.label_column, or shorten "
            "the labels"
        )
    # A long text is assumed not to consist of line breaks and invisible characters alone.
    empty = [
        id_
        for text, id_ in zip(examples.texts, examples.ids, strict=True)
        if len(text) < 64 and not normalize(text, lowercase=False)
    ]
    if empty:
        also = f"; empty too: {some(empty[1:], limit=5)}" if empty[1:] else ""
        raise UserError(f"{empty[0]}: the text is empty; fill it in or remove the example{also}")


def read_extra(config: DataConfig, label_names: tuple[str, ...]) -> Examples:
    """Reads the extra training texts of `config.data.extra_train_path`, which must be set.

    Raises:
        UserError: rows are invalid; the message names the lines and the problems.
    """
    assert config.extra_train_path is not None
    return read_labelled(
        expanded(config.extra_train_path),
        config.text_column,
        config.label_column,
        label_names,
        "not in the training part, which has",
    )


def extra_fingerprint(config: DataConfig) -> str:
    """Hashes the file of extra training texts; empty if there is none.

    Raises:
        UserError: the file cannot be read.
    """
    if config.extra_train_path is None:
        return ""
    path = expanded(config.extra_train_path)
    require_file(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:16]
    except OSError as error:
        raise UserError(
            f"config.data.extra_train_path = {config.extra_train_path!r}: cannot be read "
            f"({error.strerror}); check the path"
        ) from error


def describe_source(config: DataConfig, source: Source) -> dict[str, Any]:
    """Describes all that determines the training split, for fingerprints: data and cuts."""
    extra = extra_fingerprint(config)
    drawn = {"train_examples": config.train_examples} if config.train_examples else {}
    return (
        ({"extra": extra} if extra else {})
        | drawn
        | {
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
    )
