"""Small files of a data set's cache: written completely or not at all, and validated when read."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lstm_flax.data.examples import are_label_names
from lstm_flax.data.loading import SPLITS
from lstm_flax.errors import UserError
from lstm_flax.files import cannot_read, replace_file
from lstm_flax.text.tokenizer import Tokenizer
from lstm_flax.untrusted import is_damage, read_json, read_plain

_MANIFEST = "dataset.json"


def digest(values: Any) -> str:
    """Returns a short hash of plain values, for names that change whenever a value does."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def read_manifest(folder: Path, version: int) -> dict[str, Any] | None:
    """Reads a folder's `dataset.json`; None if missing, damaged or of another version.

    Raises:
        UserError: the system refuses to read it.
    """
    try:
        manifest = read_json(folder / _MANIFEST)
    except OSError as error:
        if not is_damage(error):
            raise cannot_read(folder / _MANIFEST, error) from error
        return None
    except ValueError:
        return None
    if not isinstance(manifest, dict) or manifest.get("format") != version:
        return None
    checksum = manifest.pop("checksum", None)
    return manifest if checksum == digest(manifest) and _is_sound(manifest) else None


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes the `dataset.json` of a folder, with a checksum of its values.

    Raises:
        UserError: the folder cannot be created or written.
    """
    content = json.dumps(manifest | {"checksum": digest(manifest)}, ensure_ascii=False)
    write_file(folder / _MANIFEST, content.encode())


def _is_sound(manifest: dict[str, Any]) -> bool:
    """Returns True if all used fields of an untrusted `dataset.json` are valid."""
    splits, settings = manifest.get("splits"), manifest.get("settings")
    return (
        are_label_names(manifest.get("label_names"))
        and isinstance(splits, list)
        and all(name in SPLITS for name in splits)  # they become folder names
        and isinstance(settings, dict)
        and all(isinstance(area, dict) for area in settings.values())
        and isinstance(manifest.get("fingerprint"), str)
    )


def read_tokenizer(path: Path) -> Tokenizer | None:
    """Reads a tokenizer file; None if it is missing or damaged.

    Raises:
        UserError: the system refuses to read it.
    """
    try:
        content = read_plain(path)
    except OSError as error:
        if not is_damage(error):
            raise cannot_read(path, error) from error
        return None
    try:
        return Tokenizer.from_bytes(content)
    except UserError:
        return None


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Creates a cache folder to write in; on failure raises a `UserError` that names it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); make room there, or name another "
            "folder in --config.data.cache_dir"
        ) from error


def write_file(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name and renames it, so no one reads a partial file.

    Raises:
        UserError: its folder cannot be created or written.
    """
    with writing(path.parent):
        replace_file(path, content)
