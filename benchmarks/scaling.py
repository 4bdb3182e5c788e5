"""Measures a train step's cost as things grow: T, B, H, the data set, the number of devices.

    python benchmarks/scaling.py                           # everything
    python benchmarks/scaling.py --parts width batch       # T from 128 to 2,048, B from 16 to 512
    python benchmarks/scaling.py --small                   # a trial

Parts:

- `width`, `batch`, `hidden`: seconds of the package's train step (its default classifier, one
  bidirectional layer) at several values of one size, which take turns. `x linear` is the cost per
  element relative to the first row's: 1 if cost grows linearly. For `hidden` it is the cost per
  operation of the matrix products.
- `examples`: token caches of 10 and of 100 million random tokens, each trained from in its own
  process. Seconds to open the cache, to plan an epoch, per batch and per step; and peak memory: the
  process's own (anonymous), and all of it with the mapped cache, which the system can reclaim.
- `devices`: a step of the same batch on 1, 2, 4, 8 devices in processes that take turns: virtual
  CPU devices, or the available GPUs. The mean loss of the first steps is compared.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from measuring import start_report, summary, time_in_turn, write_report
from train_case import Size, step_of

from lstm_flax.devices.allocator import keep_freed_memory

PARTS = ("width", "batch", "hidden", "examples", "devices")
_CHILD = str(Path(__file__).with_name("scaling_child.py"))


@dataclasses.dataclass(frozen=True)
class Grid:
    """The sizes to measure."""

    base: Size = dataclasses.field(default_factory=Size)
    width: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    batch: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    hidden: tuple[int, ...] = (64, 128, 256, 512)
    tokens: tuple[int, ...] = (10_000_000, 100_000_000)
    devices: tuple[int, ...] = (1, 2, 4, 8)
    steps: int = 60  # training steps from each token cache


SMALL = Grid(Size(4, 32, 8, 50), (32, 64), (4, 8), (8, 16), (20_000, 200_000), (1, 2), 8)


def growth(axis: str, sizes: Sequence[Size], seconds: Sequence[Sequence[float]]) -> list[dict]:
    """Makes a row per size: summary, and cost per element (or operation) relative to the first."""
    rows = []
    for size, times in zip(sizes, seconds, strict=True):
        amount = size.flops() if axis == "hidden" else getattr(size, axis)
        row: dict[str, Any] = {axis: getattr(size, axis)} | summary(times)
        row["cost"] = row["median_seconds"] / amount
        row["times_linear"] = row["cost"] / (rows[0]["cost"] if rows else row["cost"])
        rows.append(row)
    return rows


def measure_axis(axis: str, grid: Grid, rounds: int) -> list[dict]:
    """Measures one of T, B, H."""
    sizes = [dataclasses.replace(grid.base, **{axis: value}) for value in getattr(grid, axis)]
    steps = {str(getattr(size, axis)): step_of(size) for size in sizes}
    seconds = time_in_turn(steps, rounds)
    return growth(axis, sizes, list(seconds.values()))


def print_growth(axis: str, base: Size, rows: Sequence[dict]) -> None:
    """Prints the table of one axis."""
    print(f"\ntrain step, {axis} (elsewhere {base})")
    print(f"  {axis:>8}{'median ms':>12}{'spread ms':>20}{'x linear':>10}")
    for row in rows:
        spread = f"{row['fastest_seconds'] * 1e3:.1f} - {row['slowest_seconds'] * 1e3:.1f}"
        print(
            f"  {row[axis]:8}{row['median_seconds'] * 1e3:12.1f}{spread:>20}"
            f"{row['times_linear']:10.2f}",
            flush=True,
        )


def run_child(*arguments: Any) -> dict[str, Any]:
    """Runs a separate process and parses the last line it prints as JSON."""
    command = [sys.executable, _CHILD, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_examples(grid: Grid) -> list[dict]:
    """Measures each token cache in turn."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for tokens in grid.tokens:
            run_child("write", f"{folder}/{tokens}", tokens, grid.base.vocabulary)
        for tokens in grid.tokens:
            size = json.dumps(dataclasses.asdict(grid.base))
            rows.append(run_child("train", f"{folder}/{tokens}", grid.steps, size))
    return rows


