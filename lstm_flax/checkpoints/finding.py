"""Finds the checkpoints that a path means: a run's folder, its `best` or `last`, or one of them."""

from pathlib import Path

from lstm_flax.checkpoints import format_1
from lstm_flax.checkpoints.folder import (
    CheckpointFolder,
    holds_checkpoint,
    is_step,
    require_kind,
    steps_in,
)
from lstm_flax.checkpoints.manifest import DamagedCheckpoint, verify
from lstm_flax.checkpoints.metadata import read_values
from lstm_flax.errors import UserError


def find_checkpoints(path: Path, kind: str) -> tuple[CheckpointFolder, list[int]]:
    """Finds the checkpoints to restore from; opens them read-only.

    Args:
        path: a run's folder, its `best` or `last`, or one checkpoint in it; copies work too.
        kind: `best` or `last`: which to take from a run's folder.

    Returns:
        The opened folder and the steps of its complete checkpoints, newest first; only the one that
        `path` names, if it names one.

    Raises:
        UserError: `kind` is neither `best` nor `last`; there is none, or none yet; or `last` is
            requested but `path` is a checkpoint that may be something else.
    """
    require_kind(kind)
    given, step = path, None
    if is_step(path.name) and (path / "metadata").is_dir():
        path, step = path.parent, int(path.name)
    elif (path / kind).is_dir():
        path = path / kind
    if not holds_checkpoint(path):
        last = (path.parent if path.name == "best" else path) / "last"
        if kind == "best" and holds_checkpoint(last):
            best = _best_step(last)
            why = (
                "no best checkpoint yet, as no epoch of this run has ended; continue the training"
                if best is None
                else f"its best checkpoint, of step {best}, is gone; copy it here again"
            )
            raise UserError(
                f"{path}: {why}, or take its newest state with --checkpoint=last (where there is "
                f"no such flag, name {last})"
            )
        if (path / "metadata").is_dir():
            raise UserError(
                f"{path}: a checkpoint whose folder is not named by the number of its step; "
                f"rename it to {path.with_name(_lost_name(path))}"
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
    steps = folder.steps() if step is None else [step]
    # The path that the user gave may be a link; its contents, perhaps made by others, must not be.
    for inside in [path, *(path / str(step) for step in steps)]:
        if inside not in (given, given.parent) and inside.is_symlink():
            raise UserError(f"{inside}: a link; put the checkpoints themselves in its place")
    return folder, steps


def _lost_name(checkpoint: Path) -> str:
    """Returns the step at which a checkpoint was saved; 1 if it is too old to record it.

    Raises:
        UserError: the checkpoint is damaged.
    """
    try:
        return "1" if format_1.is_checkpoint(checkpoint) else str(verify(checkpoint).step)
    except DamagedCheckpoint as error:
        raise UserError(f"{checkpoint}: a damaged checkpoint ({error}); copy it again") from error


def _best_step(last: Path) -> int | None:
    """Returns the step of the best score according to the newest `last` checkpoint, or None."""
    try:
        step: int | None = read_values(last / str(steps_in(last)[0]))["history"].get("best_step")
    except UserError:
        return None
    return step
