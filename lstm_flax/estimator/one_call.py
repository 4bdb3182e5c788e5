"""From texts and labels to a classifier in one call."""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lstm_flax.config import Config, as_config_dict, default_config
from lstm_flax.config.fields import check_path
from lstm_flax.data.examples import column_of
from lstm_flax.data.tables.columns import SAMPLE, find_columns
from lstm_flax.data.tables.table import Record
from lstm_flax.errors import UserError
from lstm_flax.inference.predictor import Predictor
from lstm_flax.recipes import make_recipes
from lstm_flax.recipes.own_data import automatic_config
from lstm_flax.training.given_texts import keep_texts
from lstm_flax.training.train import train

_FEWEST = 3  # labels with fewer different texts have none held out for development


def train_classifier(
    texts: Any,
    labels: Any = None,
    workdir: str | Path | None = None,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    fields: Mapping[str, Any] | None = None,
    show_progress: bool = False,
) -> Predictor:
    """Trains a classifier on lists, arrays, columns, or a data frame.

    Fields that are not in `fields` are chosen from the texts, as by `lstm-flax train mine.csv`. A
    tenth of the texts is held out to select the epoch; there is no test part, so score the result
    on texts of your own.

    >>> predictor = train_classifier(frame["text"], frame["label"])  # doctest: +SKIP
    >>> predictor = train_classifier(frame, label_column="mood")  # doctest: +SKIP

    Args:
        texts: N texts; or a data frame, whose columns are found.
        labels: N labels, strings or integers; None for those of the data frame.
        workdir: folder of the run, which the same call continues; None uses a temporary folder.
        text_column: text column of a data frame; None finds it.
        label_column: label column of a data frame; None finds it.
        fields: fields of the configuration, for example `{"training.epochs": 5}`.
        show_progress: True to draw bars and print the scores.

    Returns:
        The classifier, which no longer needs its folder.

    Raises:
        UserError: the texts are not a list of texts or some are empty, there is only one label or
            the labels are many different numbers, or the folder holds another run.
    """
    if labels is None:
        texts, labels = _columns_of(texts, text_column, label_column)
    elif text_column or label_column:
        raise UserError("text_column, label_column: are of a data frame; leave out the labels")
    texts = list(column_of(texts, "train_classifier"))
    labels = list(column_of(labels, "train_classifier", "labels"))
    with contextlib.ExitStack() as stack:
        if workdir is None:
            workdir = stack.enter_context(tempfile.TemporaryDirectory(prefix="lstm_flax-"))
        folder = Path(workdir)
        path = keep_texts(texts, labels, folder)
        config = _config(path, folder, texts, labels, dict(fields or {}))
        split = "development" if config.data.development_fraction else "train"
        train(
            config,
            folder,
            split,
            recipes=make_recipes(config.recipes),
            show_progress=show_progress,
        )
        return Predictor.from_checkpoint(folder)


def _config(
    path: Path, workdir: Path, texts: list[str], labels: list[Any], fields: dict[str, Any]
) -> Config:
    values = as_config_dict(Config.from_config_dict(default_config()))
    given: dict[str, Any] = {
        "data.source": "files",
        "data.train_path": str(path),
        "data.text_column": "text",
        "data.label_column": "label",
        "data.test_fraction": 0.0,
        "data.cache_dir": str(workdir / "cache"),
    }
    different = {(text, str(label)) for text, label in zip(texts, labels, strict=True)}
    if np.median(list(Counter(label for _, label in different).values())) < _FEWEST:
        given["data.development_fraction"] = 0.0
    for name, value in (given | fields).items():
        check_path(Config, name)
        area, _, field = name.rpartition(".")
        section = values[area] if area and "." not in area else None
        if section is None:
            raise UserError(f"fields: {name!r} cannot be set here; use --config.{name} or train()")
        with section.ignore_type():
            section[field] = value
    return automatic_config(values, [*given, *fields])[0]


def _columns_of(frame: Any, text: str | None, label: str | None) -> tuple[Any, Any]:
    """Returns the two columns of a data frame (any object with `columns`) or of a dict."""
    if not (hasattr(frame, "columns") or isinstance(frame, Mapping)) or not len(frame):
        raise UserError("train_classifier takes texts and labels, or a data frame; give the labels")
    names = tuple(frame.columns if hasattr(frame, "columns") else frame)
    for name in (text, label):
        if name is not None and name not in names:
            raise UserError(f"no column {name!r}; there are {', '.join(map(repr, names))}")
    if text is None or label is None:
        columns = [list(frame[name])[:SAMPLE] for name in names]
        plain = [[v.item() if isinstance(v, np.generic) else v for v in c] for c in columns]
        records = [Record("", tuple(map(str, names)), row) for row in zip(*plain, strict=True)]
        flags = ("text_column", "label_column")
        found = find_columns(records, "the data frame", text, label, flags)
        text, label = found.text, found.label
    return frame[text], frame[label]
