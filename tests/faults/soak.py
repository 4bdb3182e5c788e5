"""A long training and many predictions: memory, threads and open files stay as they are.

    python -m tests.faults.soak --folder=/tmp/soak --minutes=60

A training of small steps, with a save every third, is watched from outside; then a predictor
answers 5,000 times, watched from within. Prints the figures of the first and the last tenth: the
median of the memory; the lowest and the highest number of threads and of open files, since a save
that is under way has some of either for itself: what leaks raises the lowest.
"""

import argparse
import gc
import json
import os
import signal
import statistics
import time
from pathlib import Path
from typing import NamedTuple

from lstm_flax import Predictor
from tests.conftest import templated_texts
from tests.faults.small_run import SmallRun


class Usage(NamedTuple):
    """What a process holds: resident memory in MB, threads, open files."""

    megabytes: float
    threads: int
    files: int


def usage(pid: int) -> Usage:
    """Reads /proc of a process."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    size, threads = int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])
    return Usage(round(size, 1), threads, len(os.listdir(f"/proc/{pid}/fd")))


def summary(samples: list[Usage]) -> dict[str, object]:
    """The first and the last tenth of the samples: a median, and the lowest and the highest."""
    tenth = max(len(samples) // 10, 1)
    ends = samples[:tenth], samples[-tenth:]
    return {
        "megabytes": [statistics.median(s.megabytes for s in end) for end in ends],
        "threads": [(min(s.threads for s in end), max(s.threads for s in end)) for end in ends],
        "files": [(min(s.files for s in end), max(s.files for s in end)) for end in ends],
    }


def watch_training(folder: Path, seconds: float) -> dict[str, object]:
    """Samples a training from the end of its first epoch on, twice a second."""
    run, workdir = SmallRun.write(folder, epochs=1_000_000), folder / "run"
    process = run.start("train", workdir, folder / "run.txt")
    try:
        while not (workdir / "best").is_dir() or not any((workdir / "best").iterdir()):
            if process.poll() is not None:
                raise RuntimeError(f"the training ended: {folder}/run.txt")
            time.sleep(0.5)
        samples, end = [], time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            samples.append(usage(process.pid))
            time.sleep(0.5)
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait()
    steps = json.loads((workdir / "log.jsonl").read_text().splitlines()[-1])["step"]
    return {"status": status, "steps": steps, "saves": steps // 3, **summary(samples)}


def watch_predictions(count: int) -> dict[str, object]:
    """Samples this process while the packaged model answers, once all its shapes are compiled."""
    predictor = Predictor.from_checkpoint()
    texts = [record["text"] for record in templated_texts(200, seed=5)]
    predictor.predict(texts)
    samples = []
    for number in range(count):
        if number % 10 == 0:
            predictor.predict(texts[number % 150 : number % 150 + number % 37 + 1])
        else:
            predictor.predict([texts[number % 200]])
        if number >= 500 and number % 20 == 0:
            gc.collect()
            samples.append(usage(os.getpid()))
    return {"predictions": count, **summary(samples)}


def main() -> None:
    """Watches both and prints their figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--predictions", type=int, default=5000)
    arguments = parser.parse_args()
    print(json.dumps({"training": watch_training(arguments.folder, arguments.minutes * 60)}))
    print(json.dumps({"predicting": watch_predictions(arguments.predictions)}))


if __name__ == "__main__":
    main()
