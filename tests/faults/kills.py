"""`kill -9` at random moments: every run goes on and ends bit for bit where it would have ended.

    python -m tests.faults.kills --folder=/tmp/kills --kills=200

Each round starts a run in a new folder, kills it up to six times at moments drawn from its whole
length, then lets it end. The rounds so far are in FOLDER/rounds.jsonl; the same command goes on.
"""

import argparse
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.cli.run_files import figures, leaves
from tests.faults.small_run import SmallRun


def end(run: SmallRun, workdir: Path) -> float:
    """Runs to the end; returns the seconds it took. Raises AssertionError where it fails."""
    output, began = workdir.with_suffix(".txt"), time.monotonic()
    status = run.start("train", workdir, output).wait(timeout=300)
    printed = output.read_text(encoding="utf-8", errors="replace")
    assert status == 0, printed[-2000:]
    assert "Traceback" not in printed, printed[-2000:]
    return time.monotonic() - began


def results(workdir: Path) -> dict[str, Any]:
    """The results of a run without what the clock and the number of starts decide."""
    return repeatable(json.loads((workdir / "results.json").read_bytes()))


def repeatable(values: dict[str, Any]) -> dict[str, Any]:
    """Results without times, counts of compilations, and the checksum of all of them."""
    left_out = ("compilations", "checksum")
    return {k: v for k, v in values.items() if "seconds" not in k and k not in left_out}


def require_equal(whole: Path, continued: Path) -> None:
    """Compares two ended runs: every array of the newest checkpoints, every line of the log."""
    for kind in ("last", "best"):
        for a, b in zip(leaves(whole, kind), leaves(continued, kind), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)
    assert figures(whole) == figures(continued)
    assert results(whole) == results(continued)
    assert not list(continued.glob("*-unreadable"))


def kill_round(run: SmallRun, workdir: Path, seconds: float, rng: random.Random) -> list[float]:
    """Kills a run up to six times; returns the moments at which it was alive to be killed."""
    moments = []
    for _ in range(rng.randint(1, 6)):
        moment = rng.uniform(0, seconds)
        process = run.start("train", workdir, workdir.with_suffix(".txt"))
        time.sleep(moment)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        moments.append(round(moment, 2))
    return moments


def main() -> None:
    """Runs rounds until as many kills as asked for have been survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = SmallRun.write(arguments.folder)
    whole = arguments.folder / "whole"
    end(run, whole)  # compiles; again below, as the killed runs find it
    shutil.rmtree(whole)
    seconds = end(run, whole)
    rounds = arguments.folder / "rounds.jsonl"
    done = [json.loads(line) for line in rounds.read_text().splitlines()] if rounds.exists() else []
    survived = sum(len(record["moments"]) for record in done)
    while survived < arguments.kills:
        number = len(done)
        workdir = arguments.folder / f"run_{number}"
        shutil.rmtree(workdir, ignore_errors=True)
        rng = random.Random(f"{arguments.seed} {number}")
        moments = kill_round(run, workdir, seconds, rng)
        end(run, workdir)
        require_equal(whole, workdir)
        shutil.rmtree(workdir)
        done.append({"round": number, "moments": moments})
        with rounds.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")
        survived += len(moments)
        print(f"{survived} of {arguments.kills} kills survived, {len(done)} runs equal", flush=True)


if __name__ == "__main__":
    main()
