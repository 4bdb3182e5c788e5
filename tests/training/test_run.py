"""A run: what it reports, what it opens and when, where it starts, when it stops."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.checkpoints.folder import holds_checkpoint
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.opening import open_dataset
from lstm_flax.errors import UserError
from lstm_flax.training.train import train
from lstm_flax.training.warm_start import take_params
from tests.cli.run_files import figures
from tests.conftest import templated_texts, write_jsonl
from tests.training.step_cases import changed


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
    assert "has no checkpoint yet; starts again at step 0" in caplog.text


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


def test_cache_alone_starts_a_training(brief_config: Config, tmp_path: Path) -> None:
    config = changed(brief_config, data={"cache_dir": str(tmp_path)})
    dataset = open_dataset(config.data, config.tokenizer)
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
    assert load_trained_model(tmp_path / "run").metadata.encoder.tokenizer.fingerprint == (
        before.metadata.encoder.tokenizer.fingerprint
    )
    train(config, tmp_path / "run", show_progress=False)  # finished: continues to nothing


def test_taking_weights_replaces_equal_shapes_only() -> None:
    fresh = {"a": {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}, "b": jnp.zeros(3)}
    source = {"a": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(3)}, "c": jnp.ones(1)}
    taken = take_params(fresh, source)
    np.testing.assert_array_equal(taken["a"]["kernel"], np.ones((2, 2)))
    np.testing.assert_array_equal(taken["a"]["bias"], np.zeros(2))
    assert set(taken) == {"a", "b"}


def test_a_checkpoint_of_no_kind_is_refused_before_training(
    brief_config: Config, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="checkpoint = 'worst': choose best or last"):
        train(brief_config, tmp_path / "run", checkpoint="worst", show_progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="checkpoint = 'worst': choose best or last"):
        load_trained_model(tmp_path, "worst")


def test_a_folder_may_be_given_as_text(brief_config: Config, tmp_path: Path) -> None:
    results = train(brief_config, str(tmp_path / "run"), show_progress=False)
    assert results == json.loads((tmp_path / "run" / "results.json").read_text())
