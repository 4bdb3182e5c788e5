"""One run on many devices and in many processes: the same steps, and a lost process noticed.

    python -m tests.faults.processes --folder=/tmp/processes [--parts=same,continued,lost,restored]

`same`: each number of virtual devices and of processes over loopback takes the steps that one
device takes. `continued`: two processes, stopped, then one, stopped, then four. `lost`: a process
killed or halted; when the other ended, and with which status. `restored`: what was saved on N
devices opens on M, in either precision. What was found is printed, a JSON object a line.
"""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.cli.run_files import figures, leaves
from tests.faults.small_run import ROOT, SmallRun

DEVICES, PROCESSES = (1, 2, 4, 8), (2, 4)
TOLERANCE = 1e-5  # of parameters, after 28 steps


def start(
    run: SmallRun, workdir: Path, processes: int = 1, devices: int = 1, *words: str
) -> list[subprocess.Popen[bytes]]:
    """Starts a run in so many processes of so many virtual devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(run.folder / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    started = []
    for i in range(processes):
        join = [f"--coordinator={address}", f"--num_processes={processes}", f"--process_id={i}"]
        command = [sys.executable, "-m", "lstm_flax", *run.arguments("train", workdir)]
        with workdir.with_name(f"{workdir.name}-{i}.txt").open("ab") as file:
            started.append(
                subprocess.Popen(
                    [*command, *join, "--config.training.log_interval=1", *words],
                    cwd=ROOT,
                    env=environment,
                    stdout=file,
                    stderr=file,
                )
            )
    return started


def afresh(workdir: Path) -> Path:
    """Removes what an earlier call of this command has left there: its log would mislead."""
    shutil.rmtree(workdir, ignore_errors=True)
    return workdir


def ended(processes: list[subprocess.Popen[bytes]]) -> list[int]:
    """Their statuses, when all have ended."""
    return [process.wait(timeout=900) for process in processes]


def wait_for_step(workdir: Path, step: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """Returns when a run has logged a step."""
    log = workdir / "log.jsonl"
    while not (log.exists() and f'"step": {step},' in log.read_text()):
        assert all(process.poll() is None for process in processes), "ended before that step"
        time.sleep(0.05)


def difference(one: Path, other: Path) -> dict[str, Any]:
    """The largest differences of two ended runs, of their arrays and of their logs."""
    arrays = [
        float(np.max(np.abs(np.subtract(a, b, dtype=np.float64)), initial=0))
        for kind in ("last", "best")
        for a, b in zip(leaves(one, kind), leaves(other, kind), strict=True)
    ]
    logs = list(zip(figures(one), figures(other), strict=True))
    assert [a["step"] for a, _ in logs] == [b["step"] for _, b in logs]
    losses = [abs(a["loss"] - b["loss"]) for a, b in logs if "loss" in a]
    assert max(arrays) < TOLERANCE, max(arrays)
    return {"steps": len(losses), "losses": max(losses), "arrays": max(arrays)}


def same(run: SmallRun, folder: Path) -> None:
    """Compares each number of devices and of processes with one device."""
    whole = folder / "devices_1"
    for processes, devices in [(1, n) for n in DEVICES] + [(n, 1) for n in PROCESSES]:
        name = f"devices_{devices}" if processes == 1 else f"processes_{processes}"
        statuses = ended(start(run, afresh(folder / name), processes, devices))
        assert statuses == [0] * processes, statuses
        found = difference(whole, folder / name)
        print(json.dumps({"part": "same", "run": name, **found}), flush=True)


def continued(run: SmallRun, folder: Path) -> None:
    """Two processes, then one, then four; SIGTERM reaches one of those that stop."""
    workdir = afresh(folder / "continued")
    for processes, stop in ((2, 8), (1, 17)):
        running = start(run, workdir, processes)
        wait_for_step(workdir, stop, running)
        running[-1].send_signal(signal.SIGTERM)
        statuses = ended(running)
        assert statuses == [130] * processes, statuses
    assert ended(start(run, workdir, 4)) == [0] * 4
    found = difference(folder / "devices_1", workdir)
    print(json.dumps({"part": "continued", "processes": [2, 1, 4], **found}), flush=True)


def lost(run: SmallRun, folder: Path) -> None:
    """Kills or halts one of two processes; the other ends, and the run goes on with one."""
    for which in (0, 1):
        for name, number in (("killed", signal.SIGKILL), ("halted", signal.SIGSTOP)):
            workdir = afresh(folder / f"{name}_{which}")
            running = start(run, workdir, 2, 1, "--config.training.epochs=400")
            wait_for_step(workdir, 9, running)
            began = time.monotonic()
            running[which].send_signal(number)
            status = running[1 - which].wait(timeout=120)
            seconds = time.monotonic() - began
            running[which].kill()
            printed = workdir.with_name(f"{workdir.name}-{1 - which}.txt").read_bytes()
            line = printed.decode(errors="replace").splitlines()[-1]
            found = {"process": which, "what": name, "status": status, "seconds": round(seconds, 1)}
            print(json.dumps({"part": "lost", **found, "line": line}), flush=True)
            assert seconds < 60
            assert status == 75


def restored(run: SmallRun, folder: Path) -> None:
    """Evaluates what each number of devices saved on each number of devices."""
    for devices in DEVICES:
        flags = f"--xla_force_host_platform_device_count={devices}"
        words = ["-m", "tests.faults.processes", f"--folder={folder}", "--parts=evaluated"]
        done = subprocess.run(
            [sys.executable, *words],
            env=os.environ | {"XLA_FLAGS": flags},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        print(done.stdout, end="", flush=True)
        for line in map(json.loads, done.stdout.splitlines()):
            assert line["difference"] < {"float32": 1e-5, "bfloat16": 0.05}[line["dtype"]], line


def evaluated(run: SmallRun, folder: Path) -> None:
    """Losses here of what was saved on each number of devices, against the one logged there."""
    import jax

    from lstm_flax.checkpoints.restore import build_model, load_trained_model
    from lstm_flax.evaluation.evaluate import evaluate_split

    for saved in DEVICES:
        workdir = folder / f"devices_{saved}"
        there = json.loads((workdir / "results.json").read_bytes())["loss"]
        trained = load_trained_model(workdir)
        metadata = trained.metadata
        for dtype in ("float32", "bfloat16"):
            model = dataclasses.replace(metadata.config.model, dtype=dtype)
            config = dataclasses.replace(metadata.config, model=model)
            module = build_model(config, metadata.encoder, len(metadata.label_names))
            other = dataclasses.replace(trained, model=module)
            loss = evaluate_split(other, config.data, "test", show_progress=False)["loss"]
            found = {"saved_on": saved, "opened_on": jax.device_count(), "dtype": dtype}
            print(json.dumps({"part": "restored", **found, "difference": abs(loss - there)}))


def main() -> None:
    """Runs the parts asked for."""
    parts = {f.__name__: f for f in (same, continued, lost, restored, evaluated)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--parts", default="same,continued,lost,restored")
    arguments = parser.parse_args()
    run = SmallRun.write(arguments.folder)
    for part in arguments.parts.split(","):
        parts[part](run, arguments.folder)


if __name__ == "__main__":
    main()
