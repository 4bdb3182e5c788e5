"""Decodes the lines of a file, compressed or not, or of a stream."""

import bz2
import contextlib
import gzip
import lzma
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lstm_flax.data.tables.mistakes import Mistake, UnreadableError
from lstm_flax.errors import UserError

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def plain_suffix(path: Path) -> str:
    """Returns the suffix that gives a file's format, without a compression suffix.

    >>> plain_suffix(Path("reviews.CSV.gz")), plain_suffix(Path("v1.2.jsonl"))
    ('.csv', '.jsonl')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in _OPENERS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_file(path: Path) -> BinaryIO:
    """Opens a file for reading, decompressing it according to its name."""
    return _OPENERS.get(path.suffix.lower(), open)(path, "rb")


def require_file(path: Path) -> None:
    """Checks that reading a path would not wait for another program, as a pipe makes it do.

    Raises:
        UserError: it is a pipe, a socket or a device.
    """
    with contextlib.suppress(OSError):  # reported when it is opened
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UserError(
                f"{path}: a pipe, socket or device, not a file; save its content in a file"
            )


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields numbered lines with their ends, decoded strictly; drops a byte-order mark.

    Raises:
        UnreadableError: the file cannot be read, is damaged, or is not UTF-8.
    """
    try:
        with open_file(path) as file:
            yield from decode_lines(file, str(path))
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        what = f"cannot be read ({reason})"
        unread = isinstance(error, OSError) and error.errno is not None
        advice = "check the path" if unread else "copy it again, or correct its suffix"
        raise UnreadableError(Mistake(str(path), what, advice)) from error


def decode_lines(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Decodes like `read_lines`, for lines from any source.

    Args:
        lines: lines with their ends.
        name: name of the source, for messages.

    Raises:
        UnreadableError: a line is not UTF-8.
    """
    for number, line in enumerate(_split_at_returns(lines), start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = f"byte {line[error.start]:#04x} at column {error.start + 1}"
            what = f"not UTF-8 ({byte})"
            mistake = Mistake(f"{name}:{number}", what, "save the file as UTF-8")
            raise UnreadableError(mistake) from error
        yield number, text.removeprefix("\ufeff") if number == 1 else text


def _split_at_returns(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Splits lines at carriage returns, in case the file uses those alone as line ends."""
    for line in lines:
        if b"\r" in line.rstrip(b"\r\n") and not line.endswith(b"\n"):  # whole file, or last line
            yield from re.findall(rb"[^\r]*\r|[^\r]+", line)
        else:
            yield line
