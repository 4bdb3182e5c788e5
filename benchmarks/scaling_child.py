"""The processes of `scaling.py`: writing a token cache, training from one, steps on request."""

import argparse
import json
import statistics
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
from train_case import Size, Trainer, random_batch

from lstm_flax.data.batching import Batcher
from lstm_flax.data.prefetching import prefetch
from lstm_flax.data.token_cache import read_split, write_split
from lstm_flax.devices.allocator import keep_freed_memory
from lstm_flax.devices.sharding import place_batch

_MEAN_LENGTH = 250  # tokens per example, about IMDB's
_WARM_UP = 4  # steps before any is timed


def write_cache(folder: Path, tokens: int, vocab_size: int) -> None:
    """Writes a split of random token ids, in examples of 50 to 450 tokens."""
    rng = np.random.default_rng(0)
    examples = tokens // _MEAN_LENGTH
    ids = rng.integers(4, vocab_size, tokens, dtype=np.uint16)
    ends = np.cumsum(rng.integers(50, 2 * _MEAN_LENGTH - 50, examples))
    ends = np.append(ends[ends < tokens], tokens)
    sequences = np.split(ids, ends[:-1])
    labels = rng.integers(0, 2, len(sequences))
    groups = np.arange(len(sequences))
    write_split(folder, sequences, labels, groups, vocab_size, "random")


def memory_mib(name: str) -> float:
    """Reads a value of /proc/self/status: `RssAnon` (now), `VmHWM` (the peak of all), ...; or 0."""
    # Not getrusage: its peak starts at that of the parent process.
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0


class OwnMemory(threading.Thread):
    """Watches this process's anonymous memory, which is not backed by files.

    It stays at 0 without /proc.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mib = 0.0
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Reads the value every 20 ms."""
        while not self._stop_asked.wait(0.02):
            self.look()

    def look(self) -> None:
        """Reads the value once."""
        self.peak_mib = max(self.peak_mib, memory_mib("RssAnon"))

    def stop(self) -> float:
        """Stops watching and returns the peak in MiB."""
        self._stop_asked.set()
        self.join()
        self.look()
        return self.peak_mib


def train_from(folder: Path, steps: int, size: Size) -> dict[str, float | int]:
    """Opens a cache, plans an epoch, and takes steps like the loop."""
    memory = OwnMemory()
    memory.start()
    start = time.perf_counter()
    split = read_split(folder)
    assert split is not None
    opened = time.perf_counter()
    batcher = Batcher.from_config(split, None, size.config.data)
    plan = batcher.plan(seed=0, epoch=0)
    planned = time.perf_counter()
    trainer = Trainer(size)
    making, stepping = [], []
    start_batch = time.perf_counter()
    for _ in trainer.batches(batcher, plan, steps):
        making.append(time.perf_counter() - start_batch)
        start_batch = time.perf_counter()
    for width in {batch.width for batch in plan[:steps]}:  # compile first, not timed
        one = [batch for batch in plan if batch.width == width][:1]
        trainer.step(next(trainer.batches(batcher, one, 1)))
    with prefetch(trainer.batches(batcher, plan, steps + _WARM_UP)) as ahead:
        for batch in ahead:
            start_step = time.perf_counter()
            trainer.step(batch)
            stepping.append(time.perf_counter() - start_step)
    return {
        "tokens": len(split.token_ids),
        "examples": len(split),
        "open_seconds": opened - start,
        "plan_seconds": planned - opened,
        "batch_seconds": statistics.median(making),
        "step_seconds": statistics.median(stepping[_WARM_UP:]),
        "peak_own_mib": memory.stop(),
        "peak_mib": memory_mib("VmHWM"),
    }


def steps_on_demand(size: Size) -> None:
    """Answers each line of standard input with one step, as a JSON object per line.

    The first answer is the mean loss of the first steps.
    """
    trainer = Trainer(size)
    batch = place_batch(random_batch(size), trainer.mesh)
    for _ in range(_WARM_UP):
        trainer.step(batch)
    first = {"loss": trainer.loss(), "devices": jax.device_count()}
    for line in sys.stdin:
        if line.strip() != "step":
            print(json.dumps(first), flush=True)
            continue
        start = time.perf_counter()
        trainer.step(batch)
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


def main() -> None:
    """Runs one of the three."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write")
    write.add_argument("folder", type=Path)
    write.add_argument("tokens", type=int)
    write.add_argument("vocab_size", type=int)
    train = commands.add_parser("train")
    train.add_argument("folder", type=Path)
    train.add_argument("steps", type=int)
    train.add_argument("size", type=json.loads)
    steps = commands.add_parser("steps")
    steps.add_argument("size", type=json.loads)
    arguments = parser.parse_args()
    keep_freed_memory()
    if arguments.command == "write":
        write_cache(arguments.folder, arguments.tokens, arguments.vocab_size)
        print(json.dumps({}))
    elif arguments.command == "train":
        figures = train_from(arguments.folder, arguments.steps, Size(**arguments.size))
        print(json.dumps(figures))
    else:
        steps_on_demand(Size(**arguments.size))


if __name__ == "__main__":
    main()
