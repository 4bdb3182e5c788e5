"""The folder of a run: who may have it, and what it holds already."""

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lstm_flax.checkpoints.folder import holds_checkpoint, require_plain_name
from lstm_flax.config import Config, read_config, refuse_changes
from lstm_flax.data.cache_files import digest
from lstm_flax.errors import UserError
from lstm_flax.evaluation.tables import result_table
from lstm_flax.files import cannot_write, make_folder, write_text
from lstm_flax.untrusted import open_plain, read_json, require_own_files

logger = logging.getLogger(__name__)

_RESULTS = "results.json"


def check_workdir(workdir: Path) -> None:
    """Makes sure that a run can have this folder, without making it; `UserError` if not."""
    require_plain_name(workdir)
    there = next(path for path in (workdir, *workdir.parents) if os.path.lexists(path))
    if there == workdir:
        require_own_files(workdir)
    if not there.is_dir():
        raise UserError(f"{there}: a file, not the folder of a run; choose another --workdir")
    for kind in ("last", "best"):
        if (workdir / kind).exists() and not (workdir / kind).is_dir():
            raise UserError(
                f"{workdir / kind}: a file, where checkpoints are to lie; move it away, or choose "
                "another --workdir"
            )
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"{there}: no right to write in this folder; change that, or choose another --workdir"
        )


def check_same_run(config: Config, workdir: Path) -> bool:
    """Makes sure that a folder's run, if it holds one, is this one; `UserError` if not.

    What failed before its first checkpoint is no run: another may take its place.

    Returns:
        Whether it holds one, and its data lies where it lay.
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
    """Makes a run's folder and holds it: a second process would tear its checkpoints.

    The lock ends with the process that holds it, however that ends. Where the file system knows no
    locks, nothing is held.

    Raises:
        UserError: another process has it, or the folder cannot be made.
    """
    make_folder(workdir)
    with _open_lock(workdir / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{workdir}: another process trains here; wait for its end, or choose another "
                "--workdir"
            ) from None
        except OSError:  # a file system that knows no locks
            pass
        yield


def _open_lock(path: Path) -> BinaryIO:
    try:
        return open_plain(path, os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_results(workdir: Path, results: dict[str, Any], run: list[Any]) -> None:
    """Writes `results.json`, with a checksum of its values and of what tells a run from others.

    Args:
        workdir: the run's folder.
        results: plain values.
        run: likewise; see `stored_results`.

    Raises:
        UserError: it cannot be written.
    """
    content = json.dumps(results | {"checksum": digest([results, run])})
    write_text(workdir / _RESULTS, content + "\n")


def stored_results(
    workdir: Path, split: str, step: int, checkpoint_step: int | None, run: list[Any]
) -> dict[str, Any] | None:
    """The results printed when this training ended; None if they are gone or of another run.

    Warns of a file that holds something else.

    Args:
        workdir: the run's folder.
        split: what was scored.
        step: the last one of the training.
        checkpoint_step: of the weights that were scored.
        run: what tells this run from others of as many steps: its data, its seed.
    """
    path = workdir / _RESULTS
    wanted = {"split": split, "train_steps": step, "checkpoint_step": checkpoint_step}
    try:
        results = dict(read_json(path))
        if not wanted.items() <= results.items():
            return None
        if results.pop("checksum", None) != digest([results, run]):
            raise ValueError("altered, or of another run")
        result_table(results)  # a value that is missing or of another type cannot be shown
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        logger.warning("%s: damaged, or not the results of a run; it is scored anew", path)
        return None
    return results
