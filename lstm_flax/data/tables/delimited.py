"""Tables of delimited text: .csv and .tsv."""

import collections
import csv
import io
import itertools
import re
from collections.abc import Collection, Iterator
from typing import Any

from lstm_flax.data.tables.mistakes import Mistake, UnreadableError
from lstm_flax.data.tables.table import Record, Table

SEPARATORS = ",;\t|"
_QUOTED_LINES = 100  # the most lines that one field of a .tsv file can span


def read_csv(name: str, lines: Iterator[tuple[int, str]], wanted: Collection[str] = ()) -> Table:
    """Reads a table whose columns are separated by commas, or by what its first line shows.

    Args:
        name: name of the file, for messages.
        lines: numbered lines, with their line ends.
        wanted: names of columns that it should have.
    """
    texts = (line for _, line in lines)
    first, skipped = next(texts, ""), 0
    # Some spreadsheet programs add a line before the header: sep=;
    if told := re.fullmatch(r"sep=(.)", first.rstrip("\r\n"), re.IGNORECASE):
        first, skipped = next(texts, ""), 1
    separator = told[1] if told else find_separator(first, wanted)
    reader = csv.reader(itertools.chain([first], texts), delimiter=separator, strict=True)
    return _table(name, _numbered_records(name, reader, skipped), separator)


def read_tsv(name: str, lines: Iterator[tuple[int, str]], wanted: Collection[str] = ()) -> Table:
    """Reads a table whose columns are separated by tabs, with or without quoting.

    A quote inside a field is a plain character, as most files have it; only a field that is quoted
    as a whole is unquoted.

    Args:
        name: name of the file, for messages.
        lines: numbered lines, with their line ends.
        wanted: unused.
    """
    return _table(name, _tsv_records(lines), "\t")


def find_separator(header: str, wanted: Collection[str] = ()) -> str:
    """Finds a table's column separator: spreadsheets in many languages write semicolons.

    >>> find_separator("text;label", {"text", "label"})
    ';'
    >>> find_separator("text,label,a;b", {"text", "label"})
    ','
    """
    found = {separator: split_header(header, separator) for separator in SEPARATORS}
    for separator, names in found.items():
        if wanted and set(wanted) <= set(names):
            return separator
    return max(found, key=lambda separator: len(found[separator]))


def split_header(line: str, separator: str) -> list[str]:
    """Splits a line into names; returns none if it cannot be parsed."""
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []


def _numbered_records(name: str, reader: Any, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Yields records with the line each starts on; a quoted field may span several lines."""
    while True:
        number = reader.line_num + 1 + skipped
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            advice = "check its quotes"
            if "field limit" in str(error):
                advice += ", or allow longer fields: csv.field_size_limit(2**31 - 1)"
            mistake = Mistake(f"{name}:{number}", f"not CSV ({error})", advice)
            raise UnreadableError(mistake) from error
        if record:
            yield number, record


def _tsv_records(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Yields records with the line each starts on.

    Spreadsheet programs quote a field that contains line breaks: a line that ends inside a quote
    continues on the next lines, unless it is complete and so is the next.
    """
    width, waiting = 0, collections.deque[tuple[int, str]]()
    while True:
        number, line = waiting.popleft() if waiting else next(lines, (0, ""))
        if number == 0:
            return
        if not line.strip():
            continue
        fields = line.rstrip("\r\n").split("\t")
        found = [_unquote(field) for field in fields]
        width = width or len(fields)
        if _is_open(fields[-1]) and len(fields) <= width:
            joined = line
            while len(waiting) < _QUOTED_LINES and (following := next(lines, None)):
                waiting.append(following)
            for taken, (_, further) in enumerate(waiting, start=1):
                columns = len(further.rstrip("\r\n").split("\t"))
                if len(fields) == width and columns >= width:
                    break  # a separate record
                joined += further
                record = _parse(joined)
                if len(record) == width and not _is_open(joined.rstrip("\r\n").split("\t")[-1]):
                    for _ in range(taken):
                        waiting.popleft()
                    found = record
                    break
        yield number, found


def _parse(line: str) -> list[str]:
    """Parses one quoted record; returns no fields if it cannot be parsed."""
    try:
        return next(csv.reader(io.StringIO(line, newline=""), delimiter="\t"), [])
    except csv.Error:  # for example a field beyond `csv.field_size_limit`
        return []


def _is_open(field: str) -> bool:
    """Returns True if a field begins with a quotation mark that is never closed."""
    return field.startswith('"') and field.count('"') % 2 == 1


def _unquote(field: str) -> str:
    if len(field) >= 2 and field[0] == field[-1] == '"':
        inner = field[1:-1].replace('""', "\0")
        if '"' not in inner:
            return inner.replace("\0", '"')
    return field


def _table(name: str, records: Iterator[tuple[int, list[str]]], separator: str) -> Table:
    number, names = next(records, (1, []))
    header = tuple(column.strip() for column in names)
    rows = _rows(name, header, records)
    return Table(name, header, f"{name}:{number}", rows, separator)


def _rows(
    name: str, header: tuple[str, ...], records: Iterator[tuple[int, list[str]]]
) -> Iterator[Record | Mistake]:
    width = len(header)
    for number, record in records:
        where = f"{name}:{number}"
        if len(record) == width:
            yield Record(where, header, record)
        elif not any(field.strip() for field in record):  # spreadsheets write blank rows
            yield Record(where, header, [""] * width)
        else:
            plural = "" if len(record) == 1 else "s"
            what = f"{len(record)} column{plural}, the header has {width}"
            few = len(record) < width
            advice = "fill in what is missing" if few else "quote texts that contain the separator"
            yield Mistake(where, what, advice)
