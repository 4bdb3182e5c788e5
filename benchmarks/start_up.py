"""Times commands from a fresh start: imports, a first prediction, a first training step.

    python benchmarks/start_up.py --workdir=runs/imdb          # imports and `lstm-flax predict`
    python benchmarks/start_up.py --train --token-cache=FOLDER # a training run's first step as well

Each runs in its own processes. `cold`: with an empty home folder, so no compiled program is kept
from before. `warm`: the same command again. For training, the second start continues the run of the
first one from its checkpoint. In both cases, files that were read before are cached by the system.
`benchmarks/inference.py` runs the first two.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import HAS_TORCH, start_report, summary, write_report
from reviews import imdb_config, imdb_flags

from lstm_flax.data.opening import open_dataset
from lstm_flax.errors import UserError

_TEXT = "A gentle, funny film that earns its tears."
_LIMIT = 600.0  # seconds for a first step


def process_environment(home: Path) -> dict[str, str]:
    """Returns this process's environment with another home folder and no compilation cache."""
    home.mkdir(exist_ok=True)
    values = dict(os.environ) | {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    values.pop("JAX_COMPILATION_CACHE_DIR", None)
    return values


def seconds_of_process(command: Sequence[str], home: Path) -> float:
    """Times a process from start to end.

    Raises:
        SystemExit: it failed; with its output.
    """
    start = time.perf_counter()
    done = subprocess.run(
        command, env=process_environment(home), cwd=home, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return seconds


def measure_imports_and_predict(workdir: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Times imports, and `lstm-flax predict` of one text, cold and warm, in turn."""
    python = sys.executable
    commands = {
        "python": [python, "-c", "pass"],
        "import lstm_flax": [python, "-c", "import lstm_flax"],
        "import jax": [python, "-c", "import jax"],
        "from lstm_flax import Predictor": [python, "-c", "from lstm_flax import Predictor"],
    }
    if HAS_TORCH:
        commands["import torch"] = [python, "-c", "import torch"]
    predict = [python, "-m", "lstm_flax", "predict", f"--workdir={workdir.absolute()}", _TEXT]
    names = [*commands, "predict, cold", "predict, warm"]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        seconds_of_process(commands["from lstm_flax import Predictor"], home)  # .pyc files
        for turn in range(rounds):
            for name, command in commands.items():
                seconds[name].append(seconds_of_process(command, home))
            fresh = Path(folder) / f"home-{turn}"
            for name in ("predict, cold", "predict, warm"):
                seconds[name].append(seconds_of_process(predict, fresh))
    return {name: summary(times) for name, times in seconds.items()}


def last_step(log: Path) -> int:
    """Returns the step of the last complete line of a run's log; 0 if there is none."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    return int(json.loads(whole[-1])["step"]) if whole else 0


def seconds_to_first_step(flags: Sequence[str], workdir: Path, home: Path) -> float:
    """Times `lstm-flax train` up to the first line of its log, one per step; then stops it.

    Raises:
        SystemExit: the run ended or timed out.
    """
    command = [sys.executable, "-m", "lstm_flax", "train", *flags, f"--workdir={workdir}"]
    command.append("--config.training.log_interval=1")
    log, before = workdir / "log.jsonl", last_step(workdir / "log.jsonl")
    with (workdir.parent / "messages.txt").open("w", encoding="utf-8") as messages:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=process_environment(home),
            cwd=home,
            stdout=subprocess.DEVNULL,
            stderr=messages,
        )
        while last_step(log) <= before:
            if process.poll() is not None or time.perf_counter() - start > _LIMIT:
                process.kill()
                text = (workdir.parent / "messages.txt").read_text(encoding="utf-8")
                raise SystemExit(f"no first step: {' '.join(command)}\n{text}")
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        process.send_signal(signal.SIGTERM)  # it saves its state and exits
        process.wait()
    return seconds


def measure_training_start(token_cache: Path | None, made_up: Path | None) -> dict[str, float]:
    """Times the first step of a new run, and of the same run continued."""
    flags = imdb_flags(token_cache, made_up)
    if token_cache is None:  # fetching and encoding data beforehand is not part of a start
        config = imdb_config(None, made_up)
        dataset = open_dataset(config.data, config.tokenizer)
        dataset.split("train")
        dataset.split("development")
        if made_up is None:
            flags = imdb_flags(dataset.folder)
    with tempfile.TemporaryDirectory() as folder:
        workdir, home = Path(folder) / "run", Path(folder) / "home"
        first = seconds_to_first_step(flags, workdir, home)
        again = seconds_to_first_step(flags, workdir, home)
    return {"first start": first, "second start": again}


def print_start_up(report: Mapping[str, Any]) -> None:
    """Prints the table."""
    print("\nstart-up, seconds")
    for name, row in report.get("processes", {}).items():
        spread = f"{row['fastest_seconds']:.2f} - {row['slowest_seconds']:.2f}"
        print(f"  {name:34}{row['median_seconds']:8.2f}{spread:>18}")
    for name, seconds in report.get("to_first_training_step", {}).items():
        print(f"  {'training to its first step, ' + name:42}{seconds:8.2f}")


def main() -> None:
    """Measures, prints, writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=Path, help="a run to predict with")
    parser.add_argument("--train", action="store_true", help="start a training run, twice")
    parser.add_argument("--token-cache", type=Path, help="what to train from")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="made-up reviews, one round")
    parser.add_argument("--json", type=Path, default=Path("start_up.json"))
    arguments = parser.parse_args()
    if arguments.workdir is None and not arguments.train:
        parser.error("name --workdir=DIR, or --train, or both")
    report = start_report(small=arguments.small)
    try:
        if arguments.workdir is not None:
            rounds = 1 if arguments.small else arguments.rounds
            report["processes"] = measure_imports_and_predict(arguments.workdir, rounds)
        if arguments.train:
            with tempfile.TemporaryDirectory() as folder:
                made_up = Path(folder) if arguments.small else None
                found = measure_training_start(arguments.token_cache, made_up)
            report["to_first_training_step"] = found
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    print_start_up(report)
    write_report(arguments.json, report)


if __name__ == "__main__":
    main()
