"""Several processes train one run: the same batches, the same weights, one log, one stop."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.data.batching import Batcher
from lstm_flax.devices.joining import LOST_STATUS, joined, launched_together
from lstm_flax.devices.processes import is_loss
from lstm_flax.devices.sharding import data_mesh, local_rows, shared_evenly
from lstm_flax.errors import UserError
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.training.run.interruption import StopRequest
from tests.cli.run_files import figures, leaves, write_config


@pytest.mark.parametrize(
    ("variables", "together"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, False),  # a batch script, outside srun
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://a:1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://a:1"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    ],
)
def test_launchers_are_found_out_by_their_variables(
    variables: dict[str, str], together: bool
) -> None:
    assert launched_together(variables) is together
    slurm = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "a", "SLURM_PROCID": "0"}
    assert launched_together(variables | slurm | {"SLURM_NTASKS": "2"})


def test_alone_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **__: pytest.fail("joined"))
    with joined(), joined(num_processes=1), joined("a:1", 1, 0):
        assert not jax.distributed.is_initialized()
    assert not is_loss(RuntimeError("Gloo all-reduce failed"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num_processes=2", "--process_id=0"], "add --coordinator=HOST:PORT"),
        (["--process_id=1"], "add --coordinator=HOST:PORT"),
        (["--coordinator=here", "--num_processes=2"], "--coordinator=here: not HOST:PORT"),
        (["--coordinator=here:\u00b2", "--num_processes=2"], "not HOST:PORT"),
        (["--coordinator=here:99999", "--num_processes=2"], "not HOST:PORT"),
    ],
)
def test_numbers_that_do_not_fit_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["train", "--config=quickstart", f"--workdir={tmp_path / 'run'}", *arguments]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


ALONE = """
import logging, sys
from lstm_flax.devices import joining
from lstm_flax.training.run.interruption import leaving_at_once
logging.basicConfig(level=logging.INFO)
joining._JOINING = int(sys.argv[3])
with leaving_at_once(), joining.joined(sys.argv[1], 2, int(sys.argv[2])):
    pass
"""


def start_alone(process_id: int, seconds: int) -> subprocess.Popen[str]:
    """Starts one process of two, which waits so long for the other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [sys.executable, "-c", ALONE, address, str(process_id), str(seconds)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("process_id", [0, 1])
def test_others_that_never_come_are_not_waited_for_in_silence(process_id: int) -> None:
    process = start_alone(process_id, seconds=1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == LOST_STATUS, err
    assert "waiting for the other processes, at most 1 s" in err.splitlines()[0]
    assert "error: the others have not joined within 1 s" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_the_others(number: int) -> None:
    process = start_alone(0, seconds=50)
    assert process.stderr is not None
    while "Connecting to JAX" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.5)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == -number


def test_processes_that_cannot_share_a_batch_are_told_what_they_can() -> None:
    assert shared_evenly([2, 2], 12, 8) == 2
    with pytest.raises(UserError, match=r"4 processes .*; start 2 of them, .* size of 4 or 8$"):
        shared_evenly([1, 1, 1, 1], 6)
    with pytest.raises(UserError, match=r"batch_size = 64 and 2 further rows: .*; start 2 of"):
        shared_evenly([1, 1, 1, 1], 64, 2)


def test_a_process_reads_its_own_rows_alone() -> None:
    sequences = [np.arange(1, 2 + i) for i in range(5)]
    batcher = Batcher(
        TokenizedSplit.from_sequences(sequences, [1] * 5),
        batch_size=6,
        bucket_widths=(8,),
        max_length=8,
    )
    whole = batcher.make(range(5), 8)
    parts = [batcher.make(range(5), 8, rows) for rows in (slice(0, 2), slice(2, 4), slice(4, 6))]
    for name in ("token_ids", "lengths", "labels", "example_mask"):
        of_parts = [getattr(part, name)[2 * i : 2 * i + 2] for i, part in enumerate(parts)]
        np.testing.assert_array_equal(getattr(whole, name), np.concatenate(of_parts))
    assert parts[1].example_mask.tolist() == [False, False, True, True, False, False]
    assert not parts[1].token_ids[[0, 1, 4, 5]].any()
    assert local_rows(12, data_mesh(12)) == slice(0, 12)


def test_of_several_processes_one_that_is_interrupted_asks_the_others() -> None:
    steps, told = [], []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append("SIGTERM"))  # as JAX notes it
    try:
        with StopRequest(agree=lambda step: steps.append(step) or step == 3) as stop:
            signal.raise_signal(signal.SIGINT)
            assert told == ["SIGTERM"]
            assert [stop.reached(step) for step in (1, 2, 3, 4)] == [False, False, True, True]
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert steps == [1, 2, 3, 4]


