"""The step and the run: learning, masks, compilations, resume, selection, stopping."""

import dataclasses
import json
import logging
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.config import Config
from lstm_flax.data.dataset import Dataset, open_dataset
from lstm_flax.errors import UserError
from lstm_flax.training.checkpoints import CheckpointFolder, holds_checkpoint
from lstm_flax.training.initial import take_params
from lstm_flax.training.interruption import Interrupted
from lstm_flax.training.loop import Run
from lstm_flax.training.objectives import class_weights
from lstm_flax.training.optimizer import make_optimizer
from lstm_flax.training.train import train
from lstm_flax.training.train_state import TrainState
from lstm_flax.training.train_step import make_train_step
from lstm_flax.training.trained_model import build_model, load_trained_model
from tests.conftest import templated_texts, write_jsonl
from tests.run_files import figures, leaves
from tests.step_cases import changed, jit_apply, jit_init, one_step, random_batch


def test_it_learns_and_reports_what_it_did(finished: tuple[Path, dict]) -> None:
    workdir, results = finished
    assert results["accuracy"] >= 0.9
    assert results["examples"] == 37 == sum(map(sum, results["confusion"]))
    assert results["split"] == "test"
    assert results["compilations"] == 2  # buckets 32 and 64
    assert results["train_steps"] == 3 * 7
    assert json.loads((workdir / "results.json").read_text()) == results
    epochs = [r for r in figures(workdir) if r["event"] == "epoch"]
    assert [r["step"] for r in epochs] == [7, 14, 21]
    assert results["development_accuracy"] == max(r["development_accuracy"] for r in epochs)


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


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tiny_config: Config, finished: tuple[Path, dict], tmp_path: Path, caplog: Any
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    newest = max(workdir.joinpath("last").iterdir(), key=lambda path: int(path.name))
    for chunk in newest.joinpath("params").rglob("*"):
        if chunk.is_file() and "d" in chunk.parent.name:
            damaged = bytearray(chunk.read_bytes())
            damaged[len(damaged) // 2] ^= 0xFF
            chunk.write_bytes(bytes(damaged))
    with caplog.at_level(logging.WARNING):
        train(tiny_config, workdir, show_progress=False)
    assert "cannot be read" in caplog.text
    for a, b in zip(leaves(finished[0]), leaves(workdir), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_whose_list_of_arrays_is_gone_is_damaged(
    tiny_config: Config, finished: tuple[Path, dict], tmp_path: Path, caplog: Any
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    for step in workdir.joinpath("last").iterdir():
        if (step / "training").is_dir():
            (step / "training" / "_METADATA").unlink()
    with pytest.raises(UserError, match="no checkpoint can be read"):
        train(tiny_config, workdir, show_progress=False)
    assert "cannot be read" in caplog.text


def test_damage_that_says_nothing_of_itself_is_told_by_its_kind(
    tiny_config: Config,
    finished: tuple[Path, dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    shutil.copytree(finished[0], tmp_path / "copy")

    def restore_state(*_: Any) -> None:
        raise ValueError

    monkeypatch.setattr(CheckpointFolder, "restore_state", restore_state)
    with pytest.raises(UserError, match="no checkpoint can be read"):
        train(tiny_config, tmp_path / "copy", show_progress=False)
    assert "(ValueError)" in caplog.text


class EarlierTrainState(flax.struct.PyTreeNode):
    """The training state before it had a carry."""

    step: Any
    params: Any
    averaged_params: Any
    opt_state: Any
    key: Any
    epoch_sums: Any
    first_bad_step: Any


def test_a_checkpoint_older_than_the_carry_continues(
    tiny_config: Config,
    finished: tuple[Path, dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check, save = Run._check_finite, CheckpointFolder.save

    def save_as_before(self: CheckpointFolder, step: int, state: TrainState, *rest: Any) -> None:
        values = {name: value for name, value in vars(state).items() if name != "carry"}
        save(self, step, EarlierTrainState(**values), *rest)

    def killed(self: Run) -> None:
        check(self)
        if self.step == 12:
            raise MemoryError("the machine died")

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFolder, "save", save_as_before)
        patch.setattr(Run, "_check_finite", killed)
        with pytest.raises(MemoryError):
            train(tiny_config, tmp_path, show_progress=False)
    assert holds_checkpoint(tmp_path / "last")
    train(tiny_config, tmp_path, show_progress=False)
    assert not (tmp_path / "last-unreadable").exists()
    for a, b in zip(leaves(finished[0]), leaves(tmp_path), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_configuration_in_the_same_folder_is_refused(
    tiny_config: Config, finished: tuple[Path, dict]
) -> None:
    with pytest.raises(UserError, match=r"model\.hidden_size"):
        train(changed(tiny_config, model={"hidden_size": 9}), finished[0], show_progress=False)


def test_nothing_opens_the_test_split_before_training_has_ended(
    brief_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, bool]] = []
    original = Dataset.split

    def spy(self: Dataset, name: str) -> Any:
        folder = tmp_path / "run" / "last"
        opened.append((name, (folder / "7").is_dir()))
        return original(self, name)

    monkeypatch.setattr(Dataset, "split", spy)
    # A fresh cache, so that the split would have to be read from its file.
    config = changed(brief_config, data={"cache_dir": str(tmp_path / "cache")})
    train(config, tmp_path / "run", show_progress=False)
    assert ("test", True) in opened
    assert ("test", False) not in opened


def test_a_test_file_that_is_missing_is_refused_before_training(
    tiny_config: Config, tmp_path: Path
) -> None:
    fields = {"cache_dir": str(tmp_path / "cache"), "test_path": str(tmp_path / "later.jsonl")}
    with pytest.raises(UserError, match=r"later\.jsonl"):
        train(changed(tiny_config, data=fields), tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    brief_config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wild = {"name": "sgd", "weight_decay": 0.0, "learning_rate": 1e38, "clip_norm": 0.0}
    wild = changed(brief_config, optimizer=wild, model={"bidirectional": False})
    with pytest.raises(UserError, match=r"not finite at step \d+"):
        train(wild, tmp_path, show_progress=False)
    assert not holds_checkpoint(tmp_path / "last")
    caplog.set_level("INFO")
    with pytest.raises(UserError, match=r"not finite at step \d+"):
        train(wild, tmp_path, show_progress=False)
    assert "ended before its first checkpoint; starts again at step 0" in caplog.text


def test_early_stopping_ends_the_run(brief_config: Config, tmp_path: Path) -> None:
    # Once the accuracy is perfect, no epoch is better.
    config = changed(brief_config, training={"early_stopping_patience": 1, "epochs": 50})
    results = train(config, tmp_path, show_progress=False)
    assert results["train_steps"] < 50 * 7
    assert results["checkpoint_step"] < results["train_steps"]


def test_a_finished_run_keeps_its_results(
    tiny_config: Config, finished: tuple[Path, dict], tmp_path: Path, capsys: Any
) -> None:
    workdir, results = tmp_path / "copy", finished[1]
    shutil.copytree(finished[0], workdir)
    written = (workdir / "results.json").read_bytes()
    assert train(tiny_config, workdir) == results
    assert "finished at step 21 already" in capsys.readouterr().out
    assert (workdir / "results.json").read_bytes() == written
    # Other data or another split are scored.
    shorter = write_jsonl(tmp_path / "test.jsonl", templated_texts(20, seed=8))
    elsewhere = changed(tiny_config, data={"test_path": str(shorter)})
    assert train(elsewhere, workdir, show_progress=False)["examples"] == 20
    assert train(elsewhere, workdir, "development", show_progress=False)["examples"] == 30


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


def test_masked_rows_change_nothing(tiny_config: Config) -> None:
    fields = {"embedding_dropout": 0.0, "head_dropout": 0.0, "bidirectional": False}
    config = changed(tiny_config, model=fields)
    full, filler = random_batch(6), random_batch(4, seed=1)
    filler = filler._replace(example_mask=np.zeros(4, bool), lengths=np.ones(4, np.int32))
    both = jax.tree.map(lambda *pair: np.concatenate(pair), full, filler)
    a, b = one_step(config, full), one_step(config, both)
    for x, y in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-6)
    assert int(b.epoch_sums.examples) == 6


def test_it_overfits_32_texts(tiny_config: Config) -> None:
    fields = {"embedding_dropout": 0.0, "head_dropout": 0.0, "bidirectional": False}
    config = changed(tiny_config, model=fields, optimizer={"schedule": "constant"})
    batch = random_batch(32)  # random labels: nothing to learn but the texts themselves
    model = build_model(config, 64, 2)
    optimizer = make_optimizer(config.optimizer, 100)
    step = jax.jit(make_train_step(model, optimizer, config.training, jnp.ones(2)))
    params = jit_init(model, jax.random.PRNGKey(0))
    state = TrainState.create(params, optimizer, jax.random.PRNGKey(1), average=False)
    for _ in range(100):
        state = step(state, batch)
    logits = jit_apply(model, state.params, batch)
    assert np.mean(np.argmax(logits, axis=1) == batch.labels) == 1.0


def test_class_weights_are_given_or_balanced(tiny_config: Config) -> None:
    labels = np.array([0, 0, 0, 1])
    names = ("neg", "pos")
    np.testing.assert_array_equal(class_weights(tiny_config.training, names, labels), [1, 1])
    balanced = changed(tiny_config, training={"balance_classes": True})
    np.testing.assert_allclose(class_weights(balanced.training, names, labels), [4 / 6, 4 / 2])
    given = changed(tiny_config, training={"class_weights": (1.0, 2.0, 3.0)})
    with pytest.raises(UserError, match="3 weights for 2 labels; give one to each"):
        class_weights(given.training, names, labels)


def test_sigmoid_head_needs_two_classes(tiny_config: Config) -> None:
    with pytest.raises(UserError, match="3 classes"):
        build_model(changed(tiny_config, model={"head": "sigmoid"}), 64, 3)


def test_cache_alone_starts_a_training(brief_config: Config, tmp_path: Path) -> None:
    dataset = open_dataset(changed(brief_config, data={"cache_dir": str(tmp_path)}))
    for name in ("train", "development", "test"):
        dataset.split(name)
    (folder,) = (path.parent for path in tmp_path.rglob("dataset.json"))
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    fields = {"token_cache": str(moved), "train_path": "/gone", "test_path": "/gone"}
    config = changed(brief_config, data=fields | {"development_path": "/gone"})
    assert train(config, tmp_path / "run", show_progress=False)["examples"] == 37


def test_another_run_s_weights_are_taken_where_they_fit(
    brief_config: Config, finished: tuple[Path, dict], tmp_path: Path, caplog: Any
) -> None:
    records = [
        {"text": f"{word} film number {n}", "label": label}
        for n in range(20)
        for label, word in {"bad": "dull", "fair": "story", "good": "superb"}.items()
    ]
    fields = {"train_path": str(write_jsonl(tmp_path / "three.jsonl", records))}
    fields |= {"development_path": None, "test_path": None, "test_fraction": 0.2}
    config = changed(brief_config, data=fields)
    config = dataclasses.replace(config, init_from=str(finished[0]))
    with caplog.at_level(logging.INFO):
        train(config, tmp_path / "run", show_progress=False)
    assert "started afresh: head/bias (3,), head/kernel" in caplog.text
    before = load_trained_model(finished[0])
    assert load_trained_model(tmp_path / "run").metadata.tokenizer.fingerprint == (
        before.metadata.tokenizer.fingerprint
    )
    train(config, tmp_path / "run", show_progress=False)  # finished: continues to nothing


def test_taking_weights_replaces_equal_shapes_only() -> None:
    fresh = {"a": {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}, "b": jnp.zeros(3)}
    source = {"a": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(3)}, "c": jnp.ones(1)}
    taken = take_params(fresh, source)
    np.testing.assert_array_equal(taken["a"]["kernel"], np.ones((2, 2)))
    np.testing.assert_array_equal(taken["a"]["bias"], np.zeros(2))
    assert set(taken) == {"a", "b"}


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
