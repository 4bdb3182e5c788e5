"""Runs `lstm-flax` commands in sequence; it can be stopped and continued at any moment.

The progress of a training is in its own folder, and the same command continues it. Besides that,
only a report of finished commands is kept, so they are not run again.
"""

import contextlib
import dataclasses
import fcntl
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measuring import write_report

from lstm_flax.training.run.interruption import StopRequest

STOPPED = 130
_PATIENCE = 60.0  # seconds between asking a command to stop and killing it


@dataclasses.dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: name in the report.
        workdir: the run's folder.
        words: the arguments after `lstm-flax`.
        output: the file of its standard output, which exists once it has succeeded; None for the
            log.
    """

    name: str
    workdir: Path
    words: tuple[str, ...]
    output: Path | None = None

    def __str__(self) -> str:
        """Formats the command as typed."""
        typed = shlex.join(["lstm-flax", *self.words])
        return typed if self.output is None else f"{typed} > {shlex.quote(str(self.output))}"

    @property
    def results(self) -> Path:
        """The file that it leaves once it has succeeded: its metrics, or its output."""
        if self.output is not None:
            return self.output
        kept = "evaluation.json" if self.words[0] == "evaluate" else "results.json"
        return self.workdir / kept


class Driver:
    """Runs commands until asked to stop, and reports on them in `report.json` of a folder.

    Attributes:
        report: the contents of the file.
    """

    def __init__(self, folder: Path, stop: StopRequest, deadline: float) -> None:
        """Reads the report of earlier starts.

        Args:
            folder: folder of all runs.
            stop: tells whether a stop was requested.
            deadline: when to stop, in terms of `time.monotonic`.
        """
        self._folder = folder
        self._stop = stop
        self._deadline = deadline
        self._lock: int | None = None
        self.report: dict[str, Any] = {"starts": [], "commands": {}}
        if (folder / "report.json").exists():
            self.report = json.loads((folder / "report.json").read_text(encoding="utf-8"))

    @property
    def must_stop(self) -> bool:
        """Returns True if a stop was requested or the time is up."""
        return self._stop.requested or time.monotonic() >= self._deadline

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Locks the folder; yields False if it had to stop before it got the lock.

        The commands hold the lock too: if a driver was killed, its command is waited for, instead
        of starting a second one in the same folder.
        """
        with (self._folder / "lock").open("w") as file:
            for second in range(1 << 30):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if self.must_stop:
                        break
                    if second == 0:
                        print(f"{self._folder}: waiting for what another start left", flush=True)
                    time.sleep(1)
                else:
                    self._lock = file.fileno()
                    break
            yield self._lock is not None

    def is_done(self, name: str, command: str) -> bool:
        """Returns True if this exact command already has results."""
        known = self.report["commands"].get(name, {})
        return known.get("command") == command and "results" in known

    def run(self, command: Command) -> int:
        """Runs a command unless it is done and its run exists: its exit status, or `STOPPED`."""
        if command.results.exists() and self.is_done(command.name, str(command)):
            return 0
        if self.must_stop:
            return STOPPED
        print(f"\n{command.name}: {command}", flush=True)
        assert self._lock is not None, "run within locked()"
        log = self._folder / f"{command.name}.log"
        start = time.monotonic()
        partial = self._folder / f"{command.name}.partial"
        with log.open("ab") as log_file, contextlib.ExitStack() as stack:
            output = log_file if command.output is None else stack.enter_context(partial.open("wb"))
            child = subprocess.Popen(
                [sys.executable, "-m", "lstm_flax", *command.words],
                stdout=output,
                stderr=log_file,
                pass_fds=(self._lock,),
            )
            try:
                status = self._watch(child, command)
            finally:
                if child.poll() is None:
                    child.terminate()
        seconds = time.monotonic() - start
        if command.output is not None:
            if status == 0:
                partial.replace(command.output)
            else:
                partial.unlink()
        if status != 0 and self.must_stop:
            status = STOPPED
        self._note(command, status, seconds)
        if status == STOPPED:
            print(f"{command.name}: stopped after {seconds:.0f} s; {progress(command.workdir)}")
        elif status != 0:
            end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            print(f"{end}\n{command.name}: failed with status {status}; its output: {log}")
        return status

    def _watch(self, child: "subprocess.Popen[bytes]", command: Command) -> int:
        """Waits for a command to end; asks it to stop when the time has come."""
        asked: float | None = None
        told = time.monotonic()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(timeout=0.2)
            now = time.monotonic()
            if asked is None and self.must_stop:
                child.terminate()
                asked = now
            elif asked is not None and now - asked > _PATIENCE:
                child.kill()
            elif now - told >= 60:
                print(f"{command.name}: {progress(command.workdir)}", flush=True)
                told = now

    def _note(self, command: Command, status: int, seconds: float) -> None:
        known = self.report["commands"].get(command.name, {})
        if known.get("command") != str(command):
            known = {"command": str(command), "attempts": []}
        date = datetime.now(UTC).isoformat(timespec="seconds")
        known["attempts"].append({"date": date, "status": status, "seconds": round(seconds, 1)})
        if command.words[0] == "train":
            lines = log_lines(command.workdir)
            known["epochs"] = [line for line in lines if line["event"] == "epoch"]
        if status == 0 and command.output is not None:
            with command.output.open("rb") as lines:
                known["results"] = {"lines": sum(1 for _ in lines), "seconds": round(seconds, 1)}
        elif status == 0:
            known["results"] = json.loads(command.results.read_text(encoding="utf-8"))
        self.note(command.name, known)

    def note(self, name: str, known: dict[str, Any]) -> None:
        """Records the facts about a command; later commands must then be run again."""
        commands = self.report["commands"]
        if name in commands:
            for later in list(commands)[list(commands).index(name) + 1 :]:
                commands[later].pop("results", None)
        commands[name] = known
        self._write()

    def note_start(self, where: dict[str, Any]) -> None:
        """Records command, device and versions of this start."""
        self.report["starts"].append(where)
        self._write()

    def _write(self) -> None:
        write_report(self._folder / "report.json", self.report)


def log_lines(workdir: Path) -> list[dict[str, Any]]:
    """Returns what a run has logged so far, without a line still being written."""
    path = workdir / "log.jsonl"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def progress(workdir: Path) -> str:
    """Describes the progress of a training."""
    lines = [line for line in log_lines(workdir) if line["event"] == "train"]
    if not lines:
        return "no step logged yet"
    return f"step {lines[-1]['step']}, {lines[-1]['seconds_left']} s of training left"
