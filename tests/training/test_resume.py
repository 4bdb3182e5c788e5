"""A run that goes on: killed, stopped, damaged, changed; bit for bit, or refused."""

import errno
import logging
import math
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from lstm_flax.checkpoints import manifest
from lstm_flax.checkpoints.finding import find_checkpoints
from lstm_flax.checkpoints.folder import holds_checkpoint
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config
from lstm_flax.devices.compilation import BucketedFunction
from lstm_flax.devices.sharding import data_mesh, warn_of_idle_devices
from lstm_flax.errors import UserError
from lstm_flax.training.run.interruption import Interrupted
from lstm_flax.training.run.loop import Run
from lstm_flax.training.tasks.classifier import ClassifierTask
from lstm_flax.training.train import train
from tests.cli.run_files import figures, leaves
from tests.conftest import templated_texts, write_jsonl
from tests.training.step_cases import changed


def test_killed_and_continued_equals_uninterrupted_bit_for_bit(
    tiny_config: Config,
    finished: tuple[Path, dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, _ = finished
    check = Run._check_finite

    def killed(self: Run) -> None:
        check(self)
        if self.step == 12:  # in the middle of the second epoch, before the save
            raise MemoryError("the machine died")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_check_finite", killed)
        with pytest.raises(MemoryError):
            train(tiny_config, tmp_path, show_progress=False)
    saved = max(int(path.name) for path in (tmp_path / "last").iterdir())
    assert saved == 8  # between two lines of the log
    train(tiny_config, tmp_path, show_progress=False)
    for kind in ("last", "best"):
        for a, b in zip(leaves(whole, kind), leaves(tmp_path, kind), strict=True):
            np.testing.assert_array_equal(a, b)
    assert figures(whole) == figures(tmp_path)


def test_stopping_saves_and_the_same_command_continues(
    tiny_config: Config,
    finished: tuple[Path, dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = Run._check_finite
    with monkeypatch.context() as patch:

        def stop_soon(self: Run) -> None:
            check(self)
            if self.step == 4:
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(Run, "_check_finite", stop_soon)
        with pytest.raises(Interrupted, match="saved"):
            train(tiny_config, tmp_path, show_progress=False)
    train(tiny_config, tmp_path, show_progress=False)
    assert figures(finished[0]) == figures(tmp_path)


def test_a_folder_given_by_a_relative_path_continues(
    tiny_config: Config,
    finished: tuple[Path, dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    shutil.copytree(finished[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    results = train(tiny_config, Path("copy"), "development", show_progress=False)
    assert results["accuracy"] == finished[1]["development_accuracy"]
    assert caplog.text == ""
    assert not Path("copy/last-unreadable").exists()


def test_one_bit_is_enough_to_fall_back_to_the_checkpoint_before(
    tiny_config: Config, finished: tuple[Path, dict], tmp_path: Path, caplog: Any
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    folder, (newest, before) = find_checkpoints(workdir, "last")
    folder.close()
    chunk = max(
        (workdir / "last" / str(newest) / "training").rglob("d/*"), key=lambda p: p.stat().st_size
    )
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 1  # in the optimizer's moments, most likely
    chunk.write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        train(tiny_config, workdir, show_progress=False)
    assert f"step {newest} is damaged (training/" in caplog.text
    assert (workdir / "last-unreadable" / str(newest)).exists()
    assert not (workdir / "last-unreadable" / str(before)).exists()
    chunk.write_bytes(damaged)  # again, of the checkpoint saved in its place
    (workdir / "last" / str(newest) / "metadata" / "metadata").write_text("{}")
    train(tiny_config, workdir, show_progress=False)
    aside = {path.name for path in (workdir / "last-unreadable").iterdir()}
    assert aside == {str(newest), f"{newest}-2"}
    for a, b in zip(leaves(finished[0]), leaves(workdir), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_of_damaged_checkpoints_does_not_start_afresh(
    tiny_config: Config, finished: tuple[Path, dict], tmp_path: Path
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    for listing in workdir.glob("last/*/training/_METADATA"):
        listing.unlink()
    with pytest.raises(UserError, match="no checkpoint can be read"):
        train(tiny_config, workdir, show_progress=False)


def test_another_tree_of_arrays_is_told_as_what_it_is_and_moves_nothing(
    tiny_config: Config,
    finished: tuple[Path, dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(finished[0], tmp_path / "copy")
    there = sorted(path.name for path in (tmp_path / "copy" / "last").iterdir())
    make = ClassifierTask.make_optimizer
    monkeypatch.setattr(  # as an upgrade of Optax might
        ClassifierTask,
        "make_optimizer",
        lambda self, steps: optax.chain(make(self, steps), optax.trace(0.9)),
    )
    with pytest.raises(
        UserError, match=r"last/21/training: not the arrays wanted here: .*opt_state"
    ):
        train(tiny_config, tmp_path / "copy", show_progress=False)
    assert sorted(path.name for path in (tmp_path / "copy" / "last").iterdir()) == there
    assert not (tmp_path / "copy" / "last-unreadable").exists()


def test_more_epochs_under_a_constant_rate_continue(
    brief_config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(brief_config, tmp_path / "grown", show_progress=False)
    longer = changed(brief_config, training={"epochs": 2})
    caplog.set_level("INFO")
    train(longer, tmp_path / "grown", show_progress=False)
    assert "grown: continues after step 7 of 14" in caplog.text
    train(longer, tmp_path / "whole", show_progress=False)
    for a, b in zip(leaves(tmp_path / "whole"), leaves(tmp_path / "grown"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_changed_data_is_refused_and_nothing_is_moved(brief_config: Config, tmp_path: Path) -> None:
    records = templated_texts(60, seed=8)
    path = write_jsonl(tmp_path / "train.jsonl", records)
    fields = {"train_path": str(path), "development_path": None, "test_path": None}
    config = changed(brief_config, data=fields)
    train(config, tmp_path / "run", show_progress=False)
    records[0]["label"], records[1]["label"] = records[1]["label"], records[0]["label"]
    write_jsonl(path, records)
    with pytest.raises(UserError, match="other data"):
        train(config, tmp_path / "run", show_progress=False)
    assert holds_checkpoint(tmp_path / "run" / "last")


def test_fewer_epochs_than_taken_are_refused(brief_config: Config, tmp_path: Path) -> None:
    train(changed(brief_config, training={"epochs": 2}), tmp_path, show_progress=False)
    with pytest.raises(UserError, match=r"training\.epochs = 1: .*; raise it and"):
        train(brief_config, tmp_path, show_progress=False)


def test_reading_a_run_leaves_a_save_in_progress_alone(
    finished: tuple[Path, dict], tmp_path: Path
) -> None:
    shutil.copytree(finished[0], tmp_path / "run")
    unfinished = tmp_path / "run" / "last" / "99.orbax-checkpoint-tmp"
    unfinished.mkdir()
    load_trained_model(tmp_path / "run", "last")
    assert unfinished.is_dir()


def test_a_stop_while_compiling_takes_no_step(
    brief_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    compile, handler = BucketedFunction.compile, signal.getsignal(signal.SIGINT)

    def compile_and_stop(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        compile(*arguments)

    monkeypatch.setattr(BucketedFunction, "compile", compile_and_stop)
    with pytest.raises(Interrupted, match="stopped at step 0, before a further one was taken"):
        train(brief_config, tmp_path, show_progress=False)
    assert "stopping as soon as this step or compilation is done" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.undo()
    assert train(brief_config, tmp_path, show_progress=False)["train_steps"] == 7


def test_a_checkpoint_that_cannot_be_read_now_stays_where_it_is(
    tiny_config: Config,
    finished: tuple[Path, dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    there = sorted(path.name for path in workdir.rglob("*"))

    def refuse(_: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", "params")

    monkeypatch.setattr(manifest, "_sha256", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(.*Permission denied.*; check its perm"):
        train(tiny_config, workdir, show_progress=False)
    assert sorted(path.name for path in workdir.rglob("*")) == there


def test_more_devices_than_divide_a_batch_stand_idle(caplog: pytest.LogCaptureFixture) -> None:
    mesh = data_mesh(6, 4)
    assert mesh.size == math.gcd(6, 4, jax.device_count())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "device_count", lambda: 4)
        warn_of_idle_devices(6, 2)
        warn_of_idle_devices(8, 4)
    (line,) = caplog.messages
    assert "batch_size = 6: 4 devices cannot share it evenly, 2 of them do" in line
    assert line.endswith("may take 4 or 8")
