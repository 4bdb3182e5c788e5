"""Reads files from untrusted sources without following links, blocking or exhausting memory."""

import contextlib
import errno
import json
import math
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from lstm_flax.errors import UserError, one_line

LARGEST_FILE = 50_000_000  # bytes of a file read at once, for example a tokenizer
LARGEST_JSON = 10_000_000  # a configuration, results; its lists take 20 times as much memory
LARGEST_LINE = 1_000_000  # bytes of a log line
_DEEPEST_JSON = 100  # levels of nested lists and objects
_LONGEST_NUMBER = 300  # digits; a float holds 308
_NOT_PLAIN = "a link, pipe or device, not a regular file or folder"

# Errors of a file that is missing, of another kind, or too large.
_DAMAGES = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.EFBIG)


def is_damage(error: OSError) -> bool:
    """Returns True if an error of reading a file means that the file is not what was written.

    Any other, such as a missing permission or a lost disk, says nothing about what is stored.

    >>> is_damage(FileNotFoundError(errno.ENOENT, "")), is_damage(OSError(errno.EACCES, ""))
    (True, False)
    """
    return error.errno in _DAMAGES


def read_plain(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """Reads an untrusted file: not a link, device or pipe, and of limited size.

    Args:
        path: the file itself, not a link to it.
        largest: the most bytes that it may have.

    Raises:
        OSError: it cannot be read, or fails one of these conditions.
    """
    with open_plain(path, os.O_RDONLY) as file:
        if os.fstat(file.fileno()).st_size > largest:
            raise OSError(errno.EFBIG, f"more than the {largest:,} bytes expected", str(path))
        return file.read(largest)


def read_json(path: Path) -> Any:
    """Reads a small untrusted JSON file, like `read_plain`.

    Raises:
        OSError: it cannot be read, or is larger than any that this program writes.
        ValueError: see `parse_json`.
    """
    return parse_json(read_plain(path, LARGEST_JSON))


def parse_json(content: bytes) -> Any:
    """Parses untrusted JSON: not deeply nested, and with numbers that a float can hold.

    >>> parse_json(b'{"loss": 1e999}')
    Traceback (most recent call last):
    ...
    ValueError: 1e999 is not a finite number

    Raises:
        ValueError: it is not JSON, has an infinite, very large or undefined number, or is nested
            too deeply.
    """
    try:
        value = json.loads(
            content, parse_int=_whole, parse_float=_finite, parse_constant=_not_finite
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if is_deep(value):
        raise ValueError("it is nested too deeply")
    return value


def is_deep(value: Any) -> bool:
    """Returns True if lists and objects are nested too deeply for Python to traverse.

    >>> is_deep([[1], {"a": []}])
    False
    """
    level = [value]
    for _ in range(_DEEPEST_JSON + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
    return bool(level)


def _whole(text: str) -> int:
    return int(text) if len(text) <= _LONGEST_NUMBER else _not_finite(text)


def _finite(text: str) -> float:
    return number if math.isfinite(number := float(text)) else _not_finite(text)


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a finite number")


@contextlib.contextmanager
def reading_arrays() -> Iterator[None]:
    """Turns any error that NumPy raises for a damaged array into `ValueError`.

    NumPy parses an array's header as Python, so the error may be of almost any type, and it
    allocates what the header asks for.

    >>> with reading_arrays():
    ...     compile("{'shape': (3", "header", "eval")
    Traceback (most recent call last):
    ...
    ValueError: not an array that NumPy has written ('(' was never closed (header, line 1))

    Raises:
        OSError, KeyError: as they were: the file cannot be read, or an archive lacks an array.
        ValueError: any other error.
    """
    try:
        yield
    except (OSError, KeyError):
        raise
    except Exception as error:
        raise ValueError(f"not an array that NumPy has written ({one_line(error)})") from error


def read_lines(path: Path) -> Iterator[str]:
    """Reads the complete lines of an untrusted text file, one at a time.

    A line of more than `LARGEST_LINE` bytes is returned empty. A last line without a line end is
    left out, since a killed process may have cut it off.

    Raises:
        OSError: it cannot be read, or is not a plain file.
    """
    with open_plain(path, os.O_RDONLY) as file:
        while line := file.readline(LARGEST_LINE):
            whole = line.endswith(b"\n")
            if whole:
                yield line[:-1].decode(errors="replace")
            elif len(line) == LARGEST_LINE:
                while line and not line.endswith(b"\n"):
                    line = file.readline(LARGEST_LINE)
                if line:
                    yield ""


def open_plain(path: Path, flags: int) -> BinaryIO:
    """Opens a plain file in an untrusted folder without following links.

    Args:
        path: the file itself.
        flags: see `os.open`.

    Raises:
        OSError: it is a link, a pipe, a device or a folder, or cannot be opened.
    """
    try:
        number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, or a pipe without a reader
            raise OSError(error.errno, _NOT_PLAIN, str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, _NOT_PLAIN, str(path))
    return os.fdopen(number, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "wb")


def require_own_files(folder: Path) -> None:
    """Checks that a folder really contains its files, at any depth: no links, pipes or devices.

    If someone else made the folder, a link in it could lead anywhere.

    Raises:
        UserError: names the first entry that is something else.
    """
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in sorted(folders + names)):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # another process has just replaced it
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UserError(f"{path}: {_NOT_PLAIN}; put a plain file or folder in its place")


def require_own_output(path: Path, runs: Sequence[Path]) -> None:
    """Checks that an output inside a possibly untrusted run does not lead elsewhere.

    Raises:
        UserError: it is a link, pipe or device in one of the folders.
    """
    plain = not path.is_symlink() and (path.is_file() or path.is_dir() or not path.exists())
    folder = path.parent.resolve()
    if not plain and any(folder.is_relative_to(run.resolve()) for run in runs):
        raise UserError(f"{path}: {_NOT_PLAIN}; name another output")
