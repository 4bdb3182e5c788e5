"""Compiles a configuration's programs for accelerators that this machine does not have.

    pip install -e '.[aot-tpu]'   # libtpu, for TPUs
    pip install -e '.[aot-cuda]'  # JAX's CUDA plugin, for GPUs
    python benchmarks/compile_for.py --target v5e h100 --devices 1 4

The train step and the logits of prediction, at the largest width of the configuration, are lowered
and compiled for a description of the target. The table shows, for each: seconds to compile; MiB of
arguments and of temporary memory per device; loops over time, and the kernels that each of their
steps launches; conversions and copies of whole sequences in a loop; collectives inside and outside
loops. Nothing is executed.

`--implementation cudnn` is for GPUs. cuDNN would ask the GPU how much memory a call needs; here a
formula answers instead, so the temporary memory is an estimate.
"""

import os

# Set before JAX is imported: it should start on the CPU and not look for a TPU on this machine.
os.environ |= {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5e-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
}

import argparse
import dataclasses
import itertools
import re
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from hlo import kernels, loop_bodies, loop_instructions, of_whole_sequences
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from measuring import environment, write_report
from train_case import whole_step

from lstm_flax.config import Config
from lstm_flax.config.files import load_config
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.models import TextClassifier, init_params
from lstm_flax.recurrent.implementations import dispatch
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.train_state import TrainState, make_key
from lstm_flax.types import Batch

_TPU = {"v5e": ("v5e:2x2", 4), "v5p": ("v5p:2x2x1", 4)}
# Answers of an H100 with 80 GB to XLA's questions about a GPU (`GpuTargetConfigProto`).
_H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  l2_cache_size: 52428800
  memory_bandwidth: 3352320000000
  device_memory_size: 84942979072
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 8 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
_GPU = {"h100": _H100}
_PROGRAMS = ("train step", "logits")
_COLLECTIVE = re.compile(
    r" (?:all-reduce|all-gather|reduce-scatter|all-to-all|collective-\w+)(?:-start)?\("
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A program and the device to compile it for.

    Attributes:
        target: `v5e`, `v5p` or `h100`.
        devices: number of devices that share a batch.
        program: `train step` or `logits`.
        implementation: implementation of the recurrent layer.
        dtype: dtype of its products.
    """

    target: str
    devices: int
    program: str
    implementation: str
    dtype: str


def described_devices(target: str, count: int) -> list[Any]:
    """Describes the given number of devices.

    Raises:
        SystemExit: their compiler is not installed, or there are not enough devices.
    """
    if target in _TPU:
        topology, there = _TPU[target]
        arguments: dict[str, Any] = {"platform": "tpu", "topology_name": topology}
        extra = "aot-tpu"
    else:
        there = count
        arguments = {
            "platform": "cuda",
            "topology": f"1x1x{count}",
            "target_config": _GPU[target],
        }
        extra = "aot-cuda"
    if count > there:
        raise SystemExit(f"{target}: describes {there} devices, not {count}")
    try:
        return list(topologies.get_topology_desc(**arguments).devices[:count])
    # What JAX raises without the compiler's package, by platform and version.
    except (RuntimeError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise SystemExit(
            f"{target}: its compiler is not here ({reason}); pip install -e '.[{extra}]'"
        ) from error


def stand_in_for_cudnn() -> None:
    """Lets a layer be lowered for cuDNN without a GPU to query.

    Raises:
        SystemExit: JAX's CUDA plugin is not installed.
    """
    from jax._src.lib import gpu_rnn

    if not hasattr(gpu_rnn, "compute_rnn_workspace_reserve_space_sizes"):
        raise SystemExit("cudnn: JAX's CUDA plugin is not here; pip install -e '.[aot-cuda]'")

    def sizes(
        inputs: int, hidden: int, layers: int, rows: int, steps: int, *_: object
    ) -> tuple[int, int]:
        """Counts float32 numbers of workspace and reserve: gates, states, outputs by direction."""
        return rows * steps * (inputs + 8 * hidden), rows * steps * layers * 2 * 6 * hidden

    gpu_rnn.compute_rnn_workspace_reserve_space_sizes = sizes
    dispatch.why_not_cudnn = lambda *_: None


def lowered(case: Case, config: Config, devices: list[Any]) -> Any:
    """Lowers the program for the devices: parameters on each, a batch's rows divided."""
    mesh = Mesh(np.asarray(devices), ("data",))
    everywhere, rows = (
        NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec("data"))
    )
    model_config = dataclasses.replace(
        config.model, implementation=case.implementation, dtype=case.dtype
    )
    features = model_config.ngram_order
    model = TextClassifier.from_config(model_config, config.tokenizer.vocab_size, 2, features)
    optimizer = make_optimizer(config.optimizer, 1000)
    size, width = config.data.batch_size, config.data.max_length

    def create() -> tuple[TrainState, MetricSums]:
        params = init_params(model, make_key(0))
        state = TrainState.create(params, optimizer, make_key(1), average=True)
        return state, MetricSums.zero()

    def shaped(tree: Any, sharding: NamedSharding) -> Any:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
        )

    ids, counts = np.zeros((size, width), np.int32), np.ones(size, np.int32)
    token_features = np.zeros((size, width, features), np.float32) if features else None
    batch = Batch(ids, counts, counts, np.ones(size, bool), token_features)
    tree, batch = shaped(jax.eval_shape(create), everywhere), shaped(batch, rows)
    if case.program == "train step":
        step = jax.jit(whole_step(model, optimizer, config.training), donate_argnums=0)
        return step.lower(tree, batch)
    logits = jax.jit(
        lambda params, batch: model.apply(
            {"params": params}, batch.token_ids, batch.lengths, batch.token_features
        )
    )
    return logits.lower(tree[0].params, batch)


