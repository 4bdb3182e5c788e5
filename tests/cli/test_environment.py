"""Commands under unusual environments: the right answer, or one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from lstm_flax.cli import main
from lstm_flax.cli.arguments import given_path
from lstm_flax.devices.settings import prepare_jax
from lstm_flax.errors import UserError


def predict(text: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "lstm_flax", "predict", text],
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
    )


def test_an_output_that_is_not_utf_8_and_strict_settings_of_jax() -> None:
    done = predict(
        "a superb \u6620 \U0001f600",
        PYTHONIOENCODING="ascii",
        JAX_NUMPY_RANK_PROMOTION="raise",
        JAX_NUMPY_DTYPE_PROMOTION="strict",
        JAX_DISABLE_JIT="1",
        JAX_NO_TRACING="1",
        JAX_TRANSFER_GUARD="disallow",
    )
    assert done.returncode == 0, done.stderr
    assert b"\\u6620 \\ud83d\\ude00" in done.stdout
    assert json.loads(done.stdout)["text"] == "a superb \u6620 \U0001f600"


def test_standard_output_or_standard_error_closed() -> None:
    def run(words: str) -> subprocess.CompletedProcess[bytes]:
        command = f"exec {sys.executable} -m lstm_flax {words}"
        return subprocess.run(["sh", "-c", command], capture_output=True, timeout=120)

    for words in ("predict text", "fields", "--help"):
        done = run(f"{words} >&-")
        assert done.returncode == 2
        assert done.stderr.startswith(b"error: standard output is closed;")
        assert done.stderr.count(b"\n") == 1
    for words, status in (("fields dropout", 0), ("fields nothing-like-it", 2)):
        done = run(f"{words} 2>&-")
        assert done.returncode == status
        assert b"error:" not in done.stdout
        assert bool(done.stdout) == (status == 0)


def test_a_device_that_is_not_there() -> None:
    done = predict("a superb film", JAX_PLATFORMS="rocm")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"error: JAX_PLATFORMS=rocm: JAX finds no such device" in done.stderr


@pytest.mark.parametrize(
    "name", ["JAX_ENABLE_X64", "JAX_DEFAULT_PRNG_IMPL", "JAX_DEFAULT_DEVICE", "TQDM_NCOLS"]
)
def test_a_setting_of_jax_or_tqdm_that_is_not_valid(name: str) -> None:
    done = predict("a superb film", **{name: "bogus"})
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert f"error: {name}: ".encode() in done.stderr


def test_64_bits() -> None:
    done = predict("a superb film", JAX_ENABLE_X64="1")
    assert (done.returncode, json.loads(done.stdout)["label"]) == (0, "pos")


def test_no_device_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices() -> None:  # what JAX does where it has no plug-in for the platform named
        raise AssertionError

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(UserError, match="JAX_PLATFORMS=cuda: JAX finds no such device"):
        prepare_jax()


def test_no_device_of_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices() -> None:
        raise RuntimeError("Could not determine process_index for this process")

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "0")
    with pytest.raises(UserError, match=r"^JAX_NUM_CPU_DEVICES=0: JAX finds no such device"):
        prepare_jax()


@pytest.mark.parametrize("words", [["predict", "text"], ["explain", "text"]])
def test_memory_that_runs_out(
    words: list[str], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr("lstm_flax.devices.settings.prepare_jax", fail)
    assert main(words) == 2
    assert "out of memory (RESOURCE_EXHAUSTED" in capsys.readouterr().err.splitlines()[-1]


def test_a_home_folder_is_written_as_a_tilde(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("~/runs/a") == tmp_path / "runs" / "a"
