"""Files written whole or not at all, folders made, with errors a user can act on."""

import contextlib
import os
import threading
from pathlib import Path

from lstm_flax.errors import UserError, one_line


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
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it is there no more if all went well
            temporary.unlink()


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
    return UserError(
        f"{path}: cannot be written ({one_line(error)}); give the right to write there or make "
        "room, or choose another folder"
    )


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
