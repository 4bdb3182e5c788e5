"""Compares the recurrent layer with Flax's and torch's: forward, and forward with backward.

    python benchmarks/layer.py                                    # what docs/performance.md shows
    python benchmarks/layer.py --batch 16 64 --width 128 1024 --hidden 256 --dtype bfloat16

Every candidate computes the same layer with the same weights on the same batch. Results are
compared before anything is timed; then the candidates take turns, round by round, so other load on
the machine affects all alike. Prints a table and writes a JSON file. The first layer's inputs are
as wide as the hidden state, and lengths fill the last quarter of the width, like those of a length
bucket.

Candidates: `scan`, `fused`, `cudnn` (if it can run) of `lstm_flax.LSTM`; `flax`, a stack of
`nn.Bidirectional` or `nn.RNN` over `nn.OptimizedLSTMCell`; `torch_padded`, `torch.nn.LSTM` on the
padded batch; `torch_packed`, the same on packed rows. Without torch, its two are left out.
"""

import argparse
import dataclasses
import itertools
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from layer_sides import Batch, Setting, Step, candidates, make_batch
from measuring import (
    set_precision,
    start_report,
    summary,
    time_in_turn,
    write_report,
)

from lstm_flax.devices.allocator import keep_freed_memory

# Relative to the largest entry. TensorFloat-32 keeps 11 bits of a product's operands.
TOLERANCE = {"float32": 1e-4, "tf32": 0.05, "bfloat16": 0.1}


def compare(
    setting: Setting, batch: Batch, steps: dict[str, Step], tolerance: float
) -> dict[str, float]:
    """Computes each candidate's largest difference from the first, relative to the largest entry.

    Padding is left out. `torch_padded` is not compared if its backward direction starts in the
    padding; `torch_packed` stands for it.

    Raises:
        SystemExit: a candidate computes something else.
    """
    mask = (np.arange(setting.width) < batch.lengths[:, None])[..., None]
    reference: list[np.ndarray] = []
    differences = {}
    for name, step in steps.items():
        if name == "torch_padded" and setting.directions == 2:
            step()
            continue
        result = step()
        arrays = [
            np.where(mask, to_numpy(array), 0.0)
            for array in (result if isinstance(result, tuple) else (result,))
        ]
        reference = reference or arrays
        pairs = zip(arrays, reference, strict=True)
        difference = max(float(np.abs(a - r).max() / np.abs(r).max()) for a, r in pairs)
        if not difference <= tolerance:
            raise SystemExit(f"{name} differs by {difference:.1e} of the largest entry: {setting}")
        differences[name] = difference
    return differences


def to_numpy(array: Any) -> np.ndarray:
    """Converts a JAX or torch array to a float32 numpy array."""
    if hasattr(array, "detach"):
        return array.detach().float().cpu().numpy()
    return np.asarray(array, np.float32)


def matmul_step(dtype: str, size: int = 2048) -> Step:
    """Makes a square product, the machine's peak speed: 2 size^3 operations."""
    matrix = jax.random.normal(jax.random.key(0), (size, size), jnp.dtype(dtype))
    product = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(product(matrix, matrix))


def measure(
    setting: Setting, names: Sequence[str], rounds: int, train: bool, tf32: bool
) -> dict[str, Any]:
    """Measures one group of table rows, in the form of the JSON file."""
    batch = make_batch(setting)
    steps = candidates(setting, batch, names, train)
    kind = "tf32" if tf32 and setting.dtype == "float32" else setting.dtype
    differences = compare(setting, batch, steps, TOLERANCE[kind])
    ceiling_step = matmul_step(setting.dtype)
    ceiling_step()
    seconds = time_in_turn(steps | {"matmul_2048": ceiling_step}, rounds)
    ceiling = 2 * 2048**3 / statistics.median(seconds.pop("matmul_2048"))
    results: dict[str, dict[str, Any]] = {}
    for name, times in seconds.items():
        results[name] = summary(times)
        median = results[name]["median_seconds"]
        results[name] |= {
            "gflop_per_second": setting.flops(train) / median / 1e9,
            "part_of_ceiling": setting.flops(train) / median / ceiling,
            "difference": differences.get(name),
        }
    return {
        "setting": dataclasses.asdict(setting),
        "pass": "forward+backward" if train else "forward",
        "ceiling_gflop_per_second": ceiling / 1e9,
        "candidates": results,
    }


def print_rows(result: dict[str, Any]) -> None:
    """Prints the rows of one setting; ratios are to our fastest."""
    setting = Setting(**result["setting"])
    print(
        f"\n{result['pass']}: B {setting.batch}, T {setting.width}, E = H = {setting.hidden}, "
        f"L {setting.layers}, D {setting.directions}, {setting.dtype}; "
        f"ceiling {result['ceiling_gflop_per_second']:.0f} GFLOP/s"
    )
    rows = result["candidates"]
    best = min(
        (row["median_seconds"] for name, row in rows.items() if name in ("scan", "fused", "cudnn")),
        default=float("nan"),
    )
    print(
        f"  {'':14}{'median ms':>11}{'spread ms':>19}{'x ours':>8}{'of ceiling':>12}{'differs':>10}"
    )
    for name, row in rows.items():
        spread = f"{row['fastest_seconds'] * 1e3:.1f} - {row['slowest_seconds'] * 1e3:.1f}"
        difference = "" if row["difference"] is None else f"{row['difference']:.0e}"
        print(
            f"  {name:14}{row['median_seconds'] * 1e3:11.1f}{spread:>19}"
            f"{row['median_seconds'] / best:8.2f}{row['part_of_ceiling']:12.0%}{difference:>10}",
            flush=True,
        )


def grid(arguments: argparse.Namespace) -> Iterator[Setting]:
    """Yields all requested combinations."""
    axes = (arguments.batch, arguments.width, arguments.hidden, arguments.layers)
    for point in itertools.product(*axes, arguments.directions, arguments.dtype):
        yield Setting(*point)


def main() -> None:
    """Measures the grid, prints the table, writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("batch", [64]), ("width", [256]), ("hidden", [128, 256])):
        parser.add_argument(f"--{name}", type=int, nargs="+", default=default)
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--directions", type=int, nargs="+", default=[2], choices=(1, 2))
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passes", nargs="+", default=["forward", "train"])
    known = ["scan", "fused", "cudnn", "flax", "torch_packed", "torch_padded"]
    parser.add_argument("--candidates", nargs="+", default=known, choices=known)
    parser.add_argument(
        "--keep-freed-memory",
        action="store_true",
        help="the C allocator as `lstm-flax train` sets it, for every candidate",
    )
    parser.add_argument(
        "--tf32",
        action="store_true",
        help="TensorFloat-32 on both sides instead of full float32; makes a difference on a GPU",
    )
    parser.add_argument("--json", type=Path, default=Path("layer.json"))
    arguments = parser.parse_args()
    if arguments.keep_freed_memory:
        keep_freed_memory()
    set_precision(full_float32=not arguments.tf32)
    report = start_report(keep_freed_memory=arguments.keep_freed_memory, tf32=arguments.tf32)
    report["results"] = []
    for setting in grid(arguments):
        for name in arguments.passes:
            result = measure(
                setting, arguments.candidates, arguments.rounds, name == "train", arguments.tf32
            )
            print_rows(result)
            report["results"].append(result)
            write_report(arguments.json, report)


if __name__ == "__main__":
    main()
