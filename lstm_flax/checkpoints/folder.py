"""Checkpoint folders. No other package uses Orbax.

A run's folder holds two folders that never evict each other: `last/`, the newest states, from
which a run continues, and `best/`, the weights with the best development score. Each checkpoint is
a complete model: parameters, their average, optimizer state, configuration, label names, history,
text encoder, manifest; those in `best/` omit what only training needs.
"""

import contextlib
import copy
import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from etils import epath

from lstm_flax.checkpoints import format_1
from lstm_flax.checkpoints.arrays import require_same_arrays
from lstm_flax.checkpoints.disk_space import require_room, saving
from lstm_flax.checkpoints.manifest import (
    MANIFEST,
    DamagedCheckpoint,
    SaveManifest,
    reading,
    verify,
)
from lstm_flax.checkpoints.metadata import Metadata, read_values
from lstm_flax.checkpoints.plain_files import SaveFiles
from lstm_flax.devices.processes import anywhere, from_first
from lstm_flax.errors import UserError, one_line
from lstm_flax.files import is_utf8
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.untrusted import is_damage, require_own_files

PARAMS, AVERAGED_PARAMS, TRAINING = "params", "averaged_params", "training"
_ENCODER = "encoder"
_KEPT = {"last": 2, "best": 1}


def evaluated_item(ema_decay: float) -> str:
    """Returns the item with the weights to evaluate: averaged weights if there is an average."""
    return AVERAGED_PARAMS if ema_decay > 0 else PARAMS


def require_kind(kind: str) -> None:
    """Checks that a run can have checkpoints of a kind.

    Raises:
        UserError: it is neither `best` nor `last`.
    """
    if kind not in _KEPT:
        raise UserError(f"checkpoint = {kind!r}: choose best or last")


def require_plain_name(path: Path) -> None:
    """Checks that Orbax treats a path as one: it takes `a:/b` for an address, `a://b`.

    Raises:
        UserError: the name of one of its folders ends in a colon or is not UTF-8.
    """
    for part in path.absolute().parts:
        if part.endswith(":") or not is_utf8(part):
            kind = "that ends in a colon" if part.endswith(":") else "that is not UTF-8"
            raise UserError(
                f"{path}: no checkpoint can be below {part!r}, a name {kind}; rename that "
                "folder, or choose another"
            )


