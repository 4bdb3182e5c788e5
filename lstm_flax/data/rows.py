"""Labelled rows of one file, .jsonl, .csv or .tsv, or of a folder with a folder per class.

Text is UTF-8, strictly, and every complaint names the file and the line.
"""

import csv
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstm_flax.errors import UserError, some

_MEND = "fill it in or remove the example"
_LONGEST_FIELD = 2**31 - 1  # characters; the csv module's default of 131,072 refuses long texts


class Row(NamedTuple):
    """One example as the file has it.

    Attributes:
        text: not empty.
        label: name of the label; numbers are written out.
        id: the file's name and the line, or the path below the class's folder.
    """

    text: str
    label: str
    id: str


class _Mistake(NamedTuple):
    """What is wrong with one row, by itself: the rows after it are read all the same."""

    where: str
    what: str
    advice: str


def read_rows(path: Path, text_column: str, label_column: str) -> Iterator[Row]:
    """The examples of one file or folder, in order; all mistakes in rows are told together.

    Args:
        path: a .jsonl, .csv or .tsv file (the last two with a header), or a folder per class.
        text_column: name of the column or field with the text.
        label_column: likewise of the label, a string or a whole number.

    Raises:
        UserError: naming file and line of every row that is wrong, once the others are read; at
            once where none of those after it can be read.
    """
    if path.is_dir():
        found = _read_folder(path)
    else:
        readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".tsv": _read_tsv}
        reader = readers.get(path.suffix.lower())
        if reader is None:
            raise UserError(
                f"{path}: cannot tell the format from the name; it must end in "
                f"{' or '.join(readers)}, or be a folder with a folder of texts per class"
            )
        found = reader(path, text_column, label_column)
    mistakes = []
    for row in found:
        if isinstance(row, _Mistake):
            mistakes.append(row)
        else:
            yield row
    if mistakes:
        raise UserError(_all_of(mistakes))


def _all_of(mistakes: Sequence[_Mistake]) -> str:
    """One line: the first in full, of the next few what and where, and how many there are more."""
    first, *others = mistakes
    more = some([f"{mistake.where}: {mistake.what}" for mistake in others], limit=5)
    told = f" (wrong too: {more})" if others else ""
    return f"{first.where}: {first.what}; {first.advice}{told}"


def _read_jsonl(path: Path, text_column: str, label_column: str) -> Iterator[Row | _Mistake]:
    for number, line in _lines(path):
        if line.strip():
            yield _json_row(line, f"{path}:{number}", text_column, label_column)


def _json_row(line: str, where: str, text_column: str, label_column: str) -> Row | _Mistake:
    one_a_line = "write one object a line"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return _Mistake(where, f"not JSON ({error})", one_a_line)
    if not isinstance(record, dict):
        return _Mistake(where, "not a JSON object", one_a_line)
    if missing := _missing_columns(where, record, text_column, label_column):
        return missing
    text, label = record[text_column], record[label_column]
    if not isinstance(text, str):
        return _Mistake(where, f"{text_column!r} is {_json(text)}, not a string", _MEND)
    if not isinstance(label, str | int):
        what = f"label {label_column!r} is {_json(label)}, not a string or whole number"
        return _Mistake(where, what, _MEND)
    return _row(text, _json(label) if isinstance(label, bool) else str(label), where)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]


def _read_csv(path: Path, text_column: str, label_column: str) -> Iterator[Row | _Mistake]:
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        lines = (line for _, line in _lines(path))
        first = next(lines, "")
        separator = _separator(first, text_column, label_column)
        reader = csv.reader(itertools.chain([first], lines), delimiter=separator, strict=True)
        yield from _read_table(path, _numbered_records(path, reader), text_column, label_column)
    finally:
        csv.field_size_limit(before)


