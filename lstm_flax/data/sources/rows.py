"""Labelled rows of one file, .jsonl, .csv or .tsv, or of a folder with a folder per class.

Text is UTF-8, strictly, and every complaint names the file and the line.
"""

import collections
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lstm_flax.errors import UserError, some

_QUOTED_LINES = 100  # that one field of a .tsv file goes over, at most
_FILL_IN = "fill it in or remove the example"


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
    """A mistake in one row, or from one line on."""

    where: str
    what: str
    advice: str


class _UnreadableError(Exception):
    """A mistake after which nothing more of the file can be read."""

    def __init__(self, mistake: _Mistake) -> None:
        super().__init__(mistake)
        self.mistake = mistake


def read_rows(
    path: Path,
    text_column: str,
    label_column: str,
    flags: tuple[str, str] | None = ("--config.data.text_column", "--config.data.label_column"),
) -> Iterator[Row]:
    """The examples of one file or folder, in order; all invalid rows are reported at once.

    Args:
        path: a .jsonl, .csv or .tsv file (the last two with a header), or a folder per class.
        text_column: name of the column or field with the text.
        label_column: likewise of the label, a string or a whole number.
        flags: what sets the two names, for messages; None where the training part decides them.

    Raises:
        UserError: naming file and line of the rows that are wrong, once the others are read, as
            far as they can be.
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
        found = reader(path, _Columns(text_column, label_column, flags))
    mistakes = []
    try:
        for row in found:
            if isinstance(row, _Mistake):
                mistakes.append(row)
            else:
                yield row
    except _UnreadableError as error:
        mistakes.append(error.mistake)
    if mistakes:
        raise UserError(_all_of(mistakes))


def _all_of(mistakes: Sequence[_Mistake]) -> str:
    """One line: the first in full, of the next few what and where, and how many there are more."""
    first, *others = mistakes
    report = f"{first.where}: {first.what}; {first.advice}"
    if others:
        report += f"; wrong too: {some([f'{m.where}: {m.what}' for m in others], 5, '; ')}"
    return report


class _Columns(NamedTuple):
    """The names of the columns, and the flags that set them."""

    text: str
    label: str
    flags: tuple[str, str] | None

    def mistake_in(self, present: Sequence[str] | dict[str, Any], where: str) -> _Mistake | None:
        """The mistake in a table's header, or in one record; None if there is none."""
        names = (self.text, self.label)
        if twice := [name for name in names if list(present).count(name) > 1]:
            return _Mistake(where, f"two columns {twice[0]!r}", "rename the one that is not meant")
        missing = [i for i in range(2) if names[i] not in present]
        if not missing:
            return None
        absent = " or ".join(repr(names[i]) for i in missing)
        what = f"no column {absent}, only {some_names(list(present))}"
        if self.flags is None:
            return _Mistake(where, what, "name the columns as in the training part")
        flags = " and ".join(f"{self.flags[i]}=NAME" for i in missing)
        header = "" if isinstance(present, dict) else ", or add a first line of column names"
        return _Mistake(where, what, f"set {flags}{header}")


def _read_jsonl(path: Path, columns: _Columns) -> Iterator[Row | _Mistake]:
    for number, line in _lines(path):
        if line.strip():
            yield _json_row(line, f"{path}:{number}", columns)


def _json_row(line: str, where: str, columns: _Columns) -> Row | _Mistake:
    one_a_line = "write one object a line"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return _Mistake(where, f"not JSON ({error})", one_a_line)
    if not isinstance(record, dict):
        return _Mistake(where, "not a JSON object", one_a_line)
    if mistake := columns.mistake_in(record, where):
        return mistake
    text, label = record[columns.text], record[columns.label]
    if not isinstance(text, str):
        what = f"{columns.text!r} is {_json(text)}, not a string"
        return _Mistake(where, what, "give a text, in quotes")
    if not isinstance(label, str | int):
        what = f"label {columns.label!r} is {_json(label)}, not a string or whole number"
        return _Mistake(where, what, "give a name, in quotes, or a whole number")
    return _row(text, _json(label) if isinstance(label, bool) else str(label), where)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]


def _read_csv(path: Path, columns: _Columns) -> Iterator[Row | _Mistake]:
    lines = (line for _, line in _lines(path))
    first, skipped = next(lines, ""), 0
    # A spreadsheet program's own line in front of the header: sep=;
    if told := re.fullmatch(r"sep=(.)", first.rstrip("\r\n"), re.IGNORECASE):
        first, skipped = next(lines, ""), 1
    separator = told[1] if told else _separator(first, columns.text, columns.label)
    reader = csv.reader(itertools.chain([first], lines), delimiter=separator, strict=True)
    yield from _read_table(path, _numbered_records(path, reader, skipped), columns)


def _separator(header: str, text_column: str, label_column: str) -> str:
    """The separator of a table's columns: spreadsheets in many languages write semicolons.

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


def _numbered_records(path: Path, reader: Any, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Records with the line each starts on; a quoted field may go over several."""
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
            mistake = _Mistake(f"{path}:{number}", f"not CSV ({error})", advice)
            raise _UnreadableError(mistake) from error
        if record:
            yield number, record


