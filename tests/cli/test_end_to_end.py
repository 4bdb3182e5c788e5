"""The commands as a person types them: train, kill, continue, evaluate a copy, predict."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lstm_flax.checkpoints.folder import holds_checkpoint
from lstm_flax.cli import main
from lstm_flax.config import Config
from tests.cli.run_files import figures, leaves, write_config
from tests.training.step_cases import changed

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "train",
    "evaluate",
    "inspect",
    "prepare",
    "baselines",
    "report",
    "predict",
    "explain",
    "export",
    "serve",
    "generate",
    "fields",
)
SIZES = {"train": 100, "development": 30, "test": 37}


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess:
    """Runs `python -m lstm_flax` in a fresh process."""
    return subprocess.run(
        [sys.executable, "-m", "lstm_flax", *arguments], capture_output=True, timeout=300, **options
    )


@pytest.fixture(scope="module")
def config_file(brief_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The brief run, for two epochs, as a configuration file."""
    config = changed(brief_config, training={"epochs": 2})
    return write_config(tmp_path_factory.mktemp("config") / "tiny.py", config)


@pytest.fixture(scope="module")
def run(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A run trained by train.py, and the last line it printed."""
    workdir = tmp_path_factory.mktemp("run")
    done = subprocess.run(
        [sys.executable, "train.py", f"--config={config_file}", f"--workdir={workdir}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return workdir, json.loads(done.stdout.splitlines()[-1])


def test_train_prints_and_keeps_its_results(run: tuple[Path, dict]) -> None:
    workdir, results = run
    assert json.loads((workdir / "results.json").read_text()) == results
    expected = {"split", "examples", "accuracy", "loss", "checkpoint_step", "seconds"}
    assert expected | {"train_steps", "compilations", "device", "versions"} <= set(results)


def test_a_copy_of_the_checkpoint_elsewhere_scores_the_same_to_the_last_digit(
    run: tuple[Path, dict], tmp_path: Path
) -> None:
    workdir, results = run
    shutil.copytree(workdir / "best", tmp_path / "copied")
    data = f"--config={workdir / 'config.json'}"
    done = command("evaluate", f"--workdir={tmp_path / 'copied'}", data, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout.splitlines()[-1])
    for figure in ("accuracy", "loss", "examples", "confusion"):
        assert again[figure] == results[figure]
    (one,) = (path for path in (tmp_path / "copied").iterdir() if path.name.isdigit())
    mode = ["train.py", "--mode=evaluate", f"--workdir={one}", "--split=development", data]
    done = subprocess.run([sys.executable, *mode], cwd=ROOT, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    accuracy = json.loads(done.stdout.splitlines()[-1])["accuracy"]
    assert accuracy == results["development_accuracy"]


def test_predict_answers_from_arguments_file_and_standard_input(
    run: tuple[Path, dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["a superb story, moving and warm", "dull and hollow – awful 🎬"]
    workdir = f"--workdir={run[0]}"
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    outputs = []
    for arguments in (texts, [f"--file={tmp_path / 'texts.txt'}"]):
        assert main(["predict", workdir, *arguments]) == 0
        outputs.append(capsys.readouterr().out.encode())
    outputs.append(command("predict", workdir, input="\n".join(texts).encode()).stdout)
    assert outputs[0] == outputs[1] == outputs[2]
    records = [json.loads(line) for line in outputs[0].splitlines()]
    assert [record["text"] for record in records] == texts
    assert [record["label"] for record in records] == ["pos", "neg"]
    for record in records:
        assert set(record["probabilities"]) == {"neg", "pos"}
        assert sum(record["probabilities"].values()) == pytest.approx(1)


def test_predict_reports_bad_lines_in_their_place(run: tuple[Path, dict]) -> None:
    lines = b"a superb story\n\n\xff\xfe broken\ndull and hollow\n   \n"
    done = command("predict", f"--workdir={run[0]}", input=lines)
    assert done.returncode == 2
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in record for record in records] == [False, True, True, False, True]
    assert "line 2 is empty" in records[1]["error"]
    assert "line 3 is not UTF-8" in records[2]["error"]
    assert "line 5 is empty" in records[4]["error"]


def test_predict_answers_a_slow_pipe_line_by_line(run: tuple[Path, dict]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_flax", "predict", f"--workdir={run[0]}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for text in ("a superb story", "dull and hollow"):
        process.stdin.write(f"{text}\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == text  # before the next is written
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    process.stdout.close()


def test_predict_ends_quietly_when_its_reader_leaves(run: tuple[Path, dict]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_flax", "predict", f"--workdir={run[0]}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b"a superb story\n")
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write(b"dull and hollow\n")
    process.stdin.flush()
    assert process.wait(timeout=60) == 1  # though its standard input is open still
    lines = process.stderr.read().decode().splitlines()
    assert [line for line in lines if not line.startswith("INFO: ")] == []
    process.stdin.close()
    process.stderr.close()


def test_inspect_and_prepare_tell_of_every_split(config_file: Path, tmp_path: Path) -> None:
    cache = f"--config.data.cache_dir={tmp_path}"
    done = command("inspect", f"--config={config_file}", cache, text=True)
    assert done.returncode == 0, done.stderr
    assert "train: 100 texts; neg 50, pos 50" in done.stdout
    figures = json.loads(done.stdout.splitlines()[-1])
    assert {name: s["examples"] for name, s in figures["splits"].items()} == SIZES
    done = command("prepare", f"--config={config_file}", cache, text=True)
    prepared = json.loads(done.stdout.splitlines()[-1])
    assert prepared["splits"] == SIZES
    assert {path.name for path in Path(prepared["folder"]).iterdir() if path.is_dir()} == set(SIZES)


def test_kill_minus_nine_and_the_same_command_again(
    config_file: Path, tmp_path: Path, run: tuple[Path, dict]
) -> None:
    arguments = ["train", f"--config={config_file}", f"--workdir={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_flax", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not holds_checkpoint(tmp_path / "last") and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert holds_checkpoint(tmp_path / "last")
    assert not (tmp_path / "results.json").exists()
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout.splitlines()[-1])
    for figure in ("accuracy", "loss", "development_accuracy", "checkpoint_step"):
        assert again[figure] == run[1][figure]
    assert figures(tmp_path) == figures(run[0])
    for kind in ("last", "best"):
        for a, b in zip(leaves(run[0], kind), leaves(tmp_path, kind), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_checkpoint_of_two_devices_opens_on_one(
    config_file: Path, tmp_path: Path, run: tuple[Path, dict]
) -> None:
    two = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = command("train", f"--config={config_file}", f"--workdir={tmp_path}", env=two)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["device"] == "2 x cpu"
    assert results["loss"] == pytest.approx(run[1]["loss"], rel=0.05)
    done = command("evaluate", f"--workdir={tmp_path}", f"--config={tmp_path / 'config.json'}")
    again = json.loads(done.stdout.splitlines()[-1])
    assert again["device"] == "1 x cpu"
    assert again["accuracy"] == results["accuracy"]
    assert again["loss"] == pytest.approx(results["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--config=nowhere", "--workdir=x"], "built in are"),
        (["train", "--config=imdb", "--workdir=x", "--config.model.hiden=3"], "hiden"),
        (["train", "--config=imdb", "--workdir=x", "--config.model.hidden_size=0"], "hidden_size"),
        (["train", "--config=imdb", "--workdir=x", "--bogus=3"], "--bogus"),
        (["evaluate", "--workdir=nowhere"], "no checkpoint"),
        (["train"], "required: --workdir; `lstm-flax train --help`"),
        (["trian"], "invalid choice: 'trian'"),
        (["evaluate", "--workdir=x", "--split=all"], "argument --split: invalid choice: 'all'"),
        (["predict", "--workdir=x", "-dull"], "texts that begin with - go after --"),
        (["evaluate", "runs/x"], "a run is named with --workdir=DIR"),
        (["generate", "runs/x", "more"], "it is one too many"),
    ],
)
def test_a_mistake_is_one_line_and_status_two(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = command(*arguments, cwd=tmp_path, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_without_a_command_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    for name in COMMANDS:
        assert re.search(rf"^    {name}\b", printed.err, re.MULTILINE)


def test_version_and_help() -> None:
    assert command("--version", text=True).stdout.startswith("lstm-flax ")
    for name in COMMANDS:
        shown = command(name, "--help", text=True).stdout
        assert "example" in shown
        assert f"  lstm-flax {name} " in shown
        assert "next:\n  " in shown


def test_help_comes_without_jax() -> None:
    code = (
        "import sys; from lstm_flax.cli import main\n"
        "try: main(['train', '--help'])\n"
        "finally: assert not {'jax', 'flax', 'ml_collections'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage: lstm-flax train" in done.stdout
