"""Files written whole or not at all, and folders made, with errors a user can act on."""

import contextlib
import os
from pathlib import Path

from lstm_flax.errors import UserError, one_line


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name, then renames it: never half a file.

    Raises:
        UserError: the folder or the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise cannot_write(path, error) from error


def make_folder(folder: Path) -> None:
    """Makes the folder of a run, where absent; `UserError` where it cannot be made."""
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
