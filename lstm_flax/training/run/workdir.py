"""The work directory of a run: access to it and its existing contents."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lstm_flax.checkpoints.folder import holds_checkpoint, require_plain_name
from lstm_flax.config import Config, read_config, refuse_changes
from lstm_flax.data.cache_files import digest
from lstm_flax.errors import UserError, one_line
from lstm_flax.evaluation.tables import result_table
from lstm_flax.files import cannot_read, cannot_write, make_folder
from lstm_flax.untrusted import is_damage, open_plain, read_json, require_own_files

logger = logging.getLogger(__name__)


def check_workdir(workdir: Path) -> None:
    """Checks that a run can use this folder, without creating it; raises `UserError` if not."""
    require_plain_name(workdir)
    there = next(path for path in (workdir, *workdir.parents) if os.path.lexists(path))
    if there == workdir:
        require_own_files(workdir)
    if not there.is_dir():
        raise UserError(f"{there}: a file, not the folder of a run; choose another --workdir")
    for kind in ("last", "best"):
        if (workdir / kind).exists() and not (workdir / kind).is_dir():
            raise UserError(
                f"{workdir / kind}: a file where checkpoints should be; move it away, or choose "
                "another --workdir"
            )
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"{there}: no right to write in this folder; change that, or choose another --workdir"
        )


def check_same_run(config: Config, workdir: Path) -> bool:
    """Checks that a run already in the folder is this one; raises `UserError` if not.

    A run that failed before its first checkpoint does not count: another may take its place.

    Returns:
        True if the folder holds this run and its data has not moved.
    """
    path = workdir / "config.json"
    saved = any(holds_checkpoint(workdir / kind) for kind in ("last", "best"))
    if not saved or not path.exists():
        return False
    try:
        before = read_config(path)
    except UserError as error:
        logger.warning("%s; the checkpoint has a copy, from which the run continues", error)
        return False
    refuse_changes(before, config, str(workdir))
    return before.data == config.data


@contextlib.contextmanager
def only_one(workdir: Path) -> Iterator[None]:
    """Creates a run's folder and locks it: a second process would corrupt its checkpoints.

    Both the folder and a file in it are locked: the file may be deleted, and network file systems
    do not lock folders. The locks are released when their process ends, in any way. File systems
    without locks are not locked.

    Raises:
        UserError: another process holds it, or the folder cannot be created.
    """
    make_folder(workdir)
    try:
        folder = os.open(workdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise cannot_read(workdir, error) from error
    try:
        _lock(folder, workdir)
        with _open_lock(workdir / ".lock") as file:
            _lock(file.fileno(), workdir)
            yield
    finally:
        os.close(folder)


def _open_lock(path: Path) -> BinaryIO:
    try:
        return open_plain(path, os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        raise cannot_write(path, error) from error


def _lock(number: int, workdir: Path) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"{workdir}: another process trains here; wait for its end, or choose another --workdir"
        ) from None
    except OSError:  # a file system without locks
        pass


def with_checksum(results: dict[str, Any], run: list[Any]) -> dict[str, Any]:
    """Returns results with a checksum of their values and of the run's identity.

    Args:
        results: plain values.
        run: plain values that identify the run; see `stored_results`.
    """
    values = {name: value for name, value in results.items() if name != "checksum"}
    return values | {"checksum": digest([values, run])}


def stored_results(
    workdir: Path, split: str, step: int, checkpoint_step: int | None, run: list[Any]
) -> dict[str, Any] | None:
    """Returns the results saved when this training ended; None if missing or of another run.

    Warns if the file holds anything else.

    Args:
        workdir: the run's folder.
        split: the scored split.
        step: the last training step.
        checkpoint_step: the step of the scored weights.
        run: plain values that identify the run among others of as many steps: data, seed and
            settings.
    """
    path = workdir / "results.json"
    wanted = {"split": split, "train_steps": step, "checkpoint_step": checkpoint_step}
    try:
        results = dict(read_json(path))
        if not wanted.items() <= results.items():
            return None
        if results != with_checksum(results, run):
            raise ValueError("altered, or of another run")
        result_table(results)  # fails if a value is missing or of the wrong type
    except FileNotFoundError:
        return None
    except OSError as error:
        if not is_damage(error):
            raise cannot_read(path, error) from error
        logger.warning("%s: %s; scoring again", path, one_line(error))
        return None
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        logger.warning("%s: damaged, altered, or of another run or version; scoring again", path)
        return None
    return results
