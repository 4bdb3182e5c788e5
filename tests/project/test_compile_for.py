"""The programs of `configs/imdb.py` compile for devices that nobody here has.

libtpu must not lie among the packages of a test environment: JAX would look for a TPU first.
`AOT_TPU` and `AOT_CUDA` name folders that `pip install --target` filled.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "compile_for.py"
# MiB on one device. All gates of all steps in float32, [T, B, 4H] of both directions, are 50.
MOST_TEMPORARY = {
    ("v5e", "fused"): 40,
    ("v5e", "scan"): 400,
    ("h100", "fused"): 140,
    ("h100", "scan"): 240,
}
# Kernels that a step of the fused train step's loops starts, forward and backward.
MOST_KERNELS = {"v5e": [15, 10], "h100": [13, 9]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "variable", "devices"), [("v5e", "AOT_TPU", (1, 4)), ("h100", "AOT_CUDA", (1, 2))]
)
def test_compiles_for(target: str, variable: str, devices: tuple[int, int], tmp_path: Path) -> None:
    if variable not in os.environ:
        pytest.skip(f"{variable} does not name the folder of the compiler for {target}")
    report = tmp_path / "report.json"
    command = [sys.executable, BENCHMARK, "--target", target, "--json", report]
    command += ["--devices", *map(str, devices)]
    subprocess.run(
        list(map(str, command)), check=True, env=os.environ | {"PYTHONPATH": os.environ[variable]}
    )
    rows = json.loads(report.read_text())["rows"]
    # Two programs, two implementations, two dtypes, each for one device and for several.
    assert len(rows) == 2 * 2 * 2 * 2
    for row in rows:
        assert row["temporary_mib"] <= MOST_TEMPORARY[target, row["implementation"]], row
        if (row["program"], row["implementation"]) == ("train step", "fused"):
            assert np.all(np.array(row["kernels_a_step"]) <= MOST_KERNELS[target]), row
        assert row["whole_sequences_in_loops"] == 0, row
        assert row["collectives_in_loops"] == 0, row
        expected = row["devices"] > 1 and row["program"] == "train step"
        assert (row["collectives_outside"] > 0) == expected, row


@pytest.mark.slow
def test_compiles_for_cudnn(tmp_path: Path) -> None:
    if "AOT_CUDA" not in os.environ:
        pytest.skip("AOT_CUDA does not name the folder of the compiler for h100")
    report = tmp_path / "report.json"
    command = [sys.executable, str(BENCHMARK), "--target", "h100", "--json", str(report)]
    command += ["--implementation", "cudnn", "--dtype", "float32"]
    environment = os.environ | {"PYTHONPATH": os.environ["AOT_CUDA"]}
    subprocess.run(command, check=True, env=environment)
    rows = json.loads(report.read_text())["rows"]
    assert [row["program"] for row in rows] == ["train step", "logits"]
    for row in rows:
        assert row["kernels_a_step"] == []  # the loop over time is cuDNN's own
        assert row["collectives_outside"] == 0


def test_says_which_compiler_is_missing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(BENCHMARK),
        "--target",
        "v5e",
        "--json",
        str(tmp_path / "r.json"),
    ]
    environment = os.environ | {"PYTHONPATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        pytest.skip("libtpu is installed here")
    assert "aot-tpu" in done.stderr
    assert "Traceback" not in done.stderr