def print_examples(rows: Sequence[dict]) -> None:
    """Prints the table of the data set's size."""
    print("\ntraining from a token cache")
    heads = ("open s", "plan s", "batch ms", "step ms", "own MiB", "all MiB")
    print(f"  {'tokens':>12}{'examples':>10}" + "".join(f"{head:>10}" for head in heads))
    for row in rows:
        print(
            f"  {row['tokens']:12,}{row['examples']:10,}{row['open_seconds']:10.2f}"
            f"{row['plan_seconds']:10.2f}{row['batch_seconds'] * 1e3:10.2f}"
            f"{row['step_seconds'] * 1e3:10.1f}{row['peak_own_mib']:10.0f}{row['peak_mib']:10.0f}",
            flush=True,
        )


class DeviceProcess:
    """A process with some devices that takes a step on request."""

    def __init__(self, count: int, size: Size) -> None:
        values = dict(os.environ)
        if jax.default_backend() == "gpu":
            values["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(count)))
        else:
            flag = f"--xla_force_host_platform_device_count={count}"
            values["XLA_FLAGS"] = f"{values.get('XLA_FLAGS', '')} {flag}".strip()
        described = json.dumps(dataclasses.asdict(size))
        self._process = subprocess.Popen(
            [sys.executable, _CHILD, "steps", described],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=values,
        )
        self.loss: float = self._ask()["loss"]

    def _ask(self, order: str = "") -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process with virtual devices ended early; see its message above")
        found: dict[str, Any] = json.loads(line)
        return found

    def seconds(self) -> float:
        """Returns the seconds of one step, measured in the process."""
        return float(self._ask("step")["seconds"])

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def measure_devices(grid: Grid, rounds: int) -> list[dict]:
    """Measures the numbers of devices in turn."""
    counts = grid.devices
    if jax.default_backend() == "gpu":
        counts = tuple(count for count in counts if count <= jax.device_count())
    with contextlib.ExitStack() as stack:
        processes = {}
        for count in counts:
            processes[count] = DeviceProcess(count, grid.base)
            stack.callback(processes[count].close)
        losses = [process.loss for process in processes.values()]
        if max(losses) - min(losses) > 1e-4 * abs(losses[0]):
            raise SystemExit(f"the loss depends on the number of devices: {losses}")
        seconds: dict[int, list[float]] = {count: [] for count in counts}
        for _ in range(rounds):
            for count, process in processes.items():
                seconds[count].append(process.seconds())
    first = statistics.median(seconds[counts[0]])
    return [
        {"devices": count, "loss": processes[count].loss}
        | summary(times)
        | {"times_one_device": statistics.median(times) / first}
        for count, times in seconds.items()
    ]


def print_devices(rows: Sequence[dict]) -> None:
    """Prints the table of the devices."""
    print("\none batch on several devices")
    print(f"  {'devices':>8}{'median ms':>12}{'x one':>8}{'loss':>12}")
    for row in rows:
        print(
            f"  {row['devices']:8}{row['median_seconds'] * 1e3:12.1f}"
            f"{row['times_one_device']:8.2f}{row['loss']:12.6f}",
            flush=True,
        )


def main() -> None:
    """Measures the parts, prints their tables, writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a try")
    parser.add_argument("--json", type=Path, default=Path("scaling.json"))
    arguments = parser.parse_args()
    keep_freed_memory()
    grid = SMALL if arguments.small else Grid()
    report = start_report(small=arguments.small, base=dataclasses.asdict(grid.base))
    for part in arguments.parts:
        if part == "examples":
            report[part] = measure_examples(grid)
            print_examples(report[part])
        elif part == "devices":
            report[part] = measure_devices(grid, arguments.rounds)
            print_devices(report[part])
        else:
            report[part] = measure_axis(part, grid, arguments.rounds)
            print_growth(part, grid.base, report[part])
        write_report(arguments.json, report)


if __name__ == "__main__":
    main()
