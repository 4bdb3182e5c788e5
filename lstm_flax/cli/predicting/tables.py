"""Adds answers to the rows of a table, keeping every column, the order and the number of rows."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstm_flax.cli.predicting.lines import Predicts, chunks_at_hand
from lstm_flax.data.sources.rows import is_empty, sample_records
from lstm_flax.data.tables.columns import find_text_column, is_header, text_column_by_name
from lstm_flax.data.tables.delimited import find_separator, read_csv, split_header
from lstm_flax.data.tables.json_records import read_jsonl, shown
from lstm_flax.data.tables.lines import decode_lines
from lstm_flax.data.tables.mistakes import Mistake, UnreadableError, all_of, some_names
from lstm_flax.data.tables.reading import open_table
from lstm_flax.data.tables.table import Record, Table
from lstm_flax.data.tables.writing import open_writer, plain_value
from lstm_flax.errors import UserError

_FLAG = "--text_column"
_ADDED = ("label", "probability", "warning")
_PREFIX = "predicted_"  # of added columns, if the table already has one of that name


class TextTable(NamedTuple):
    """A table whose texts will be classified.

    Attributes:
        table: the table, which can be read once.
        column: name of its text column.
        names: names of its columns.
    """

    table: Table
    column: str
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Answered:
    """A row with its answer.

    Attributes:
        record: the row.
        answer: a `Prediction`; None if there is no text.
        error: why there is no answer; empty for a blank row.
    """

    record: Record
    answer: Any = None
    error: str = ""


def open_text_table(path: Path, column: str | None, usual: str) -> TextTable:
    """Opens a table and finds its text column.

    Args:
        path: the table.
        column: the column's name, as given by the user.
        usual: the column's name in the model's data.

    Raises:
        UserError: it cannot be read, has no such column, or several columns qualify.
    """
    sample = sample_records(path)
    if column is None:
        known = any(usual in record.names for record in sample)
        column = usual if known else find_text_column(sample, str(path), flag=_FLAG)
    try:
        return _checked(open_table(path, {column}), column, _names(sample))
    except UnreadableError as error:
        raise UserError(all_of([error.mistake])) from error


def table_in_lines(
    lines: Iterator[bytes], name: str, column: str | None, usual: str
) -> TextTable | Iterator[bytes]:
    """Decides from the first line whether lines are a table: JSON objects, or column names.

    Args:
        lines: not read yet; only one is read before this returns.
        name: where they come from, for messages.
        column: see `open_text_table`; if given, lines are a table.
        usual: see `open_text_table`.

    Returns:
        The table, or all lines if they are not a table.

    Raises:
        UserError: the table's text column is ambiguous.
    """
    first = next(lines, None)
    if first is None:
        return iter(())
    lines = itertools.chain([first], lines)
    start = first.decode("utf-8-sig", errors="replace").strip()
    is_json = start.startswith("{") and start.endswith("}") and '"' in start
    names = split_header(start, find_separator(start, {column} if column else ()))
    if not is_json and column is None and not is_header(names, usual):
        return lines
    try:
        if is_json:
            table = read_jsonl(name, decode_lines(lines, name))
            record = next(table.records)
            if isinstance(record, Mistake):
                raise UserError(all_of([record]))
            names = list(record.names)
            table = dataclasses.replace(table, records=itertools.chain([record], table.records))
        else:
            table = read_csv(name, decode_lines(lines, name), {column} if column else ())
    except UnreadableError as error:
        raise UserError(all_of([error.mistake])) from error
    column = column or (usual if usual in names else text_column_by_name(names))
    if column is None:
        raise UserError(
            f"{name}: looks like a table of {some_names(names)}; say which column holds the texts: "
            f"{_FLAG}=NAME"
        )
    return _checked(table, column, names)


def _names(records: Iterable[Record]) -> list[str]:
    """Returns the names of all columns, in order of first appearance."""
    return list(dict.fromkeys(name for record in records for name in record.names))


def _checked(table: Table, column: str, names: Sequence[str]) -> TextTable:
    if table.header is not None and table.header.count(column) != 1:
        there = "two columns" if column in table.header else "no column"
        raise UserError(
            f"{table.header_at}: {there} {column!r}, of {some_names(table.header)}; set "
            f"{_FLAG}=NAME"
        )
    return TextTable(table, column, table.header or tuple(names))


def answer_rows(predictor: Predicts, found: TextTable) -> Iterator[list[Answered]]:
    """Answers rows in order; rows that come fast are answered up to 4,096 together.

    Args:
        predictor: a `Predictor`.
        found: the table; read on a thread, not far ahead.

    Raises:
        UserError: a row is invalid, or the rest cannot be read.
    """
    try:
        for chunk in chunks_at_hand(found.table.records):
            rows = [_row(record, found) for record in chunk]
            texts = [row.record.value(found.column) for row in rows if _asks(row)]
            answers = iter(predictor.predict(texts) if texts else [])
            yield [
                dataclasses.replace(row, answer=next(answers)) if _asks(row) else row
                for row in rows
            ]
    except UnreadableError as error:
        raise UserError(all_of([error.mistake])) from error


def _asks(row: Answered) -> bool:
    return not row.error and not is_empty(row.record)


def _row(record: Record | Mistake, found: TextTable) -> Answered:
    if isinstance(record, Mistake):
        raise UserError(all_of([record]))
    column = found.column
    if is_empty(record):
        return Answered(record)
    if column not in record.names:
        return Answered(record, error=f"no column {column!r}")
    text = record.value(column)
    if text is None or (isinstance(text, str) and not text.strip()):
        return Answered(record, error="the text is empty")
    if not isinstance(text, str):
        return Answered(record, error=f"{column!r} is {shown(text)}, not a string")
    if "\0" in text:
        return Answered(record, error="the text contains a NUL character")
    return Answered(record)


def printed(row: Answered) -> dict[str, Any]:
    """Formats a row and its answer for printing; no column of the row is replaced."""
    names = row.record.names
    added = {"error": row.error} if row.error else {}
    if row.answer is not None:
        added = row.answer.to_dict()
    taken = set(names) & {"label", "probabilities", "warning", "truncated", "error"}
    prefix = _PREFIX if taken else ""
    own = dict(zip(names, map(plain_value, row.record.values), strict=True))
    return own | {f"{prefix}{name}": value for name, value in added.items()}


def write_answers(path: Path, found: TextTable, groups: Iterable[list[Answered]]) -> int:
    """Writes the rows with three more columns: label, probability, warning.

    If the table already has a column of one of these names, all three begin with `predicted_`.

    Args:
        path: see `check_output`.
        found: the table of the rows.
        groups: the answered rows.

    Returns:
        The number of texts that could not be answered.
    """
    table, names = found.table, list(found.names)
    if table.header is None:  # JSON objects have their own names, and a header needs all of them
        groups = list(groups)
        names = _names(row.record for rows in groups for row in rows)
    added = [f"{_PREFIX}{name}" if set(_ADDED) & set(names) else name for name in _ADDED]
    if taken := set(added) & set(names):
        raise UserError(f"{table.name}: has columns {some_names(sorted(taken))}; rename them")
    types = _types(path, table, len(names))
    failed = 0
    with open_writer(path, [*names, *added], table.separator, types) as writer:
        for row in itertools.chain.from_iterable(groups):
            failed += bool(row.error)
            values = [*row.record.values, *_values(row)]
            writer.write([*row.record.names, *added], values)
    return failed


def _types(path: Path, table: Table, columns: int) -> list[Any] | None:
    """Returns the Parquet types of the columns: the table's own, or text."""
    if path.suffix.lower() != ".parquet":
        return None
    from lstm_flax.data.tables.parquet import arrow

    text, number = arrow(path).string(), arrow(path).float64()
    own = table.types
    if own is None:
        own = [text if table.header is not None else None] * columns
    return [*own, text, number, text]


def _values(row: Answered) -> list[Any]:
    record = {"error": row.error} if row.answer is None else row.answer.to_dict()
    return _of_record(record)


def _of_record(record: dict[str, Any]) -> list[Any]:
    """Returns label, probability and warning of a printed answer; None for those it lacks."""
    label = record.get("label")
    probability = None if label is None else record["probabilities"][label]
    warnings = [record[name] for name in ("error", "warning") if record.get(name)]
    if record.get("truncated"):
        warnings.append("the text is longer than the model reads")
    return [label, probability, "; ".join(warnings) or None]


def write_lines(path: Path, groups: Iterable[list[dict[str, Any]]]) -> int:
    """Writes answers to plain lines as a table: text, label, probability, warning.

    Args:
        path: see `check_output`.
        groups: the output of `predict_lines`.

    Returns:
        The number of texts that could not be answered.
    """
    names = ("text", *_ADDED)
    failed = 0
    types = _types(path, Table("", ("text",), "", iter(())), 1)
    with open_writer(path, names, types=types) as writer:
        for record in itertools.chain.from_iterable(groups):
            failed += "error" in record
            writer.write(names, [record["text"], *_of_record(record)])
    return failed