class CheckpointFolder:
    """A folder of checkpoints named by their step.

    Several processes can share it: all open it, save, wait and read together, in the same order.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        """Opens a folder.

        Args:
            path: the folder; created if missing and `keep` is given.
            keep: number of newest checkpoints to keep. None opens it read-only, which does not
                disturb a save by another process.

        Raises:
            UserError: the name of a folder in the path ends in a colon or is not UTF-8.
        """
        require_plain_name(path)
        self.path = path
        self.unreadable = path.with_name(f"{path.name}-unreadable")
        self._manager: ocp.CheckpointManager | None = None
        self._values_by_step: dict[int, dict[str, Any]] = {}
        if keep is not None:
            options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
            self._manager = ocp.CheckpointManager(path.absolute(), options=options)

    def save(self, step: int, trees: Mapping[str, Any], metadata: Metadata) -> None:
        """Starts saving in the background; does nothing if the step is already saved.

        Args:
            step: names the checkpoint.
            trees: arrays by item: `PARAMS`, `AVERAGED_PARAMS` if there is an average, and
                `TRAINING`, everything else that a run needs to continue.
            metadata: everything in the checkpoint except the arrays.

        Raises:
            UserError: this checkpoint, or the one started before, cannot be written.
        """
        assert self._manager is not None, "opened read-only"
        if step in self._manager.all_steps():
            return
        items: dict[str, Any] = {name: ocp.args.StandardSave(t) for name, t in trees.items()}
        items[_ENCODER] = SaveFiles(metadata.encoder.to_files())
        items["metadata"] = ocp.args.JsonSave(metadata.to_json())
        items[MANIFEST] = SaveManifest(step)
        with saving(self.path):
            require_room(self.path, list(trees.values()))
            self._manager.save(step, args=ocp.args.Composite(**items))

    def wait(self) -> None:
        """Waits until everything started is on disk."""
        if self._manager is not None:
            with saving(self.path):
                self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then releases the folder."""
        if self._manager is not None:
            with saving(self.path):
                self._manager.close()

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, newest first."""
        return from_first(lambda: steps_in(self.path))

    def set_aside(self, step: int) -> Path:
        """Moves an unreadable checkpoint out of the way and returns its new path."""

        def move() -> str:
            self.unreadable.mkdir(exist_ok=True)
            numbers = itertools.count(2)
            aside = self.unreadable / str(step)
            while aside.exists():  # the same step was damaged before
                aside = self.unreadable / f"{step}-{next(numbers)}"
            return str((self.path / str(step)).rename(aside))

        aside = Path(from_first(move))
        if self._manager is not None:
            self._manager.reload()
        return aside

    def metadata(self, step: int) -> Metadata:
        """Reads the metadata and the encoder of a checkpoint.

        Raises:
            UserError: its format is unknown to this release.
            DamagedCheckpoint: it is not what was saved; with several processes, one detects that.
        """
        damage: DamagedCheckpoint | None = None
        try:
            metadata = self._metadata(step)
        except DamagedCheckpoint as error:
            damage = error
        if anywhere(damage is not None):
            raise damage or DamagedCheckpoint("as another process finds")
        return metadata

    def _metadata(self, step: int) -> Metadata:
        values, path = self._values(step), self.path / str(step)
        if values["format_version"] == 1:
            training = values["config"].get("training")
            if isinstance(training, dict):
                training.pop("teachers", None)  # pseudo-labels are a file now
            encoder = format_1.read_encoder(
                values, lambda template: self.restore(step, {"ngrams": template})["ngrams"]
            )
        else:
            names = [n for n in verify(path).files if n.startswith(f"{_ENCODER}/")]
            with reading(path):
                files = {Path(name).name: (path / name).read_bytes() for name in names}
            encoder = TextEncoder.from_files(files)
        return Metadata.from_json(values, path, encoder)

    def restore(self, step: int, like: Mapping[str, Any]) -> dict[str, Any]:
        """Reads items into the shapes, dtypes and shardings of the given trees.

        From `TRAINING`, reads the entries that the checkpoint has; older ones may have fewer, or
        more.

        Raises:
            UserError: its arrays are not the requested ones.
            DamagedCheckpoint: it is not what was saved.
        """
        values, like = self._values(step), dict(like)
        stored = {name: self.shapes(step, name) for name in like}
        if TRAINING in like:
            like[TRAINING] = {name: like[TRAINING].get(name) for name in stored[TRAINING]}
        for name, tree in like.items():
            where = f"{self.path / str(step)}/{name}"
            require_same_arrays(where, stored[name], tree, values.get("versions"))
        items = {name: ocp.args.StandardRestore(tree) for name, tree in like.items()}
        restored = self._restore(step, **items)
        if values["format_version"] == 1:
            format_1.check(values, restored)
        return {name: restored[name] for name in like}

    def _values(self, step: int) -> dict[str, Any]:
        """Returns the metadata as JSON values, after verifying that the checkpoint is intact."""
        path = self.path / str(step)
        if step not in self._values_by_step:
            if format_1.is_checkpoint(path):
                require_own_files(path)
            elif (saved := verify(path).step) != step:
                raise UserError(
                    f"{path}: this is the checkpoint of step {saved}; rename the folder to {saved}"
                )
            values = read_values(path)
            self._values_by_step[step] = values
        return copy.deepcopy(self._values_by_step[step])

    def shapes(self, step: int, name: str) -> Any:
        """Returns the shapes and dtypes that an item declares, without reading its arrays."""
        path = epath.Path(self.path.absolute() / str(step) / name)
        if not path.is_dir() and not format_1.is_checkpoint(self.path / str(step)):
            raise UserError(
                f"{self.path / str(step)}: holds no {name}, which its configuration needs; copy "
                "the checkpoint again"
            )
        with self._reading(step):
            return ocp.StandardCheckpointHandler().metadata(path).tree

    def _restore(self, step: int, **items: Any) -> Any:
        path = self.path.absolute() / str(step)
        with self._reading(step):
            return self._reader.restore(path, args=ocp.args.Composite(**items))

    @functools.cached_property
    def _reader(self) -> ocp.Checkpointer:
        return ocp.Checkpointer(ocp.CompositeCheckpointHandler())

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Distinguishes damage, unless a manifest has ruled it out, from other Orbax errors."""
        path = self.path / str(step)
        try:
            yield
        except Exception as error:
            unvouched = format_1.is_checkpoint(path) or not path.is_dir()
            refused = "PERMISSION_DENIED" in str(error) or (
                isinstance(error, OSError) and not is_damage(error)
            )
            if unvouched and not refused:
                raise DamagedCheckpoint(one_line(error)) from error
            state = "cannot" if unvouched else "is intact, but cannot"
            raise UserError(
                f"{path}: {state} be read here ({type(error).__name__}: {one_line(error)}); "
                "--debug shows where"
            ) from error


def open_checkpoints(workdir: Path, kind: str) -> CheckpointFolder:
    """Opens a run's `last` or `best` for writing."""
    return CheckpointFolder(workdir / kind, keep=_KEPT[kind])


def holds_checkpoint(folder: Path) -> bool:
    """Returns True if a folder holds a complete checkpoint, not only one being saved."""
    return bool(steps_in(folder))


def steps_in(folder: Path) -> list[int]:
    """Returns the steps that name folders within a folder, highest first."""
    if not folder.is_dir():
        return []
    names = [child.name for child in folder.iterdir() if child.is_dir()]
    return sorted((int(name) for name in names if is_step(name)), reverse=True)


def is_step(name: str) -> bool:
    r"""Returns True for a number as Python writes it; not for `0010` or non-ASCII digits.

    >>> [is_step(name) for name in ("10", "0", "0010", "\u00b2", "\uff11", "-1", "10.tmp")]
    [True, True, False, False, False, False, False]
    """
    return re.fullmatch(r"0|[1-9][0-9]*", name) is not None
