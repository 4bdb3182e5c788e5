"""Shared by the benchmarks: taking turns, medians with spread, and reports with environment."""

import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

HAS_TORCH = importlib.util.find_spec("torch") is not None


def environment() -> dict[str, Any]:
    """Returns command, date, device and versions."""
    versions = {"python": platform.python_version()}
    for name in ("lstm-flax", "jax", "jaxlib", "flax", "optax", "torch", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    device = jax.devices()[0]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "command": " ".join(["python", *sys.argv]),
        "load_at_start": load,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": f"{device.platform}: {device.device_kind}",
        "machine": f"{platform.machine()}, {usable_cores()} cores",
        "versions": versions,
    }


def usable_cores() -> int:
    """Counts the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_report(torch_threads: int = 0, **settings: Any) -> dict[str, Any]:
    """Starts a report and prints its head.

    Args:
        torch_threads: number of torch threads; 0 for one per core, as JAX does.
        settings: settings to record in the report.
    """
    report = environment() | settings
    print(f"{report['device']}, {report['machine']}, {report['versions']}")
    if (report["load_at_start"] or 0.0) > 0.5:
        print(
            f"the machine is busy (load {report['load_at_start']:.1f}): torch suffers most from it"
        )
    if HAS_TORCH:
        import torch

        torch.set_num_threads(torch_threads or usable_cores())
        report["torch_threads"] = torch.get_num_threads()
    else:
        print("torch is not installed: its rows are left out (pip install torch)")
    return report


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Writes a JSON file under a temporary name, then renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def torch_device() -> str:
    """Returns the device for torch: the same as JAX's."""
    import torch

    return "cuda" if torch.cuda.is_available() and jax.default_backend() == "gpu" else "cpu"


def set_precision(full_float32: bool) -> None:
    """Sets float32 products on a GPU to full precision or TensorFloat-32, on both sides."""
    jax.config.update(
        "jax_default_matmul_precision", "highest" if full_float32 else "tensorfloat32"
    )
    if HAS_TORCH:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = not full_float32
        torch.backends.cudnn.allow_tf32 = not full_float32


def seconds_of(action: Callable[[], Any]) -> float:
    """Times one call after a pause: the other library's threads spin before they sleep."""
    time.sleep(0.05)
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def time_in_turn(actions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Times each action once per round, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            seconds[name].append(seconds_of(action))
    return seconds


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Computes the median and spread of some times."""
    return {
        "median_seconds": statistics.median(seconds),
        "fastest_seconds": min(seconds),
        "slowest_seconds": max(seconds),
        "times": len(seconds),
    }
