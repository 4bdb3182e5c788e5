"""Checkpoints: the only room that knows Orbax.

A run's folder holds two folders that never evict each other: `last/`, the newest states, from
which a run continues, and `best/`, the state with the best development score. Each checkpoint is a
whole model: parameters, their average, optimizer state, configuration, label names,
history, text encoder.
"""

import functools
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from lstm_flax.checkpoints import format_1
from lstm_flax.checkpoints.disk_space import require_room, saving
from lstm_flax.checkpoints.metadata import FORMAT_VERSION, Metadata
from lstm_flax.checkpoints.plain_files import RestoreFiles, SaveFiles
from lstm_flax.errors import UserError
from lstm_flax.text.encoder import TextEncoder

# What Orbax raises for missing or damaged files. Anything else, such as memory that ran out, says
# nothing of the checkpoint.
DAMAGE = (ValueError, FileNotFoundError, KeyError)
PARAMS, AVERAGED_PARAMS, TRAINING = "params", "averaged_params", "training"
_CHECKSUMS = "checksums"  # beside what `Metadata` says
_KEPT = {"last": 2, "best": 1}


def _checksum(tree: Any) -> int:
    """CRC-32 of all arrays, one after another."""
    checksum = 0
    for leaf in jax.tree.leaves(tree):
        checksum = zlib.crc32(np.ascontiguousarray(leaf).data, checksum)
    return checksum


