"""Compares exported programs with `Predictor` on IMDB's test split: accuracy, latency, throughput.

    python benchmarks/exports.py --python torch=/venvs/torch/bin/python --json exports.json

Each export runs in a separate process, with the interpreter that --python names for its runtime
(default: this one). Answers are compared review by review. Times are after a warm-up and cover text
to probabilities, both for single reviews and for all reviews.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import start_report, write_report

from lstm_flax import Predictor
from lstm_flax.data.loading import load_examples
from lstm_flax.errors import UserError
from lstm_flax.evaluation.metrics import calibration_error

CHILD = Path(__file__).with_name("exports_child.py")
EXPORTS = ("onnx", "onnx:float16", "onnx:int8", "torch", "safetensors", "stablehlo")


def measure_predictor(predictor: Predictor, texts: Sequence[str], single: int) -> dict[str, Any]:
    """Takes the same times for the predictor itself."""
    predictor.predict(texts[: 20 * 64 : 20])
    for text in texts[:single]:
        predictor.predict([text])
    one = []
    for text in texts[:single]:
        begin = time.perf_counter()
        predictor.predict([text])
        one.append(time.perf_counter() - begin)
    begin = time.perf_counter()
    answers = predictor.predict(texts)
    seconds = time.perf_counter() - begin
    probabilities = [list(answer.probabilities.values()) for answer in answers]
    return {"one": one, "all_seconds": seconds, "probabilities": probabilities}


def measure_export(folder: Path, python: str, texts: Path, single: int) -> dict[str, Any]:
    """Measures an export in a child process and returns what it wrote."""
    out = folder.with_suffix(".json")
    command = [python, str(CHILD), str(folder), str(texts), str(out), str(single)]
    subprocess.run(command, check=True)
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def summarize(
    found: dict[str, Any], expected: np.ndarray, labels: np.ndarray, size: float
) -> dict[str, Any]:
    """Summarises one row of the report."""
    probabilities = np.array(found["probabilities"])
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": float((predicted == labels).mean()),
        "labels_that_differ": int((predicted != expected.argmax(axis=1)).sum()),
        "largest_difference": float(np.abs(probabilities - expected).max()),
        "calibration_error": calibration_error(probabilities, labels),
        "one_review_ms": 1e3 * statistics.median(found["one"]),
        "one_review_ms_95": 1e3 * float(np.percentile(found["one"], 95)),
        "reviews_per_second": len(labels) / found["all_seconds"],
        "all_seconds": found["all_seconds"],
        "start_seconds": found.get("start_seconds"),
        "megabytes": size,
        "loaded": found.get("loaded"),
    }


def print_row(name: str, row: dict[str, Any]) -> None:
    """Prints a row of the table."""
    print(
        f"{name:14}{row['accuracy']:10.3%}{row['labels_that_differ']:8}"
        f"{row['largest_difference']:11.1e}{row['one_review_ms']:10.2f}"
        f"{row['reviews_per_second']:12.0f}{row['megabytes']:8.1f}",
        flush=True,
    )


def main() -> None:
    """Exports, runs, compares, prints, writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=Path, help="a trained run; default: the packaged model")
    parser.add_argument("--export", nargs="*", default=EXPORTS, help="FORMAT or FORMAT:WEIGHTS")
    parser.add_argument("--python", action="append", default=[], metavar="FORMAT=PATH")
    parser.add_argument("--reviews", type=int, default=25_000)
    parser.add_argument("--single", type=int, default=200, help="reviews taken one by one")
    parser.add_argument("--json", type=Path, default=Path("exports.json"))
    arguments = parser.parse_args()
    pythons = dict(pair.split("=", 1) for pair in arguments.python)
    report = start_report(workdir=str(arguments.workdir), rows={})
    try:
        predictor = Predictor.from_checkpoint(arguments.workdir)
        examples = load_examples(predictor.trained.metadata.config.data, "test")
        chosen = np.random.default_rng(0).permutation(len(examples))[: arguments.reviews]
        examples = examples.select(chosen)
        report["reviews"] = len(examples)
        own = measure_predictor(predictor, examples.texts, arguments.single)
        expected = np.array(own["probabilities"])
        print(f"{'':14}{'accuracy':>10}{'differ':>8}{'largest':>11}{'one, ms':>10}", end="")
        print(f"{'reviews/s':>12}{'MB':>8}")
        rows = report["rows"]
        rows["predictor"] = summarize(own, expected, examples.labels, 0.0)
        print_row("predictor", rows["predictor"])
        with tempfile.TemporaryDirectory() as temporary:
            texts = Path(temporary) / "texts.json"
            texts.write_text(json.dumps(list(examples.texts)), encoding="utf-8")
            for name in arguments.export:
                format, _, weights = name.partition(":")
                folder = Path(temporary) / name.replace(":", "_")
                predictor.export(folder, format, weights or "float32")
                size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
                python = pythons.get(format, sys.executable)
                found = measure_export(folder, python, texts, arguments.single)
                rows[name] = summarize(found, expected, examples.labels, size)
                print_row(name, rows[name])
                write_report(arguments.json, report)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
