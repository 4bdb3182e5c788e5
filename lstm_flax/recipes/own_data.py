"""Configures data that has no tuned configuration: any field that is not set is chosen."""

import math
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_flax.config import Config, DataConfig
from lstm_flax.data.examples import Examples
from lstm_flax.data.loading import load_examples
from lstm_flax.data.sources import open_source
from lstm_flax.data.sources.hugging_face import PREFIX, HuggingFaceSource
from lstm_flax.data.sources.rows import find_columns_of
from lstm_flax.data.tables.columns import find_columns
from lstm_flax.files import expanded
from lstm_flax.recipes.automatic import choose

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_LARGEST_PART = 0.3  # largest fraction of the examples held out for development or test


def automatic_config(values: "ConfigDict", given: Collection[str]) -> tuple[Config, str]:
    """Completes a configuration with the automatic recipe; reads the training part.

    Args:
        values: names the data; modified in place.
        given: the dotted names of the fields that the user set, which stay unchanged.

    Returns:
        The configuration, and a line on what was chosen and why.

    Raises:
        UserError: the data cannot be read, or its columns are ambiguous.
    """
    columns = take_columns(values, given)
    # Buckets are chosen to fit the lengths, including those that the user set.
    data: dict[str, Any] = values.data.to_dict() | {"max_length": 1, "bucket_widths": (32,)}
    reading = DataConfig(**data)
    source = open_source(reading)
    for part in ("development", "test"):
        name = f"data.{part}_fraction"
        if name not in given and part not in source.splits and not source.cut_by_film:
            fraction = _fraction(source.load("train"), getattr(reading, name[5:]))
            _set(values, name, fraction)
            data[name[5:]] = fraction
    train = load_examples(DataConfig(**data), "train", source)
    fixed = {name: _get(values, name) for name in given}
    if values.task == "language_model":  # it uses no n-gram weights
        fixed.setdefault("model.ngram_order", 0)
    choice = choose(train.texts, train.labels, fixed)
    for name, value in choice.fields.items():
        _set(values, name, value)
    return Config.from_config_dict(values), f"{columns}{choice.reason}"


def take_columns(values: "ConfigDict", given: Collection[str]) -> str:
    """Finds the columns of a table and puts their names into the configuration.

    Args:
        values: names the data; modified in place.
        given: the dotted names of the fields that the user set.

    Returns:
        A description of the columns found; empty if there was nothing to find.
    """
    text, label = (
        values.data[field] if f"data.{field}" in given else None
        for field in ("text_column", "label_column")
    )
    if text is not None and label is not None:
        return ""
    if values.data.source.startswith(PREFIX):
        data: dict[str, Any] = values.data.to_dict() | {"max_length": 1, "bucket_widths": (32,)}
        records = HuggingFaceSource(DataConfig(**data)).sample()
        found = find_columns(records, values.data.source, text, label)
    else:
        path = expanded(values.data.train_path or "")
        if values.data.source != "files" or not path.is_file():
            return ""
        found = find_columns_of(path, text, label)
    values.data.text_column, values.data.label_column = found
    return f"texts in {found.text!r}, labels in {found.label!r}; "


def _fraction(examples: Examples, least: float) -> float:
    """Chooses the fraction to hold out: larger if labels have few texts, so most get one in it.

    >>> texts, names = [str(i) for i in range(400)], ("a", "b")
    >>> _fraction(Examples(texts, np.arange(400) % 2, texts, names), 0.1)
    0.1
    >>> _fraction(Examples(texts, np.arange(400) % 100, texts, names), 0.1)
    0.128
    """
    different = {
        (text, int(label)) for text, label in zip(examples.texts, examples.labels, strict=True)
    }
    of_a_label = float(np.median(list(Counter(label for _, label in different).values())))
    return max(least, min(_LARGEST_PART, math.ceil(510 / max(of_a_label, 1)) / 1000))


def _get(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = None if values is None else values[part]
    return values


def _set(values: "ConfigDict", name: str, value: Any) -> None:
    area, field = name.split(".")
    with values[area].ignore_type():
        values[area][field] = value