def measure(case: Case, config: Config) -> dict[str, Any]:
    """Measures one row of the table."""
    if case.implementation == "cudnn":
        stand_in_for_cudnn()
    program = lowered(case, config, described_devices(case.target, case.devices))
    start = time.perf_counter()
    compiled = program.compile()
    seconds = time.perf_counter() - start
    memory, hlo = compiled.memory_analysis(), compiled.as_text()
    inside = loop_instructions(hlo)
    in_loops = sum(bool(_COLLECTIVE.search(line)) for line in inside)
    return dataclasses.asdict(case) | {
        "compile_seconds": round(seconds, 2),
        "argument_mib": round(memory.argument_size_in_bytes / 2**20, 1),
        "temporary_mib": round(memory.temp_size_in_bytes / 2**20, 1),
        "kernels_a_step": [count for count in map(kernels, loop_bodies(hlo)) if count > 1],
        "whole_sequences_in_loops": len(of_whole_sequences(inside, config.data.max_length)),
        "collectives_in_loops": in_loops,
        "collectives_outside": len(_COLLECTIVE.findall(hlo)) - in_loops,
    }


def print_row(row: dict[str, Any]) -> None:
    """Prints one row of the table."""
    name = f"{row['target']} x {row['devices']}"
    steps = " + ".join(map(str, row["kernels_a_step"]))
    print(
        f"{name:10}{row['program']:12}{row['implementation']:8}{row['dtype']:10}"
        f"{row['compile_seconds']:9.1f}{row['argument_mib']:11.1f}{row['temporary_mib']:11.1f}"
        f"{steps:>20}{row['whole_sequences_in_loops']:8}"
        f"{row['collectives_in_loops']:10}{row['collectives_outside']:9}",
        flush=True,
    )


def main() -> None:
    """Compiles every combination, prints the table, writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", nargs="+", default=["v5e"], choices=[*_TPU, *_GPU])
    parser.add_argument("--devices", type=int, nargs="+", default=[1])
    parser.add_argument("--config", default="imdb")
    parser.add_argument("--program", nargs="+", default=list(_PROGRAMS), choices=_PROGRAMS)
    parser.add_argument("--implementation", nargs="+", default=["fused", "scan"])
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--json", type=Path, default=Path("compile_for.json"))
    arguments = parser.parse_args()
    config = Config.from_config_dict(load_config(arguments.config, []))
    report = environment() | {"config": arguments.config, "rows": []}
    print(
        f"{'':10}{'':12}{'':8}{'':10}{'compile':>9}{'arguments':>11}{'temporary':>11}"
        f"{'kernels':>20}{'whole':>8}{'collectives':>19}\n"
        f"{'':40}{'s':>9}{'MiB':>11}{'MiB':>11}{'a step':>20}{'arrays':>8}{'in loops':>10}"
        f"{'outside':>9}"
    )
    axes: tuple[Any, ...] = (
        arguments.target,
        arguments.devices,
        arguments.program,
        arguments.implementation,
        arguments.dtype,
    )
    for point in itertools.product(*axes):
        row = measure(Case(*point), config)
        print_row(row)
        report["rows"].append(row)
        write_report(arguments.json, report)


if __name__ == "__main__":
    main()
