r"""Runs everything that needs a GPU in one command; results go to one JSON file.

    python benchmarks/gpu.py --token-cache=FOLDER                   # all, about 25 minutes
    python benchmarks/gpu.py --token-cache=FOLDER --steps run epoch # some
    python benchmarks/gpu.py --small                                # a trial on any machine

Steps: `correctness`, the tests of cuDNN, of the fused loop and of the classifier on this device;
`layer`, the layer's grid beside torch's cuDNN, in full float32 and in TensorFloat-32; `run`, the
whole labels-only run from the token cache to the test score, once with nothing compiled before and
once again; `epoch`, whole epochs of IMDB with the tutorial's model and with two bidirectional
layers of 128; `start_up`; `inference`; `scaling`; `shapes`, cuDNN against scan on 200 random
shapes. If a step fails, that is recorded and the next one runs. The file is written after every
step and keeps the steps that are not run again; a .log beside it has their output. `--small` uses
made-up reviews and tiny sizes, and without a GPU the tests of cuDNN are skipped.

A machine without network needs, besides JAX, Flax, Optax, Orbax, sentencepiece and torch, this
package, the package ml_collections and the encoded reviews. Run this where there is a network:

    lstm-flax prepare --config=configs/imdb.py --config.data.use_unlabelled=false \
        --config.data.cache_dir=runs/gpu
    rm -r runs/gpu/tokenizer-* runs/gpu/imdb_reviews-*/unsupervised
    pip download --no-deps --dest runs/gpu ml_collections
    pip wheel --no-deps --wheel-dir runs/gpu .

and this on the GPU machine, in a checkout that runs/gpu (30 MB) was copied into:

    pip install --no-deps --no-index runs/gpu/*.whl
    python benchmarks/gpu.py --token-cache=$(echo runs/gpu/imdb_reviews-*)
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from measuring import write_report
from reviews import imdb_flags
from start_up import process_environment

STEPS = ("correctness", "layer", "run", "epoch", "start_up", "inference", "scaling", "shapes")
_HERE = Path(__file__).parent
_TESTS = (
    "recurrent/test_cudnn",
    "recurrent/test_dispatch",
    "recurrent/test_fused",
    "recurrent/test_layers",
    "models/test_classifier",
    "models/test_classifier_attributes",
)
_FULL = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
_SMALL_RUN = (
    "--config.data.batch_size=16",
    "--config.model.embedding_size=8",
    "--config.model.hidden_size=8",
    "--config.training.epochs=1",
)


class Driver:
    """Runs commands, and keeps their output and reports.

    Args:
        arguments: arguments of the command line.
        folder: folder for temporary files.
    """

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.small: bool = arguments.small
        self.token_cache: Path | None = arguments.token_cache
        self.folder = folder
        self._limit: float = arguments.limit
        self._log = arguments.json.with_suffix(".log")

    def run(
        self, command: list[str], values: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> dict[str, Any]:
        """Runs one command; returns its status, its time, and the end of its output.

        Args:
            command: the command's words.
            values: its whole environment; None for this process's.
            cwd: its working directory.
        """
        start = time.perf_counter()
        try:
            done = subprocess.run(
                command,
                env=values,
                cwd=cwd,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self._limit,
                text=True,
                errors="replace",
            )
            status, text = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            printed = error.stdout or b""
            text = printed.decode(errors="replace") if isinstance(printed, bytes) else printed
            status = 124
        seconds = time.perf_counter() - start
        shown = " ".join(command)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"$ {shown}\n{text}\nstatus {status} after {seconds:.1f} s\n\n")
        print(text[-4000:], f"status {status} after {seconds:.1f} s", sep="\n", flush=True)
        return {"command": shown, "status": status, "seconds": seconds, "end": text[-1500:]}

    def benchmark(self, name: str, *options: str) -> dict[str, Any]:
        """Runs one of the scripts beside this one and returns its report."""
        path = self.folder / f"{name}.json"
        path.unlink(missing_ok=True)
        command = [sys.executable, str(_HERE / f"{name}.py"), *options, f"--json={path}"]
        if self.small and name != "layer":
            command.append("--small")
        elif self.token_cache is not None and name in ("epoch", "inference", "start_up"):
            command.append(f"--token-cache={self.token_cache}")
        found = self.run(command)
        if path.exists():
            found["report"] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def tests(self, values: Mapping[str, str], *options: str) -> dict[str, Any]:
        """Runs pytest, in several processes if its plugin for that is installed."""
        command = [sys.executable, "-m", "pytest", "-q", "-o", "filterwarnings=default", *options]
        if importlib.util.find_spec("xdist"):
            command += ["-n", "2" if self.small else "8"]
        shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        return self.run(command, dict(os.environ) | shared | dict(values), _HERE.parent)


def correctness(driver: Driver) -> dict[str, Any]:
    """Runs all tests in full float32, and precision-independent ones in JAX's own precision."""
    files = [f"tests/{name}.py" for name in _TESTS[: 1 if driver.small else None]]
    precision = f"{files[0]}::test_precision_follows_jax_configuration"
    return {
        "float32": driver.tests(_FULL, *files, f"--deselect={precision}"),
        "default": driver.tests({}, files[0]),
    }


