"""Damages to every file of a run: each command is right, or says so; nothing sound is moved.

    python -m tests.faults.damages --folder=/tmp/damages --count=300

A run is stopped on its way. Each damage is done to a copy of it, once for each of `train`,
`evaluate` and `predict`, which must end in one of three ways: with what they give without the
damage; with that, after a warning that names what was passed over; or with one line of error and
status 2. The damages so far are in FOLDER/damages.jsonl; the same command goes on.
"""

import argparse
import collections
import contextlib
import io
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lstm_flax.cli import main as lstm_flax
from tests.faults.kills import repeatable, results
from tests.faults.small_run import ROOT, SmallRun

COMMANDS = ("train", "evaluate", "predict")
SECONDS = 300  # that a command may take before it counts as hanging


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def swap(path: Path, rng: random.Random) -> None:
    """Another file of the run, or of the cache, that differs takes its place."""
    content = path.read_bytes()
    whole = (p for p in path.parents if (p / "last").is_dir() or p.name == "cache")
    others = [p for p in sorted(next(whole).rglob("*")) if p.is_file()]
    others = [p for p in others if p.read_bytes() != content]
    shutil.copyfile(rng.choice(others), path)


def replaced(make: Callable[[Path], object]) -> Callable[[Path, random.Random], None]:
    def damage(path: Path, _: random.Random) -> None:
        path.unlink()
        make(path)

    return damage


def link(path: Path, _: random.Random) -> None:
    """A link to a file with the same bytes."""
    elsewhere = path.parents[len(path.parents) - 2] / f"{path.name}-{time.monotonic_ns()}"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "flipped": flip,
    "cut": cut,
    "emptied": lambda path, _: os.truncate(path, 0),
    "deleted": lambda path, _: path.unlink(),
    "swapped": swap,
    "folder": replaced(Path.mkdir),
    "link": link,
    "fifo": replaced(os.mkfifo),
}


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raises TimeoutError in whatever takes longer."""

    def late(*_: object) -> None:
        raise TimeoutError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def call(words: list[str]) -> tuple[int | str, str, str]:
    """Calls a command in this process; its status, or what it raised, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    logging.root.handlers.clear()  # the handler of the call before writes to its output
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            with at_most(SECONDS):
                status: int | str = lstm_flax(words)
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        except Exception:
            status = traceback.format_exc()
    if status == 130:
        raise KeyboardInterrupt  # of this program, not what the damage led to
    return status, out.getvalue(), err.getvalue()


def answer(command: str, workdir: Path, out: str) -> Any:
    """What a command gave, without what the clock decides."""
    if command == "predict":
        return out
    if command == "train":
        return results(workdir)
    return repeatable(json.loads(out.splitlines()[-1]))


def verdict(
    command: str, workdir: Path, damaged: Path, given: tuple[int | str, str, str], right: Any
) -> str:
    """One of 'right', 'told' and 'refused', or what is wrong."""
    status, out, err = given
    told = [x for x in err.splitlines() if x.startswith(("WARNING", "ERROR"))]
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    for aside in workdir.glob("*-unreadable/*"):
        kind = aside.parent.name.removesuffix("-unreadable")
        if damaged.parts[:2] != (kind, aside.name):
            return f"moved what is sound: {aside.relative_to(workdir)}"
    if isinstance(status, str) or "Traceback" in err:
        return f"raised: {status}\n{err}"
    if status == 2 and len(errors) == 1 and err.rstrip().endswith(errors[0]):
        return "refused"
    if status != 0:
        return f"status {status}: {err}"
    if answer(command, workdir, out) != right:
        # `best` of a run whose newest is damaged is the one before, which a warning names.
        return "another answer, told" if told else f"another answer in silence: {out}"
    return "told" if told else "right"


def stopped_run(run: SmallRun, workdir: Path) -> None:
    """Trains until the third epoch and stops as a user would."""
    process = run.start("train", workdir, workdir.with_suffix(".txt"))
    while not (workdir / "last" / "15").is_dir():
        if process.poll() is not None:
            raise RuntimeError(f"the run ended before it could be stopped: {workdir}.txt")
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.wait()
    if (workdir / "results.json").exists():
        raise RuntimeError(f"the run ended before it was stopped; remove {workdir} and try again")


def main() -> None:
    """Does the damages that are left and counts how the commands ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder: Path = arguments.folder.absolute()
    os.chdir(ROOT)
    run = SmallRun.write(folder)
    if not (folder / "stopped").exists():
        subprocess.run(
            [sys.executable, "-m", "lstm_flax", *run.arguments("train", folder / "whole")],
            check=True,
        )
        stopped_run(run, folder / "stopped")
    cache = folder / "cache"
    right = {}
    for command in COMMANDS:
        workdir = folder / "sound"
        shutil.rmtree(workdir, ignore_errors=True)
        shutil.copytree(folder / "stopped", workdir)
        status, out, err = call(run.arguments(command, workdir))
        assert status == 0, (status, err)
        right[command] = answer(command, workdir, out)
    assert right["train"] == results(folder / "whole")
    files = [p.relative_to(folder) for p in sorted((folder / "stopped").rglob("*")) if p.is_file()]
    files += [p.relative_to(folder) for p in sorted(cache.rglob("*")) if p.is_file()]
    cases = [
        (file, kind)
        for file in files
        for kind in DAMAGES
        if (folder / file).stat().st_size or kind not in ("flipped", "cut", "emptied")
    ]
    random.Random(arguments.seed).shuffle(cases)
    shutil.rmtree(folder / "kept", ignore_errors=True)
    shutil.copytree(cache, folder / "kept")
    record = folder / "damages.jsonl"
    done = len(record.read_text().splitlines()) if record.exists() else 0
    for number, (file, kind) in list(enumerate(cases[: arguments.count]))[done:]:
        verdicts = {}
        for command in COMMANDS:
            workdir = folder / f"damaged_{number}"
            shutil.rmtree(workdir, ignore_errors=True)  # of a harness that was stopped here
            shutil.copytree(folder / "stopped", workdir)
            shutil.rmtree(cache)
            shutil.copytree(folder / "kept", cache)
            inside = file.relative_to(*file.parts[:1])
            path = (cache if file.parts[0] == "cache" else workdir) / inside
            DAMAGES[kind](path, random.Random(f"{arguments.seed} {number}"))
            given = call(run.arguments(command, workdir))
            verdicts[command] = verdict(command, workdir, inside, given, right[command])
            shutil.rmtree(workdir)
        with record.open("a") as out_file:
            case = {"file": str(file), "kind": kind, **verdicts}
            out_file.write(json.dumps(case) + "\n")
        print(number + 1, file, kind, *(v.splitlines()[0] for v in verdicts.values()), flush=True)
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    for command in COMMANDS:
        print(command, dict(collections.Counter(line[command].split("\n")[0] for line in lines)))


if __name__ == "__main__":
    main()
