"""One-line errors for a disk that is full or cannot be written."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from lstm_flax.errors import UserError, one_line

_ROOM_FOR_SMALL_FILES = 2_000_000  # bytes; even a tiny model's checkpoint has 100 kB


@contextlib.contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Converts Orbax's errors for failed writes, now or in the background, to `UserError`."""
    try:
        yield
    except OSError as error:
        _require_folder(folder, error)
        raise _cannot_save(folder, error.strerror or one_line(error)) from error
    except ValueError as error:
        # TensorStore gives the database, the file and the call before the reason.
        message, code, _ = str(error).partition(" [os_error_code")
        _require_folder(folder, error)
        if not code:
            raise
        raise _cannot_save(folder, message.split(": ")[-1]) from error


def require_room(folder: Path, arrays: Any) -> None:
    """Checks, before Orbax begins, that a checkpoint fits on the disk; raises `UserError` if not.

    Orbax compresses the arrays a little and adds some files of its own.

    Args:
        folder: where it will be saved.
        arrays: a tree of all arrays to be saved.
    """
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)) + _ROOM_FOR_SMALL_FILES
    usage = shutil.disk_usage(folder)
    if usage.free < needed and usage.total > 0:  # some file systems do not report it
        reason = f"it needs {needed / 1e6:.1f} MB, {usage.free / 1e6:.1f} are free"
        raise _cannot_save(folder, reason)


def _require_folder(folder: Path, error: Exception) -> None:
    if not folder.exists():
        raise UserError(
            f"{folder}: was removed during training; start the same command again"
        ) from error


def _cannot_save(folder: Path, reason: str) -> UserError:
    return UserError(
        f"{folder}: a checkpoint cannot be saved ({reason}); make room or give the right to write "
        "there, and the same command continues from the newest there is"
    )