def shapes(driver: Driver) -> dict[str, Any]:
    """Compares cuDNN with scan on 200 random shapes."""
    return {"float32": driver.tests(_FULL, "-m", "exhaustive", "tests/recurrent/test_cudnn.py")}


def layer(driver: Driver) -> dict[str, Any]:
    """Runs the grid in both precisions."""
    options = ["--hidden", "128", "256", "512", "--passes", "train", "--rounds", "20"]
    if driver.small:
        sizes = ["--batch", "2", "--width", "8", "--hidden", "4", "--layers", "1"]
        options = [*sizes, "--passes", "train", "--rounds", "1"]
    return {
        "float32": driver.benchmark("layer", *options),
        "tf32": driver.benchmark("layer", *options, "--tf32"),
    }


def epoch(driver: Driver) -> dict[str, Any]:
    """Runs whole epochs: the tutorial's model, and BiLSTM 2 x 128."""
    sides = ["--sides", "ours", "torch_tutorial", "torch_padded", "torch_packed"]
    options = ["--whole", "--tf32", *sides]
    bidirectional = ["--bidirectional", "--hidden=128", "--max-length=400"]
    return {
        "tutorial": driver.benchmark("epoch", *options),
        "bidirectional": driver.benchmark("epoch", *options, *bidirectional),
    }


def run(driver: Driver) -> dict[str, Any]:
    """Runs the whole run twice: compiling everything, and with the programs of the first time."""
    if driver.small:
        flags = [*imdb_flags(made_up=driver.folder / "texts"), *_SMALL_RUN]
    else:
        flags = imdb_flags(driver.token_cache)
    home = driver.folder / "home"
    values = process_environment(home)
    values.setdefault("TFDS_DATA_DIR", str(Path("~/tensorflow_datasets").expanduser()))
    found = {}
    for name in ("first", "again"):
        workdir = driver.folder / f"run-{name}"
        command = [sys.executable, "-m", "lstm_flax", "train", *flags, f"--workdir={workdir}"]
        found[name] = driver.run(command, values, home)
        results = workdir / "results.json"
        if results.exists():
            found[name]["report"] = json.loads(results.read_text(encoding="utf-8"))
    return found


def start_up(driver: Driver) -> dict[str, Any]:
    """Times a training run's first step."""
    return {"train": driver.benchmark("start_up", "--train")}


def inference(driver: Driver) -> dict[str, Any]:
    """Compares prediction with torch."""
    return {"imdb": driver.benchmark("inference")}


def scaling(driver: Driver) -> dict[str, Any]:
    """Scales T, B, H; memory and virtual devices are measured on CPUs only."""
    return {"sizes": driver.benchmark("scaling", "--parts", "width", "batch", "hidden")}


def graphics_card() -> str:
    """Returns nvidia-smi's description of the card; empty if there is none."""
    if shutil.which("nvidia-smi") is None:
        return ""
    query = "--query-gpu=name,driver_version,memory.total"
    done = subprocess.run(["nvidia-smi", query, "--format=csv,noheader"], capture_output=True)
    return done.stdout.decode(errors="replace").strip()


def device_environment() -> dict[str, Any]:
    """Calls `environment` in a process that then exits and leaves the GPU to the steps."""
    code = "import json, measuring; print(json.dumps(measuring.environment()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_HERE, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"command": " ".join(["python", *sys.argv]), "card": graphics_card()}


def main() -> None:
    """Runs the steps in order and writes the file after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--token-cache", type=Path, help="folder of encoded splits")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS)
    parser.add_argument("--limit", type=float, default=1200, help="seconds a command may take")
    parser.add_argument("--small", action="store_true", help="tiny sizes, made-up reviews")
    parser.add_argument("--json", type=Path, default=Path("docs/results/gpu.json"))
    arguments = parser.parse_args()
    if arguments.token_cache is not None:
        arguments.token_cache = arguments.token_cache.absolute()
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    functions: dict[str, Callable[[Driver], dict[str, Any]]] = {
        step.__name__: step
        for step in (correctness, layer, run, epoch, start_up, inference, scaling, shapes)
    }
    report: dict[str, Any] = {"steps": {}}
    if arguments.json.exists():
        report = json.loads(arguments.json.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(arguments, Path(folder))
        for step in arguments.steps:
            print(f"\n===== {step}", flush=True)
            where = device_environment()
            report["steps"][step] = {"where": where, "parts": functions[step](driver)}
            write_report(arguments.json, report)
    print("\n  step and part                status   seconds")
    for step in arguments.steps:
        for part, found in report["steps"][step]["parts"].items():
            print(f"  {step + ', ' + part:28}{found['status']:7}{found['seconds']:10.1f}")


if __name__ == "__main__":
    main()
