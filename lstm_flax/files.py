"""Files written whole or not at all, folders made, with errors a user can act on."""

import contextlib
import errno
import json
import math
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from lstm_flax.errors import UserError, one_line

LARGEST_FILE = 50_000_000  # bytes of what is read whole, such as a tokenizer
LARGEST_JSON = 10_000_000  # a configuration, results; lists in it take 20 times as much memory
LARGEST_LINE = 1_000_000  # of a log
_DEEPEST_JSON = 100  # lists and objects within each other
_LONGEST_NUMBER = 300  # digits; a float holds 308
_NOT_PLAIN = "a link, pipe or device, not a file or folder of its own"


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file under a temporary name, then renames it: never half a file.

    Raises:
        UserError: the folder or the file cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name, then renames it: never half a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(Path(folder, "a"), b"1")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a']

    Raises:
        UserError: the folder or the file cannot be written.
    """
    try:
        replace_file(path, data)
    except OSError as error:
        raise cannot_write(path, error) from error


def replace_file(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name, then renames it; raises what the system raises."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        # O_EXCL: a link of that name, put there by another, is not followed.
        with open_plain(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
            file.write(data)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it is there no more if all went well
            temporary.unlink()


@contextlib.contextmanager
def writing_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file under a temporary name; it is renamed at the end, or removed after an error.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with open_plain(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # it is there no more if all went well
            temporary.unlink()


@contextlib.contextmanager
def writing_output(path: Path) -> Iterator[BinaryIO]:
    """As `writing_file`, for an output that the user named: it goes where a link leads.

    What is a pipe or a device stays one, and is written into. Not for files inside a run, where a
    link may be another's; see `require_own_output`.

    Raises:
        UserError: it cannot be written.
    """
    if not path.exists() or path.is_file() or path.is_dir():
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        with writing_file(target) as file:
            yield file
        return
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "wb") as file:
            yield file
    except OSError as error:
        raise cannot_write(path, error) from error


def write_output(path: Path, text: str) -> None:
    """Writes UTF-8 to an output that the user named; see `writing_output`."""
    with writing_output(path) as file:
        file.write(text.encode())


def make_folder(folder: Path) -> None:
    """Makes the folder of a run if it is absent.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made the folder of a run ({one_line(error)}); choose another"
        ) from error


def cannot_write(path: Path, error: OSError) -> UserError:
    """The error for a file that the system refuses to write."""
    if isinstance(error, FileNotFoundError):
        return UserError(
            f"{path}: cannot be written, there is no folder {path.parent}; make it first"
        )
    return UserError(
        f"{path}: cannot be written ({one_line(error)}); give the right to write there or make "
        "room, or choose another folder"
    )


def expanded(path: str | Path) -> Path:
    """The path with `~` and `~user` written out.

    Raises:
        UserError: no home folder is known for that `~`.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path}: no home folder is known for {Path(path).parts[0]}; write the path in full, "
            "or with ./ before it"
        ) from error


def cache_folder(field: str | None = None) -> Path:
    """The folder of what is kept between runs: `lstm_flax` in $XDG_CACHE_HOME or ~/.cache.

    A relative XDG_CACHE_HOME is ignored, as the XDG base directory specification asks.

    Args:
        field: what else sets the folder, for the error, such as `config.data.cache_dir`.

    Raises:
        UserError: neither variable says where, as no home folder is known.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError as error:
            ways = "XDG_CACHE_HOME to a folder" + (f", or {field}" if field else "")
            raise UserError(f"no home folder is known to keep a cache in; set {ways}") from error
    return base / "lstm_flax"


def read_plain(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """Reads a file that someone else may have made: no link, no device, no pipe, not endless.

    Args:
        path: the file itself, not a link to it.
        largest: bytes that it may have.

    Raises:
        OSError: it cannot be read, or is none of that.
    """
    with open_plain(path, os.O_RDONLY) as file:
        if os.fstat(file.fileno()).st_size > largest:
            raise OSError(errno.EFBIG, f"more than the {largest:,} bytes expected", str(path))
        return file.read(largest)


def read_json(path: Path) -> Any:
    """Reads a small JSON file that someone else may have made, as `read_plain` does.

    Raises:
        OSError: it cannot be read, or is larger than any that a program here writes.
        ValueError: see `parse_json`.
    """
    return parse_json(read_plain(path, LARGEST_JSON))


def parse_json(content: bytes) -> Any:
    """Parses JSON that someone else may have made: of little depth, with numbers that a float has.

    >>> parse_json(b'{"loss": 1e999}')
    Traceback (most recent call last):
    ...
    ValueError: 1e999 is not a finite number

    Raises:
        ValueError: it is not JSON, or has an infinite, very large or undefined number, or is nested
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
    """True if lists and objects lie so deep within each other that Python cannot walk them.

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


def read_lines(path: Path) -> Iterator[str]:
    """Reads the whole lines of a text file that someone else may have made, one at a time.

    A line of more than `LARGEST_LINE` bytes comes empty. The last line is left out if it has no
    end, since a kill may have cut it.

    Raises:
        OSError: it cannot be read, or is no plain file.
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
    """Opens a plain file in a folder that someone else may have filled; follows no link.

    Args:
        path: the file itself.
        flags: as `os.open` takes them.

    Raises:
        OSError: it is a link, a pipe, a device or a folder, or cannot be opened.
    """
    try:
        number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, or a pipe that nobody reads
            raise OSError(error.errno, _NOT_PLAIN, str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, _NOT_PLAIN, str(path))
    return os.fdopen(number, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "wb")


def require_own_files(folder: Path) -> None:
    """Makes sure that a folder holds its files itself, at any depth: no links, pipes or devices.

    The folder may be one that someone else made, a link in it may lead anywhere.

    Raises:
        UserError: naming the first that is something else.
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
    """Makes sure that an output inside a run, which someone else may have made, leads nowhere else.

    Raises:
        UserError: it is a link, pipe or device in one of the folders.
    """
    plain = not path.is_symlink() and (path.is_file() or path.is_dir() or not path.exists())
    folder = path.parent.resolve()
    if not plain and any(folder.is_relative_to(run.resolve()) for run in runs):
        raise UserError(f"{path}: {_NOT_PLAIN}; name another output")


def folder_size(folder: Path) -> int:
    """Bytes of the files below a folder; no link is followed."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # another process has just replaced it
                size += Path(parent, name).lstat().st_size
    return size
