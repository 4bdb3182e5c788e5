"""Makes tests/recurrent/reference/*.npz: torch's packed LSTM, GRU and RNN, gradients included.

    python scripts/make_reference_vectors.py

Needs torch (the `bench` extra). The tests compare with the arrays in every run, with or without
torch. The shapes are those of `tests/recurrent/recurrent_cases.py`; torch computes in float64 on
float32 inputs, so the arrays are accurate to float32's last digit.
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
VARIANT_SEED = 7
VARIANTS = {
    "lstm_projected": ("LSTM", {"proj_size": 2}),
    "lstm_projected_unbiased": ("LSTM", {"proj_size": 2, "use_bias": False}),
    "lstm_unbiased": ("LSTM", {"use_bias": False}),
    "gru_unbiased": ("GRU", {"use_bias": False}),
    "rnn_unbiased": ("RNN", {"use_bias": False}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}),
}


def main() -> None:
    """Writes one file per cell and seed, and one per variant; `--only` selects some of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "tests" / "recurrent" / "reference")
    parser.add_argument("--only", nargs="*", help="names of files, such as lstm_1")
    flags = parser.parse_args()
    flags.folder.mkdir(parents=True, exist_ok=True)
    cases = {
        f"{cell.lower()}_{seed}": (seed, random_case(seed, cell))
        for cell in ("LSTM", "GRU", "RNN")
        for seed in SEEDS
    }
    for name, (cell, options) in VARIANTS.items():
        cases[f"{name}_{VARIANT_SEED}"] = (VARIANT_SEED, random_case(VARIANT_SEED, cell, **options))
    for name, (seed, case) in cases.items():
        if flags.only and name not in flags.only:
            continue
        torch.manual_seed(seed)
        arrays = save_case(case) | run_torch(case, torch.float64)
        arrays["torch_version"] = np.array(torch.__version__)
        np.savez_compressed(flags.folder / f"{name}.npz", **arrays)
        print(name, case.num_layers, case.bidirectional, case.time_major, case.lengths)


if __name__ == "__main__":
    main()
