"""Labelled rows of one table, or of a folder with one folder per class.

Text is strictly UTF-8, and every error names the file and the line.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstm_flax.data.sources.folders import read_folder
from lstm_flax.data.tables.columns import FLAGS, SAMPLE, FoundColumns, find_columns
from lstm_flax.data.tables.json_records import shown
from lstm_flax.data.tables.mistakes import Mistake, UnreadableError, all_of, some_names
from lstm_flax.data.tables.reading import open_table
from lstm_flax.data.tables.table import Record
from lstm_flax.errors import UserError

_FILL_IN = "fill it in or remove the example"


class Row(NamedTuple):
    """One example as in the file.

    Attributes:
        text: not empty.
        label: name of the label; numbers are converted to text.
        id: the file's name and the line, or the path below the class folder.
    """

    text: str
    label: str
    id: str


def read_rows(
    path: Path,
    text_column: str,
    label_column: str,
    flags: tuple[str, str] | None = FLAGS,
) -> Iterator[Row]:
    """Reads the examples of one file or folder, in order; all invalid rows are reported at once.

    Args:
        path: a table (see `open_table`), or a folder with one folder per class.
        text_column: name of the column or field with the text.
        label_column: name of the column or field with the label, a string or a number.
        flags: the options that set the two names, for messages; None if the training part decides
            them.

    Raises:
        UserError: rows are invalid; the message names their file and lines. The remaining rows are
            read first, as far as possible.
    """
    mistakes = []
    try:
        for row in _read(path, _Columns(text_column, label_column, flags)):
            if isinstance(row, Mistake):
                mistakes.append(row)
            else:
                yield row
    except UnreadableError as error:
        mistakes.append(error.mistake)
    if mistakes:
        raise UserError(all_of(mistakes))


def find_columns_of(
    path: Path,
    text: str | None = None,
    label: str | None = None,
    flags: tuple[str, str] = FLAGS,
) -> FoundColumns:
    """Finds the text and label columns of a table; see `find_columns`.

    Args:
        path: the table.
        text: name of the text column, if known already.
        label: name of the label column, if known already.
        flags: the options that set the two names, for messages.

    Raises:
        UserError: it cannot be read, or its columns are ambiguous.
    """
    if text is not None and label is not None:
        return FoundColumns(text, label)
    return find_columns(sample_records(path), str(path), text, label, flags)


def columns_like(
    path: Path, usual: FoundColumns, given: tuple[str | None, str | None], flags: tuple[str, str]
) -> FoundColumns:
    """Finds the columns of a table that correspond to those of a model's own data.

    Args:
        path: the table, or a folder, which has no columns.
        usual: the names in the model's data, used if the table has them.
        given: the names that the user gave; None for those to find.
        flags: the options that set the two names, for messages.

    Raises:
        UserError: it cannot be read, or its columns are ambiguous.
    """
    if path.is_dir() or None not in given:
        return FoundColumns(given[0] or usual.text, given[1] or usual.label)
    present = {name for record in sample_records(path) for name in record.names}
    text, label = (
        name or (like if like in present else None) for name, like in zip(given, usual, strict=True)
    )
    return find_columns_of(path, text, label, flags)


def sample_records(path: Path) -> list[Record]:
    """Reads the first records of a table, skipping invalid and empty ones.

    Raises:
        UserError: it cannot be read, or there are no records.
    """
    records: list[Record] = []
    mistakes: list[Mistake] = []
    try:
        for item in itertools.islice(open_table(path).records, SAMPLE):
            if isinstance(item, Mistake):
                mistakes.append(item)
            elif not is_empty(item):
                records.append(item)
    except UnreadableError as error:
        mistakes.append(error.mistake)
    if not records:
        raise UserError(all_of(mistakes) if mistakes else f"{path}: no examples; it is empty")
    return records


def is_empty(record: Record) -> bool:
    """Returns True for a blank row, as spreadsheets write them."""
    return all(isinstance(value, str) and not value.strip() for value in record.values)


class _Columns(NamedTuple):
    """The names of the columns, and the options that set them."""

    text: str
    label: str
    flags: tuple[str, str] | None

    def mistake_in(self, present: Sequence[str], where: str, is_header: bool) -> Mistake | None:
        """Returns the mistake in a table's header or in one record; None if there is none."""
        names = (self.text, self.label)
        if twice := [name for name in names if present.count(name) > 1]:
            return Mistake(where, f"two columns {twice[0]!r}", "rename the one that is not needed")
        missing = [i for i in range(2) if names[i] not in present]
        if not missing:
            return None
        absent = " or ".join(repr(names[i]) for i in missing)
        what = f"no column {absent}, only {some_names(list(present))}"
        if self.flags is None:
            return Mistake(where, what, "name the columns as in the training part")
        flags = " and ".join(f"{self.flags[i]}=NAME" for i in missing)
        header = ", or add a first line of column names" if is_header else ""
        return Mistake(where, what, f"set {flags}{header}")


def _read(path: Path, columns: _Columns) -> Iterator[Row | Mistake]:
    if path.is_dir():
        for found in read_folder(path):
            yield found if isinstance(found, Mistake) else _row(*found)
        return
    table = open_table(path, {columns.text, columns.label})
    if table.header and (
        mistake := columns.mistake_in(table.header, table.header_at, is_header=True)
    ):
        raise UnreadableError(mistake)
    for record in table.records:
        if isinstance(record, Mistake):
            yield record
        elif table.header is None and (
            mistake := columns.mistake_in(record.names, record.where, is_header=False)
        ):
            yield mistake
        elif not is_empty(record):
            yield _labelled(record, columns)


def _labelled(record: Record, columns: _Columns) -> Row | Mistake:
    text, label = record.value(columns.text), record.value(columns.label)
    if not isinstance(text, str):
        what = f"{columns.text!r} is {shown(text)}, not a string"
        return Mistake(record.where, what, "give a text, in quotes")
    name = label_name(label)
    if name is None:
        what = f"label {columns.label!r} is {shown(label)}, not a string or number"
        return Mistake(record.where, what, "give a name, in quotes, or a whole number")
    return _row(text, name.strip(), record.where)


def label_name(label: Any) -> str | None:
    """Returns the name of a label that is a string, number or boolean; None for anything else.

    >>> [label_name(label) for label in (" pos", 1, 1.0, 0.5, True, None)]
    [' pos', '1', '1', '0.5', 'true', None]
    """
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float):
        if not math.isfinite(label):
            return None
        return str(int(label)) if label.is_integer() else str(label)
    return str(label) if isinstance(label, str | int) else None


def _row(text: str, label: str, where: str) -> Row | Mistake:
    if not text.strip():
        return Mistake(where, "the text is empty", _FILL_IN)
    if not label:
        return Mistake(where, "the label is empty", _FILL_IN)
    if not label.isprintable() and any("\ud800" <= c <= "\udfff" for c in label):
        return Mistake(where, "the label is no Unicode text (half a surrogate pair)", "correct it")
    return Row(text, label, where)
