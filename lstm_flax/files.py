"""Writes files completely or not at all, creates folders, and raises errors users can act on."""

import contextlib
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lstm_flax.errors import UserError, one_line
from lstm_flax.untrusted import open_plain

_OPEN_FILES = 1_024  # at once; the usual limit of a shell
_FEWEST_OPEN_FILES = 128  # training a small model needs about 50, and more on many cores


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file under a temporary name and renames it, so it is never partial.

    Raises:
        UserError: the folder or the file cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name and renames it, so it is never partial.

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
    """Writes a file under a temporary name and renames it; raises the system's own errors."""
    with _replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        # O_EXCL: does not follow a link of that name created by someone else.
        with open_plain(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
            yield file
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it no longer exists if all went well
            temporary.unlink()


@contextlib.contextmanager
def writing_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file under a temporary name; renames it at the end, or removes it after an error.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with _replacing(path) as file:
            yield file
    except OSError as error:
        raise cannot_write(path, error) from error


@contextlib.contextmanager
def writing_output(path: Path) -> Iterator[BinaryIO]:
    """Opens an output named by the user, like `writing_file`, but follows links.

    A pipe or device stays one and is written to. Not for files inside a run, where a link may come
    from someone else; see `require_own_output`.

    Raises:
        UserError: it cannot be written.
    """
    if not path.exists() or path.is_file() or path.is_dir():
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        if target.is_symlink():
            raise UserError(f"{path}: a link that leads in a circle; remove it")
        with writing_file(target) as file:
            yield file
        return
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "wb") as file:
            yield file
    except OSError as error:
        raise cannot_write(path, error) from error


def write_output(path: Path, text: str) -> None:
    """Writes UTF-8 to an output named by the user; see `writing_output`."""
    with writing_output(path) as file:
        file.write(text.encode())


def make_folder(folder: Path) -> None:
    """Creates a run's folder if it does not exist.

    Raises:
        UserError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made the folder of a run ({one_line(error)}); choose another"
        ) from error


def is_utf8(text: str) -> bool:
    r"""Returns True unless a text has lone surrogates, as Python keeps bytes of a file's name.

    >>> is_utf8("café"), is_utf8("caf\udce9")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def allow_open_files() -> None:
    """Raises this process's limit on open files to what training needs, if the system allows it.

    Raises:
        UserError: the system allows too few.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < _OPEN_FILES:
        allowed = _OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    if allowed < _FEWEST_OPEN_FILES:
        raise UserError(
            f"this process may have only {allowed} files open at once, and needs "
            f"{_FEWEST_OPEN_FILES}; raise the hard limit (ulimit -Hn {_OPEN_FILES}), which may "
            "need an administrator"
        )


def cannot_write(path: Path, error: OSError) -> UserError:
    """Returns the error for a file that the system refuses to write."""
    if isinstance(error, FileNotFoundError):
        return UserError(
            f"{path}: cannot be written, there is no folder {path.parent}; make it first"
        )
    return UserError(
        f"{path}: cannot be written ({one_line(error)}); give the right to write there or make "
        "room, or choose another folder"
    )


def cannot_read(path: Path, error: OSError) -> UserError:
    """Returns the error for a file or folder that the system refuses to read."""
    return UserError(
        f"{path}: cannot be read ({one_line(error)}); check its permissions, or try again"
    )


def expanded(path: str | Path) -> Path:
    """Expands `~` and `~user` in a path.

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
    """Returns the folder for files kept between runs: `lstm_flax` in $XDG_CACHE_HOME or ~/.cache.

    A relative XDG_CACHE_HOME is ignored, as the XDG base directory specification requires.

    Args:
        field: another way to set the folder, for the error, for example `config.data.cache_dir`.

    Raises:
        UserError: XDG_CACHE_HOME is not an absolute path, and no home folder is known.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError as error:
            ways = "XDG_CACHE_HOME to a folder" + (f", or {field}" if field else "")
            raise UserError(f"no home folder is known to keep a cache in; set {ways}") from error
    return base / "lstm_flax"


def folder_size(folder: Path) -> int:
    """Counts the bytes of the files below a folder, without following links."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # another process has just replaced it
                size += Path(parent, name).lstat().st_size
    return size