class CheckpointFolder:
    """A folder of checkpoints named by their step."""

    def __init__(self, path: Path, keep: int | None = None) -> None:
        """Opens a folder.

        Args:
            path: the folder; created where absent and `keep` is given.
            keep: how many of the newest checkpoints stay. None opens it to read alone, which
                leaves what another process is saving there in peace.
        """
        self.path = path
        self.unreadable = path.with_name(f"{path.name}-unreadable")
        self._manager: ocp.CheckpointManager | None = None
        if keep is not None:
            options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
            self._manager = ocp.CheckpointManager(path.absolute(), options=options)

    def save(self, step: int, trees: Mapping[str, Any], metadata: Metadata) -> None:
        """Begins to save in the background; a step that is there already is left alone.

        Args:
            step: names the checkpoint.
            trees: arrays by item: `PARAMS`, `AVERAGED_PARAMS` where there is an average, and
                `TRAINING`: whatever else a run continues from.
            metadata: what the checkpoint says beside them.

        Raises:
            UserError: this checkpoint, or the one begun before, cannot be written.
        """
        assert self._manager is not None, "opened to read alone"
        if step in self._manager.all_steps():
            return
        checksums = {name: _checksum(tree) for name, tree in trees.items()}
        self._save(step, trees, metadata, checksums)

    def save_slim(self, step: int, params: Any, metadata: Metadata) -> None:
        """Saves what evaluation and prediction need, and no more, the weights in half precision.

        Args:
            step: names the checkpoint.
            params: those to evaluate with: averaged ones where the run keeps an average.
            metadata: as in `save`.
        """
        name = AVERAGED_PARAMS if metadata.config.training.ema_decay > 0 else PARAMS
        half = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), params)
        restored = jax.tree.map(np.float32, half)
        self._save(step, {name: half}, metadata, {name: _checksum(restored)})

    def _save(
        self, step: int, trees: Mapping[str, Any], metadata: Metadata, checksums: dict[str, int]
    ) -> None:
        assert self._manager is not None, "opened to read alone"
        items: dict[str, Any] = {name: ocp.args.StandardSave(t) for name, t in trees.items()}
        items["encoder"] = SaveFiles(metadata.encoder.to_files())
        items["metadata"] = ocp.args.JsonSave(metadata.to_json() | {_CHECKSUMS: checksums})
        with saving(self.path):
            require_room(self.path, list(trees.values()))
            self._manager.save(step, args=ocp.args.Composite(**items))

    def wait(self) -> None:
        """Returns when everything begun is on disk."""
        if self._manager is not None:
            with saving(self.path):
                self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        if self._manager is not None:
            with saving(self.path):
                self._manager.close()

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, newest first."""
        return sorted(ocp.utils.checkpoint_steps(self.path.absolute()), reverse=True)

    def set_aside(self, step: int) -> Path:
        """Moves a checkpoint that cannot be read out of the way; returns where it is now."""
        self.unreadable.mkdir(exist_ok=True)
        aside = self.unreadable / str(step)
        (self.path / str(step)).rename(aside)
        if self._manager is not None:
            self._manager.reload()
        return aside

    def metadata(self, step: int) -> Metadata:
        """Reads the metadata and the encoder of a checkpoint.

        Raises:
            UserError: it is of a format that this release does not know.
        """
        values, path = self._values(step), self.path / str(step)
        version = values.get("format_version")
        if version == 1:
            values["config"]["training"].pop("teachers", None)  # pseudo-labels are a file now
            encoder = format_1.read_encoder(
                values, lambda template: self.restore(step, {"ngrams": template})["ngrams"]
            )
        elif version == FORMAT_VERSION:
            encoder = TextEncoder.from_files(self._restore(step, encoder=RestoreFiles())["encoder"])
        else:
            raise UserError(
                f"{path}: checkpoint format {version}, this release reads 1 to {FORMAT_VERSION}; "
                "use the release that wrote it, or train again"
            )
        return Metadata.from_json(values, path, encoder)

    def restore(self, step: int, like: Mapping[str, Any]) -> dict[str, Any]:
        """Reads items into the shapes, dtypes and shardings of the trees given.

        Of `TRAINING`, the entries that the checkpoint holds; earlier ones may hold fewer, or more.

        Raises:
            Exception: one of `DAMAGE` where anything is missing or not what was saved.
        """
        like = dict(like)
        if TRAINING in like:
            like[TRAINING] = {field: like[TRAINING].get(field) for field in self._fields(step)}
        items = {name: ocp.args.StandardRestore(tree) for name, tree in like.items()}
        restored = self._restore(step, **items)
        checksums = self._values(step).get(_CHECKSUMS, {})
        for name in like:
            expected = checksums.get(name)  # none in checkpoints older than this
            if expected is not None and _checksum(restored[name]) != expected:
                raise ValueError(f"the checksum of {name} differs")
        return {name: restored[name] for name in like}

    def _fields(self, step: int) -> list[str]:
        """Names of the entries of `TRAINING` in a checkpoint."""
        path = epath.Path(self.path.absolute() / str(step) / TRAINING)
        return list(ocp.StandardCheckpointHandler().metadata(path).tree)

    def _values(self, step: int) -> dict[str, Any]:
        values: dict[str, Any] = self._restore(step, metadata=ocp.args.JsonRestore())["metadata"]
        return values

    @functools.cached_property
    def _reader(self) -> ocp.Checkpointer:
        return ocp.Checkpointer(ocp.CompositeCheckpointHandler())

    def _restore(self, step: int, **items: Any) -> Any:
        """Reads items of a checkpoint; raises one of `DAMAGE` where they are damaged."""
        path = self.path.absolute() / str(step)
        try:
            return self._reader.restore(path, args=ocp.args.Composite(**items))
        except Exception as error:
            # For an array whose file is cut short, Orbax hides the reason behind a bare Exception.
            if type(error) is Exception and isinstance(error.__cause__, DAMAGE):
                raise error.__cause__ from None
            raise


def open_checkpoints(workdir: Path, kind: str) -> CheckpointFolder:
    """Opens `last` or `best` of a run for writing."""
    return CheckpointFolder(workdir / kind, keep=_KEPT[kind])


def find_checkpoints(path: Path, kind: str) -> tuple[CheckpointFolder, list[int]]:
    """Finds the checkpoints to restore from, to read alone.

    Args:
        path: a run's folder, its `best` or `last`, or one checkpoint within; copied anywhere.
        kind: `best` or `last`: which to take of a run's folder.

    Returns:
        The opened folder and the steps of its whole checkpoints, newest first; only the one where
        `path` names one.

    Raises:
        UserError: where there is none, or none yet, or `last` is asked of what may be another.
    """
    given, step = path, None
    if path.name.isdigit() and (path / "metadata").is_dir():
        path, step = path.parent, int(path.name)
    elif (path / kind).is_dir():
        path = path / kind
    if not holds_checkpoint(path):
        last = (path.parent if path.name == "best" else path) / "last"
        if kind == "best" and holds_checkpoint(last):
            raise UserError(
                f"{path}: no best checkpoint yet, since no epoch of this run has ended; continue "
                "the training, or take its newest state with --checkpoint=last (where there is no "
                f"such flag, name {last})"
            )
        if (path / "metadata").is_dir():
            raise UserError(
                f"{path}: a checkpoint whose folder has lost its name, the number of its step; "
                f"rename it, for example to {path.with_name('1')}"
            )
        raise UserError(
            f"{path}: no checkpoint here; name the folder of a run "
            "(lstm-flax train --config=... --workdir=DIR makes one)"
        )
    if kind == "last" and path.name != "last":
        raise UserError(
            f"{given}: a checkpoint by itself, not a run with a `last` one; name the run's folder, "
            "or leave --checkpoint=last out"
        )
    folder = CheckpointFolder(path)
    return folder, folder.steps() if step is None else [step]


def holds_checkpoint(folder: Path) -> bool:
    """True if a folder holds a whole checkpoint, not just one being saved."""
    return folder.is_dir() and any(child.name.isdigit() for child in folder.iterdir())
