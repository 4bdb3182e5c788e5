"""The progress bar and log of a run."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from tqdm.auto import tqdm

from lstm_flax.files import cannot_write, writing_file
from lstm_flax.untrusted import read_lines

logger = logging.getLogger(__name__)
# Follows a run: receives the step and the values of one log line.
OnLog: TypeAlias = Callable[[int, dict[str, Any]], None]


class RunLog:
    """A JSON-lines file: one object per line, each with its `event` and `step`."""

    def __init__(self, path: Path, resumed_step: int, on_log: OnLog | None = None) -> None:
        """Opens the log for appending.

        Args:
            path: the file; created if missing.
            resumed_step: lines for later steps are dropped, because those steps will be repeated.
            on_log: called with the values of each line after it is written.

        Raises:
            UserError: the file cannot be written.
        """
        self._path = path
        self._on_log = on_log
        try:
            if path.exists():
                with writing_file(path) as file:
                    for line in _lines_up_to(path, resumed_step):
                        file.write(f"{line}\n".encode())
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, event: str, step: int, **values: Any) -> None:
        """Appends one line and flushes it; raises `UserError` if it cannot."""
        try:
            self._file.write(json.dumps({"event": event, "step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from error
        if self._on_log is not None:
            self._on_log(step, values)

    def close(self) -> None:
        """Closes the file; raises `UserError` if buffered lines cannot be written."""
        try:
            self._file.close()
        except OSError as error:
            raise cannot_write(self._path, error) from error


class NoLog(RunLog):
    """The log of a process that does not write one."""

    def __init__(self) -> None:
        """Opens nothing."""

    def write(self, event: str, step: int, **values: Any) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """Closes nothing."""


def _lines_up_to(path: Path, step: int) -> Iterator[str]:
    """Yields the lines up to a step; warns of the first line that is not a log entry."""
    warned = False
    for number, line in enumerate(read_lines(path), start=1):
        found = _step_of(line)
        if found is None and not warned:
            logger.warning("%s:%d: not a line of this log; it is dropped", path, number)
            warned = True
        if found is not None and found <= step:
            yield line


def _step_of(line: str) -> int | None:
    """Returns the step of a line; None if it is not a log entry."""
    if not line.startswith("{"):  # a stranger's log may have millions of such lines
        return None
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def progress_bar(total: int, done: int, unit: str, enabled: bool) -> tqdm:
    """Makes a bar over all texts or tokens of all epochs, with speed and time left.

    Args:
        total: texts or tokens of the whole run.
        done: texts or tokens already processed before a resume.
        unit: `texts` or `tokens`.
        enabled: False hides the bar.
    """
    return tqdm(
        total=total,
        initial=done,
        unit=unit,
        unit_scale=unit == "tokens",
        desc="training",
        dynamic_ncols=True,
        smoothing=0.05,
        disable=not enabled,
    )