def _read_tsv(path: Path, columns: _Columns) -> Iterator[Row | _Mistake]:
    # Tab-separated files are written with and without quoting. A quote inside a field is a plain
    # character, as most have it; only a field that is quoted as a whole is unquoted.
    yield from _read_table(path, _tsv_records(_lines(path)), columns)


def _tsv_records(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Records with the line each starts on.

    A spreadsheet program quotes a field with line breaks: a line that ends in an open quotation
    goes on in the next ones, unless it is whole and so is the next.
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
                    break  # a record of its own
                joined += further
                record = next(csv.reader(io.StringIO(joined), delimiter="\t"), [])
                if len(record) == width and not _is_open(joined.rstrip("\r\n").split("\t")[-1]):
                    for _ in range(taken):
                        waiting.popleft()
                    found = record
                    break
        yield number, found


def _is_open(field: str) -> bool:
    """True if a field begins with a quotation mark that nothing closes."""
    return field.startswith('"') and field.count('"') % 2 == 1


def _unquote(field: str) -> str:
    if len(field) >= 2 and field[0] == field[-1] == '"':
        inner = field[1:-1].replace('""', "\0")
        if '"' not in inner:
            return inner.replace("\0", '"')
    return field


def _read_table(
    path: Path, records: Iterator[tuple[int, list[str]]], columns: _Columns
) -> Iterator[Row | _Mistake]:
    first = next(records, None)
    if first is None:
        return
    header = [name.strip() for name in first[1]]
    if mistake := columns.mistake_in(header, f"{path}:{first[0]}"):
        raise _UnreadableError(mistake)
    text_at, label_at = header.index(columns.text), header.index(columns.label)
    for number, record in records:
        where = f"{path}:{number}"
        if len(record) == len(header):
            if any(field.strip() for field in record):  # spreadsheets write rows of nothing
                yield _row(record[text_at], record[label_at].strip(), where)
            continue
        if not any(field.strip() for field in record):
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
        try:
            text = "".join(line for _, line in _lines(file))
        except _UnreadableError as error:
            yield error.mistake
        else:
            yield _row(text, file.relative_to(path).parts[0], str(file))


def folder_files(path: Path) -> list[Path]:
    """The files below the class folders, in an order that no file system decides.

    Hidden files and folders, backups and what file managers leave are passed over.

    Raises:
        UserError: there is none, or a link leads out of the folder.
    """
    inside = path.resolve()
    files = []
    for file in sorted(path.glob("*/**/*")):
        parts = file.relative_to(path).parts
        if any(map(_is_litter, parts)) or not file.is_file():
            continue
        is_link = file.is_symlink() or (path / parts[0]).is_symlink()
        if is_link and not file.resolve().is_relative_to(inside):
            raise UserError(f"{file}: a link out of {path}; put the text itself there")
        files.append(file)
    if not files:
        raise UserError(f"{path}: no examples; put the texts of each class in a folder of its own")
    return files


def _is_litter(name: str) -> bool:
    """True for the name of a file or folder that nobody wrote as a text or a class.

    >>> [_is_litter(name) for name in (".ipynb_checkpoints", "a.txt~", "Thumbs.db", "a.txt")]
    [True, True, True, False]
    """
    return (
        name.startswith((".", "~$"))
        or name.endswith("~")
        or name.lower() in ("thumbs.db", "desktop.ini", "__macosx", "__pycache__")
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends, decoded strictly; a byte-order mark is dropped."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(_lines_of(file), start=1):
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError as error:
                    byte = f"byte {line[error.start]:#04x} at column {error.start + 1}"
                    mistake = _Mistake(
                        f"{path}:{number}", f"not UTF-8 ({byte})", "save the file as UTF-8"
                    )
                    raise _UnreadableError(mistake) from error
                yield number, text.removeprefix("\ufeff") if number == 1 else text
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise _UnreadableError(_Mistake(str(path), what, "check the path")) from error


def _lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; they may all end in a carriage return alone, as some programs save."""
    for line in file:
        if b"\r" in line.rstrip(b"\r\n") and not line.endswith(b"\n"):  # all of it, or the last
            yield from re.findall(rb"[^\r]*\r|[^\r]+", line)
        else:
            yield line


def _row(text: str, label: str, where: str) -> Row | _Mistake:
    if not text.strip():
        return _Mistake(where, "the text is empty", _FILL_IN)
    if not label:
        return _Mistake(where, "the label is empty", _FILL_IN)
    if not label.isprintable() and any("\ud800" <= c <= "\udfff" for c in label):
        return _Mistake(where, "the label is no Unicode text (half a surrogate pair)", "correct it")
    return Row(text, label, where)


def some_names(names: Sequence[str]) -> str:
    """The first few names, quoted and cut short, for a message of one line."""
    return some([repr(name[:40]) for name in names])