ABORT = """
import os, threading
from lstm_flax.devices import joining
with joining._leaving_at_abort("JAX has given up"):
    if {within}:
        threading.Thread(target=os.abort).start()
        threading.Event().wait(60)
os.abort()
"""


@pytest.mark.parametrize(("within", "status"), [(True, 75), (False, -signal.SIGABRT)])
def test_where_jax_would_abort_a_line_and_the_status_say_so(within: bool, status: int) -> None:
    program = [sys.executable, "-c", ABORT.format(within=within)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert ended.returncode == status
    assert ("error: JAX has given up" in ended.stderr) is within


def start(number: int, command: str, *words: str, devices: int = 1) -> list[subprocess.Popen[str]]:
    """Starts so many processes of a command over loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = f"--xla_force_host_platform_device_count={devices}"
    join = ("-m", "lstm_flax", command, f"--coordinator=127.0.0.1:{port}")
    return [
        subprocess.Popen(
            [sys.executable, *join, f"--num_processes={number}", f"--process_id={i}", *words],
            env=os.environ | {"XLA_FLAGS": flags},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(number)
    ]


# 72 s on two quiet cores, and it may run out of time on busy ones: run it by hand.
@pytest.mark.exhaustive
def test_two_processes_train_the_run_of_one(
    tiny_config: Config, finished: tuple[Path, dict], tmp_path: Path
) -> None:
    words = [
        f"--config={write_config(tmp_path / 'tiny.py', tiny_config)}",
        f"--workdir={tmp_path / 'run'}",
    ]
    first, second = start(2, "train", *words)
    log = tmp_path / "run" / "log.jsonl"
    while first.poll() is None and not (log.exists() and '"step": 6' in log.read_text()):
        time.sleep(0.05)
    second.send_signal(signal.SIGTERM)
    outputs = [process.communicate(timeout=300) for process in (first, second)]
    assert [first.returncode, second.returncode] == [130, 130], outputs
    step = int(re.search(r"stopped after step (\d+); saved", outputs[0][1])[1])
    saved = [int(path.name) for path in (tmp_path / "run" / "last").iterdir()]
    assert max(saved) == step < 21
    (alone,) = start(1, "train", *words, devices=2)  # the rest in one process, on two devices
    out, err = alone.communicate(timeout=300)
    assert alone.returncode == 0, err
    results = json.loads(out.splitlines()[-1])
    for name in ("accuracy", "confusion", "checkpoint_step", "examples"):
        assert results[name] == finished[1][name]
    for ours, one in zip(figures(tmp_path / "run"), figures(finished[0]), strict=True):
        words_of = [{k: v for k, v in line.items() if isinstance(v, str)} for line in (ours, one)]
        assert ours.keys() == one.keys()
        assert words_of[0] == words_of[1]
        for name in one.keys() - words_of[1].keys():
            assert ours[name] == pytest.approx(one[name], rel=1e-4)
    for kind in ("last", "best"):
        for ours, one in zip(
            leaves(tmp_path / "run", kind), leaves(finished[0], kind), strict=True
        ):
            np.testing.assert_allclose(ours, one, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_processes_set_damaged_checkpoints_aside_together(
    tiny_config: Config, finished: tuple[Path, dict], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    (workdir / "results.json").unlink()
    for kind in ("last", "best"):
        newest = max((workdir / kind).iterdir(), key=lambda path: int(path.name))
        (newest / "encoder" / "tokenizer.model").write_bytes(b"cut off")
    config = write_config(tmp_path / "tiny.py", tiny_config)
    both = start(2, "train", f"--config={config}", f"--workdir={workdir}")
    outputs = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][1].count("is damaged") == 2
    for kind in ("last", "best"):
        assert len(list((workdir / f"{kind}-unreadable").iterdir())) == 1
    results = json.loads((workdir / "results.json").read_text())
    assert results["confusion"] == finished[1]["confusion"]
