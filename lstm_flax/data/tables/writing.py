"""Writes tables row by row; the file appears complete or not at all."""

import contextlib
import csv
import gzip
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from lstm_flax.data.tables.lines import plain_suffix
from lstm_flax.data.tables.parquet import arrow
from lstm_flax.errors import UserError, one_line
from lstm_flax.files import writing_output

_ROWS = 10_000  # rows of a Parquet row group
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


class Writer(Protocol):
    """Takes rows, in order."""

    def write(self, names: Sequence[str], values: Sequence[Any]) -> None:
        """Writes one row."""

    def finish(self) -> None:
        """Writes what is left."""


def check_output(path: Path) -> None:
    """Checks, before any work is done, that a table can be written to this path.

    Raises:
        UserError: the suffix is not one that can be written, or the folder does not exist.
    """
    if path.suffix.lower() == ".parquet":
        arrow(path)
    elif path.suffix.lower() not in ("", ".gz") and plain_suffix(path) != path.suffix.lower():
        raise UserError(f"{path}: cannot be compressed this way; use .gz or no compression")
    elif plain_suffix(path) not in (*_SEPARATORS, ".jsonl"):
        raise UserError(f"{path}: must end in .csv, .tsv, .jsonl (.gz may follow) or .parquet")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file")


@contextlib.contextmanager
def open_writer(
    path: Path, header: Sequence[str], separator: str | None = None, types: Any = None
) -> Iterator[Writer]:
    r"""Opens a writer that uses a temporary name and renames the file once all rows are written.

    A lone surrogate, which UTF-8 cannot hold, is written as JSON escapes it: `\ud800`.

    Args:
        path: see `check_output`.
        header: names of the columns; unused for .jsonl, whose rows have their own.
        separator: column separator for .csv; None for a comma.
        types: for Parquet, a pyarrow type for each column, None where it is inferred from the
            values; None to infer all of them.

    Raises:
        UserError: it cannot be written, or Parquet cannot hold a column's values.
    """
    with writing_output(path) as file:
        if path.suffix.lower() == ".parquet":
            writer: Writer = _Parquet(path, file, header, types)
            yield writer
            writer.finish()
            return
        with contextlib.ExitStack() as stack:
            if path.suffix.lower() == ".gz":  # without a timestamp: equal tables, equal files
                packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0)
                file = stack.enter_context(packed)  # type: ignore[assignment]  # no BinaryIO to mypy
            text = io.TextIOWrapper(
                file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True
            )
            suffix = plain_suffix(path)
            if suffix == ".jsonl":
                writer = _JsonLines(text)
            else:
                comma = _SEPARATORS[suffix]
                separator = separator if separator and suffix == ".csv" else comma
                writer = _Delimited(text, header, separator)
            yield writer
            writer.finish()
            text.detach()


class _JsonLines:
    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file

    def write(self, names: Sequence[str], values: Sequence[Any]) -> None:
        record = dict(zip(names, map(plain_value, values), strict=True))
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        self._file.flush()


def plain_value(value: Any) -> Any:
    """Converts a value for JSON: dates and the like become text, non-finite numbers None.

    >>> plain_value([1.5, None]), plain_value(float("nan")), plain_value(1 + 2j)
    ([1.5, None], None, '(1+2j)')
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain_value(item) for name, item in value.items()}
    return str(value)


class _Delimited:
    def __init__(self, file: io.TextIOWrapper, header: Sequence[str], separator: str) -> None:
        self._file = file
        self._header = list(header)
        self._writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        self._writer.writerow(header)

    def write(self, names: Sequence[str], values: Sequence[Any]) -> None:
        if list(names) != self._header:
            record = dict(zip(names, values, strict=True))
            values = [record.get(name) for name in self._header]
        self._writer.writerow([_as_text(value) for value in values])

    def finish(self) -> None:
        self._file.flush()


def _as_text(value: Any) -> str:
    """Formats a value as a field of delimited text.

    >>> _as_text("a"), _as_text(None), _as_text(True), _as_text([1, "é"])
    ('a', '', 'true', '[1, "é"]')
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(plain_value(value), ensure_ascii=False)
    return str(value)


def _encodable(value: Any) -> Any:
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


class _Parquet:
    def __init__(self, path: Path, file: BinaryIO, header: Sequence[str], types: Any) -> None:
        if twice := [name for name in header if list(header).count(name) > 1]:
            raise UserError(f"{path}: two columns {twice[0]!r}; rename one of them")
        self._arrow = arrow(path)
        self._path, self._file, self._header = path, file, list(header)
        self._names = list(map(_encodable, header))
        self._types = types or [None] * len(header)
        self._rows: list[Sequence[Any]] = []
        self._writer: Any = None

    def write(self, names: Sequence[str], values: Sequence[Any]) -> None:
        if list(names) != self._header:
            record = dict(zip(names, values, strict=True))
            values = [record.get(name) for name in self._header]
        self._rows.append(list(map(_encodable, values)))
        # Inferring types needs all values.
        if len(self._rows) == _ROWS and None not in self._types:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._header)
        try:
            arrays = [
                self._arrow.array(column, type=kind)
                for column, kind in zip(columns, self._types, strict=True)
            ]
            table = self._arrow.table(arrays, names=self._names)
            if self._writer is None:
                self._writer = self._arrow.parquet.ParquetWriter(self._file, table.schema)
            self._writer.write_table(table)
        except (self._arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            reason = f"Parquet cannot hold a column's values ({one_line(error)})"
            raise UserError(f"{self._path}: {reason}; write .jsonl instead") from error
        self._rows = []
