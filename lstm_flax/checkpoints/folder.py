"""Checkpoints: the only file that knows Orbax.

A run's folder holds two managers that never evict each other: `last/`, the newest states, from
which a run continues, and `best/`, the state with the best development score. Each checkpoint is a
whole model: parameters, their average, optimiser state, configuration, label names, tokenizer.
"""

import contextlib
import dataclasses
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from lstm_flax.checkpoints.disk_space import require_room, saving
from lstm_flax.checkpoints.metadata import (
    Metadata,
    ngram_arrays,
    ngram_template,
    ngrams_from,
)
from lstm_flax.errors import UserError
from lstm_flax.training.train_state import TrainState

# What Orbax raises for missing or damaged files. Anything else, such as memory that ran out, says
# nothing of the checkpoint.
DAMAGE = (ValueError, FileNotFoundError, KeyError)
_CHECKSUMS = "checksums"  # beside what `Metadata` says
_KEPT = {"last": 2, "best": 1}


def _evaluation_item(averaged: bool) -> str:
    return "averaged_params" if averaged else "params"


@contextlib.contextmanager
def _quiet_absl() -> Iterator[None]:
    """Orbax warns of every option that `read_only` implies, on the terminal of whoever predicts."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        yield
    finally:
        absl.setLevel(level)


def _checksum(tree: Any) -> int:
    """CRC-32 of all arrays, one after another."""
    checksum = 0
    for leaf in jax.tree.leaves(tree):
        checksum = zlib.crc32(np.ascontiguousarray(leaf).data, checksum)
    return checksum


class CheckpointFolder:
    """One manager: a folder of checkpoints named by their step."""

    def __init__(self, path: Path, keep: int | None) -> None:
        """Opens a folder.

        Args:
            path: the folder; created where absent and `keep` is given.
            keep: how many of the newest checkpoints stay. None opens it to read alone, which
                leaves what another process is saving there in peace.
        """
        self.path = path
        self.unreadable = path.with_name(f"{path.name}-unreadable")
        if keep is None:
            with _quiet_absl():
                options = ocp.CheckpointManagerOptions(read_only=True)
                self._manager = ocp.CheckpointManager(path.absolute(), options=options)
        else:
            options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
            self._manager = ocp.CheckpointManager(path.absolute(), options=options)

    def save(self, step: int, state: TrainState, metadata: Metadata) -> None:
        """Begins to save in the background; a step that is there already is left alone.

        Raises:
            UserError: this checkpoint, or the one begun before, cannot be written.
        """
        if step in self._manager.all_steps():
            return
        rest = state.replace(params=None, averaged_params=None)
        items = {
            "params": ocp.args.StandardSave(state.params),
            "training": ocp.args.StandardSave(rest),
        }
        checksums = {"params": _checksum(state.params)}
        if state.averaged_params is not None:
            items["averaged_params"] = ocp.args.StandardSave(state.averaged_params)
            checksums["averaged_params"] = _checksum(state.averaged_params)
        items["metadata"] = ocp.args.JsonSave(metadata.to_json() | {_CHECKSUMS: checksums})
        if metadata.ngrams is not None:
            items["ngrams"] = ocp.args.StandardSave(ngram_arrays(metadata.ngrams))
        self._save(step, items)

    def save_slim(self, step: int, params: Any, metadata: Metadata) -> None:
        """Saves what evaluation and prediction need, and no more, the weights in half precision.

        Args:
            step: names the checkpoint.
            params: those to evaluate with: averaged ones where the run keeps an average.
            metadata: as in `save`.
        """
        name = _evaluation_item(metadata.config.training.ema_decay > 0)
        half = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), params)
        checksums = {name: _checksum(jax.tree.map(np.float32, half))}  # of what is restored
        items = {
            name: ocp.args.StandardSave(half),
            "metadata": ocp.args.JsonSave(metadata.to_json() | {_CHECKSUMS: checksums}),
        }
        if metadata.ngrams is not None:
            items["ngrams"] = ocp.args.StandardSave(ngram_arrays(metadata.ngrams))
        self._save(step, items)

    def _save(self, step: int, items: dict[str, Any]) -> None:
        arrays = [item.item for item in items.values() if isinstance(item, ocp.args.StandardSave)]
        with saving(self.path):
            require_room(self.path, arrays)
            self._manager.save(step, args=ocp.args.Composite(**items))

    def wait(self) -> None:
        """Returns when everything begun is on disk."""
        with saving(self.path):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        with saving(self.path):
            self._manager.close()

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def set_aside(self, step: int) -> Path:
        """Moves a checkpoint that cannot be read out of the way; returns where it is now."""
        self.unreadable.mkdir(exist_ok=True)
        aside = self.unreadable / str(step)
        (self.path / str(step)).rename(aside)
        self._manager.reload()
        return aside

    def metadata(self, step: int) -> Metadata:
        """Reads what a checkpoint says of itself."""
        values = self._restore(step, metadata=ocp.args.JsonRestore())["metadata"]
        shape, ngrams = values.get("ngrams"), None
        if shape is not None:
            template = ocp.args.StandardRestore(ngram_template(shape))
            ngrams = ngrams_from(shape, self._restore(step, ngrams=template)["ngrams"])
        return Metadata.from_json(values, self.path / str(step), ngrams)

    def restore_state(self, step: int, like: TrainState) -> TrainState:
        """Reads a whole training state into the shapes, dtypes and shardings of `like`."""
        rest = like.replace(params=None, averaged_params=None)
        saved = self._training_fields(step)
        fields = {field.name: getattr(rest, field.name) for field in dataclasses.fields(rest)}
        # A checkpoint older than a field can do without it where this run has no use for it.
        fields = {
            name: value for name, value in fields.items() if name in saved or value is not None
        }
        items = {
            "params": ocp.args.StandardRestore(like.params),
            "training": ocp.args.StandardRestore(fields),
        }
        if like.averaged_params is not None:
            items["averaged_params"] = ocp.args.StandardRestore(like.averaged_params)
        restored = self._restore(step, **items)
        for name in items.keys() & {"params", "averaged_params"}:
            self._check(step, name, restored[name])
        return rest.replace(
            **restored["training"]
            | {
                "params": restored["params"],
                "averaged_params": restored.get("averaged_params"),
            }
        )

    def _training_fields(self, step: int) -> set[str]:
        """Names of the fields of `TrainState` that a checkpoint holds."""
        path = self.path.absolute() / str(step) / "training"  # Orbax asks for an absolute one
        with _quiet_absl(), ocp.StandardCheckpointer() as reader:
            found = reader.metadata(path).item_metadata
        if found is None:
            raise FileNotFoundError(f"{path}: the list of its arrays is gone")
        return set(found.tree)

    def restore_params(self, step: int, like: Any, averaged: bool) -> Any:
        """Reads the parameters to evaluate with, into the shapes and shardings of `like`."""
        name = _evaluation_item(averaged)
        params = self._restore(step, **{name: ocp.args.StandardRestore(like)})[name]
        self._check(step, name, params)
        return params

    def _check(self, step: int, name: str, params: Any) -> None:
        """Makes sure that parameters are those that were saved, to the bit; else `ValueError`."""
        saved = self._restore(step, metadata=ocp.args.JsonRestore())["metadata"]
        expected = saved.get(_CHECKSUMS, {}).get(name)  # none in checkpoints older than this
        if expected is not None and _checksum(params) != expected:
            raise ValueError(f"the checksum of {name} differs")

    def _restore(self, step: int, **items: Any) -> Any:
        """Reads items of a checkpoint; raises one of `DAMAGE` where they are damaged."""
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
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
    folder = CheckpointFolder(path, keep=None)
    return folder, folder.steps() if step is None else [step]


def holds_checkpoint(folder: Path) -> bool:
    """Whether a folder of checkpoints holds a whole one, not just one being saved."""
    return folder.is_dir() and any(child.name.isdigit() for child in folder.iterdir())
