"""The machine's peak speed: float32 and bfloat16 products of the shapes in an LSTM.

    python benchmarks/ceiling.py

The square product is the ceiling. The others are those of one bidirectional layer with E = H, B 64
and T 256: the input's product, the kernels' gradient, the inputs' gradient, and the product of one
step of the loop, the only small one. They take turns; GFLOP/s are from the median.
"""

import argparse
import statistics
from pathlib import Path

import jax
import jax.numpy as jnp
from measuring import start_report, summary, time_in_turn, write_report

from lstm_flax.devices.allocator import keep_freed_memory

ROWS, BATCH, SQUARE = 64 * 256, 64, 2048


def shapes(hidden: int) -> dict[str, tuple[int, int, int]]:
    """Returns (m, k, n) of [m, k] x [k, n] by name."""
    return {
        f"square {SQUARE}": (SQUARE, SQUARE, SQUARE),
        f"H {hidden}: input": (ROWS, hidden, 4 * hidden),
        f"H {hidden}: kernels' gradient": (2 * hidden, ROWS, 4 * hidden),
        f"H {hidden}: inputs' gradient": (ROWS, 4 * hidden, hidden),
        f"H {hidden}: step": (BATCH, hidden, 4 * hidden),
    }


def main() -> None:
    """Measures, prints the table, writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, default=Path("ceiling.json"))
    arguments = parser.parse_args()
    keep_freed_memory()
    report = start_report() | {"results": []}
    product = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
    print(f"\n  {'':26}{'dtype':>10}{'GFLOP/s':>10}")
    for name, (m, k, n) in {k: v for h in arguments.hidden for k, v in shapes(h).items()}.items():
        steps = {}
        for dtype in ("float32", "bfloat16"):
            left, right = jnp.ones((m, k), dtype), jnp.ones((k, n), dtype)
            steps[dtype] = lambda a=left, b=right: jax.block_until_ready(product(a, b))
            steps[dtype]()
        for dtype, seconds in time_in_turn(steps, arguments.rounds).items():
            speed = 2 * m * k * n / statistics.median(seconds) / 1e9
            report["results"].append(
                {"name": name, "dtype": dtype, "gflop_per_second": speed} | summary(seconds)
            )
            print(f"  {name:26}{dtype:>10}{speed:10.0f}", flush=True)
    write_report(arguments.json, report)


if __name__ == "__main__":
    main()
