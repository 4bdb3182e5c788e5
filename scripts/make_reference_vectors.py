"""Makes tests/recurrent/reference/*.npz: torch's packed LSTM, GRU and RNN, gradients included.

    python scripts/make_reference_vectors.py

Needs torch (the `bench` extra). The tests compare with the arrays in every run, torch or not. The
shapes are those of `tests/recurrent/recurrent_cases.py`; torch computes in float64 on float32
inputs, so that the arrays hold its values to float32's last digit.
"""

import argparse
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

# The checkout's own `tests` must be on the path before it is imported: hence E402.
import numpy as np  # noqa: E402

from tests.recurrent.recurrent_cases import random_case  # noqa: E402
from tests.recurrent.torch_reference import run_torch, save_case  # noqa: E402

SEEDS = (1, 3, 7, 11)  # of `random_case`: one to three layers, one and two directions


def main() -> None:
    """Writes one file a cell and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "tests" / "reference")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for cell in ("LSTM", "GRU", "RNN"):
        for seed in SEEDS:
            case = random_case(seed, cell)
            torch.manual_seed(seed)
            arrays = save_case(case) | run_torch(case, torch.float64)
            arrays["torch_version"] = np.array(torch.__version__)
            np.savez_compressed(folder / f"{cell.lower()}_{seed}.npz", **arrays)
            print(cell, seed, case.num_layers, case.bidirectional, case.time_major, case.lengths)


if __name__ == "__main__":
    main()
