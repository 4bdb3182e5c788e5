"""The manifest of a checkpoint: its step, and the size and SHA-256 of every file.

It is an item of the checkpoint, written last and read first. A checkpoint that matches its manifest
is intact; one that does not is damaged, and nothing else of it is read. The manifest omits Orbax's
own records of when it saved: it writes them even later, and nothing here reads them.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import orbax.checkpoint as ocp

from lstm_flax.errors import one_line
from lstm_flax.files import cannot_read
from lstm_flax.untrusted import is_damage, read_json

MANIFEST = "verification"  # Orbax finishes items in the order of their names, so this one is last
_FILE = "manifest.json"
_MARKS = ("commit_success.txt", "_CHECKPOINT_METADATA")


class DamagedCheckpoint(Exception):
    """A checkpoint differs from what was saved; the message names the file."""


def write_manifest(folder: Path, step: int) -> None:
    """Writes the manifest of a checkpoint whose other files are complete.

    Args:
        folder: the manifest's own folder, inside the checkpoint's.
        step: step at which the checkpoint was saved.
    """
    files = {
        name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for name, path in _files(folder.parent).items()
        if not path.is_relative_to(folder) and path.name not in _MARKS
    }
    content = json.dumps({"step": step, "files": files}, indent=1)
    (folder / _FILE).write_text(content, encoding="utf-8")


class ManifestHandler(ocp.CheckpointHandler):
    """Writes the manifest after Orbax has finished every other item of the checkpoint."""

    _step = 0

    def save(self, directory: Any, args: "SaveManifest") -> None:
        """Records the step; the other items are still being written."""
        self._step = args.step

    def finalize(self, directory: Any) -> None:
        """Writes the manifest; by now the other items have their final names.

        Orbax calls it only in the first process, after every process has written its part.
        """
        late = [path.name for path in Path(directory).parent.glob("*.orbax-checkpoint-tmp*")]
        assert late in ([], [Path(directory).name]), f"finished after the manifest: {late}"
        write_manifest(Path(directory), self._step)

    def restore(self, directory: Any, args: Any = None) -> Any:
        """Raises: a manifest is read by `verify`."""
        raise TypeError("a manifest is read by `verify`")


@ocp.args.register_with_handler(ManifestHandler, for_save=True, for_restore=True)
@dataclasses.dataclass
class SaveManifest(ocp.args.CheckpointArgs):
    """Requests a manifest."""

    step: int


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Step and files of a checkpoint as saved.

    Attributes:
        step: step at which it was saved.
        files: names relative to the checkpoint's folder.
    """

    step: int
    files: tuple[str, ...]


def verify(checkpoint: Path) -> Manifest:
    """Checks that every file of a checkpoint is the one that was saved.

    Files that the manifest does not name, for example from a file manager, are ignored; links,
    pipes and devices are not.

    Args:
        checkpoint: its folder.

    Raises:
        DamagedCheckpoint: a file is missing, a link, not a plain file, or differs.
        UserError: a file may be intact, but cannot be read.
    """
    with reading(checkpoint):
        there = _files(checkpoint)
        name = f"{MANIFEST}/{_FILE}"
        if name not in there:
            raise DamagedCheckpoint(f"{name} is missing")
        try:
            manifest = read_json(there[name])
            step = int(manifest["step"])
            files = {
                str(k): (int(v["bytes"]), str(v["sha256"])) for k, v in manifest["files"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedCheckpoint(f"{name} is no manifest") from error
        for name, (size, digest) in files.items():
            path = there.get(name)
            if path is None:
                raise DamagedCheckpoint(f"{name} is missing")
            if path.stat().st_size != size or _sha256(path) != digest:
                raise DamagedCheckpoint(f"{name} is not the file that was saved")
        return Manifest(step, tuple(files))


@contextlib.contextmanager
def reading(checkpoint: Path) -> Iterator[None]:
    """Distinguishes files that are not what was saved from files that cannot be read now.

    Raises:
        DamagedCheckpoint: a file is missing, of another kind, or too large.
        UserError: the system refuses to read a file.
    """
    try:
        yield
    except OSError as error:
        if is_damage(error):
            raise DamagedCheckpoint(one_line(error)) from error
        raise cannot_read(checkpoint, error) from error


def _files(folder: Path) -> dict[str, Path]:
    """Returns the files below a folder by relative name.

    Raises:
        DamagedCheckpoint: there is a link, pipe or device, which a reader might follow.
    """
    found = {}
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for path in (Path(parent, name) for name in folders + names):
            name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISREG(mode):
                found[name] = path
            elif not stat.S_ISDIR(mode):
                raise DamagedCheckpoint(f"{name} is missing or not a plain file")
    return dict(sorted(found.items()))


def _raise(error: OSError) -> NoReturn:
    raise error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