def _separator(header: str, text_column: str, label_column: str) -> str:
    """What stands between a table's columns: spreadsheets in many languages write semicolons.

    >>> _separator("text;label", "text", "label")
    ';'
    >>> _separator("text,label,a;b", "text", "label")
    ','
    """

    def columns(separator: str) -> list[str]:
        try:
            return [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
        except csv.Error:
            return []

    found = {separator: columns(separator) for separator in ",;\t"}
    for separator, names in found.items():
        if text_column in names and label_column in names:
            return separator
    return max(found, key=lambda separator: len(found[separator]))


def _numbered_records(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Records with the line each starts on; a quoted field may go over several."""
    while True:
        number = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(f"{path}:{number}: not CSV ({error}); check its quotes") from error
        if record:
            yield number, record


def _read_tsv(path: Path, text_column: str, label_column: str) -> Iterator[Row | _Mistake]:
    # Tab-separated files are written with and without quoting. A quote inside a field is a plain
    # character, as most have it; only a field that is quoted as a whole is unquoted.
    records = (
        (number, [_unquote(field) for field in line.rstrip("\r\n").split("\t")])
        for number, line in _lines(path)
        if line.strip()
    )
    yield from _read_table(path, records, text_column, label_column)


def _unquote(field: str) -> str:
    if len(field) >= 2 and field[0] == field[-1] == '"':
        inner = field[1:-1].replace('""', "\0")
        if '"' not in inner:
            return inner.replace("\0", '"')
    return field


def _read_table(
    path: Path, records: Iterator[tuple[int, list[str]]], text_column: str, label_column: str
) -> Iterator[Row | _Mistake]:
    first = next(records, None)
    if first is None:
        return
    header = [name.strip() for name in first[1]]
    if missing := _missing_columns(f"{path}:{first[0]}", header, text_column, label_column):
        raise UserError(_all_of([missing]))
    text_at, label_at = header.index(text_column), header.index(label_column)
    for number, record in records:
        where = f"{path}:{number}"
        if len(record) == len(header):
            yield _row(record[text_at], record[label_at].strip(), where)
            continue
        advice = "quote texts that contain the separator"
        if len(record) < len(header):
            advice = "fill in what is missing"
        plural = "" if len(record) == 1 else "s"
        what = f"{len(record)} column{plural}, the header has {len(header)}"
        yield _Mistake(where, what, advice)


def _read_folder(path: Path) -> Iterator[Row | _Mistake]:
    files = folder_files(path)
    folders = {file.relative_to(path).parts[0] for file in files}
    if folders & {"train", "test"}:
        raise UserError(
            f"{path}: holds the folders {some_names(sorted(folders))}, which look like splits, not "
            f"labels; name one of them, such as {path / 'train'}"
        )
    for file in files:
        relative = file.relative_to(path)
        text = "".join(line for _, line in _lines(file))
        yield _row(text, relative.parts[0], str(file))


def folder_files(path: Path) -> list[Path]:
    """The files below the class folders, in an order that no file system decides."""
    files = [
        file
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    ]
    if not files:
        raise UserError(f"{path}: no examples; put the texts of each class in a folder of its own")
    return files


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends, decoded strictly; a byte-order mark is dropped."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{path}:{number}: not UTF-8 (byte {line[error.start]:#04x} at column "
                        f"{error.start + 1}); save the file as UTF-8"
                    ) from error
                yield number, text.removeprefix("\ufeff") if number == 1 else text
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _row(text: str, label: str, where: str) -> Row | _Mistake:
    if not text.strip():
        return _Mistake(where, "the text is empty", _MEND)
    if not label:
        return _Mistake(where, "the label is empty", _MEND)
    return Row(text, label, where)


def _missing_columns(where: str, present: "Sequence[str] | dict", *columns: str) -> _Mistake | None:
    fields = ("text_column", "label_column")
    missing = [i for i, column in enumerate(columns) if column not in present]
    if not missing:
        return None
    names = " or ".join(repr(columns[i]) for i in missing)
    flags = " and ".join(f"--config.data.{fields[i]}=NAME" for i in missing)
    header = "" if isinstance(present, dict) else ", or add a first line of column names"
    what = f"no column {names}, only {some_names(list(present))}"
    return _Mistake(where, what, f"set {flags}{header}")


def some_names(names: Sequence[str]) -> str:
    """The first few names, quoted and cut short, for a message of one line."""
    return some([repr(name[:40]) for name in names])
