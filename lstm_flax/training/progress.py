"""The progress bar of a run, and its log."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from tqdm.auto import tqdm

from lstm_flax.files import cannot_write, write_text

# Follows a run: takes the step and the values of a line of the log.
OnLog: TypeAlias = Callable[[int, dict[str, Any]], None]


class RunLog:
    """A JSON-lines file: one object a line, each with its `event` and `step`."""

    def __init__(self, path: Path, resumed_step: int, on_log: OnLog | None = None) -> None:
        """Opens the log to append.

        Args:
            path: the file; created where absent.
            resumed_step: lines of later steps are dropped: those steps will be taken again.
            on_log: is told the values of each line after it is written.

        Raises:
            UserError: it cannot be written.
        """
        self._path = path
        self._on_log = on_log
        try:
            if path.exists():
                lines = _whole_lines(path)
                kept = [line for line in lines if json.loads(line)["step"] <= resumed_step]
                write_text(path, "".join(kept))
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, event: str, step: int, **values: Any) -> None:
        """Appends one line and hands it to the operating system; `UserError` where it cannot."""
        try:
            self._file.write(json.dumps({"event": event, "step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from error
        if self._on_log is not None:
            self._on_log(step, values)

    def close(self) -> None:
        """Closes the file; `UserError` where what it still holds cannot be written."""
        try:
            self._file.close()
        except OSError as error:
            raise cannot_write(self._path, error) from error


def _whole_lines(path: Path) -> list[str]:
    """The lines that were written whole; a kill may have cut the last."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def progress_bar(total: int, done: int, unit: str, enabled: bool) -> tqdm:
    """A bar over all texts or tokens of all epochs: how many a second, and the time left.

    Args:
        total: those of the whole run.
        done: those of the steps that were taken before a resume.
        unit: `texts` or `tokens`.
        enabled: False shows nothing.
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
