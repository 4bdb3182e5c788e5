"""Self-training: `predict` labels unlabelled texts, a run learns from the file it wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.data.opening import open_dataset
from lstm_flax.errors import UserError
from lstm_flax.training.run.loop import Run
from lstm_flax.training.train import train
from tests.cli.run_files import leaves
from tests.conftest import templated_texts, write_jsonl
from tests.training.step_cases import changed

UNLABELLED = [record["text"] for record in templated_texts(45, seed=7)]


@pytest.fixture(scope="module")
def config(ngram_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two epochs with n-gram features."""
    cache = tmp_path_factory.mktemp("cache")
    return changed(ngram_config, data={"cache_dir": str(cache)}, training={"epochs": 2})


@pytest.fixture(scope="module")
def teacher(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    train(config, folder, show_progress=False)
    return folder


@pytest.fixture
def labels(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> Path:
    """What two runs, the same one twice, say of unlabelled texts, as `predict` prints it."""
    (tmp_path / "texts.txt").write_text("\n".join(UNLABELLED) + "\n", encoding="utf-8")
    given = [f"--workdir={teacher}", f"--workdir={teacher}", f"--file={tmp_path / 'texts.txt'}"]
    capsys.readouterr()
    assert main(["predict", *given]) == 0
    path = tmp_path / "labels.jsonl"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_student_learns_from_predicted_labels_and_survives_a_kill(
    config: Config, teacher: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [json.loads(line) for line in labels.read_text("utf-8").splitlines()]
    true = [record["label"] for record in templated_texts(45, seed=7)]
    assert [record["text"] for record in records] == UNLABELLED
    assert np.mean([r["label"] == t for r, t in zip(records, true, strict=True)]) > 0.9
    student = changed(config, data={"extra_train_path": str(labels)})
    results = train(student, tmp_path / "whole", show_progress=False)
    assert results["train_steps"] == 2 * 10  # epochs of 100 + 45 texts in batches of 16
    assert results["train_examples"] == 145
    assert results["accuracy"] > 0.9
    taught = open_dataset(student.data, student.tokenizer).split("train")
    runs = (teacher, tmp_path / "whole")
    known = [len(load_trained_model(run).metadata.encoder.ngrams.groups) for run in runs]
    assert known == [100, len(np.unique(taught.groups))]

    check = Run._check_finite

    def killed(self: Run) -> None:
        check(self)
        if self.step == 12:
            raise MemoryError("the machine died")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_check_finite", killed)
        with pytest.raises(MemoryError):
            train(student, tmp_path / "killed", show_progress=False)
    train(student, tmp_path / "killed", show_progress=False)
    for a, b in zip(leaves(tmp_path / "whole"), leaves(tmp_path / "killed"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_further_texts_join_the_training_part_alone(config: Config, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "more.jsonl", templated_texts(30, seed=12))
    student = changed(config, data={"extra_train_path": str(path)})
    plain, more = (open_dataset(c.data, c.tokenizer) for c in (config, student))
    assert len(more.split("train")) == len(plain.split("train")) + 30
    for name in ("development", "test"):
        assert len(more.split(name)) == len(plain.split(name))
    assert more.fingerprint != plain.fingerprint
    records = templated_texts(30, seed=12)
    records[3]["label"] = "pos" if records[3]["label"] == "neg" else "neg"
    write_jsonl(path, records)
    again = open_dataset(student.data, student.tokenizer)
    assert again.fingerprint != more.fingerprint
    assert (again.split("train").labels != more.split("train").labels).sum() == 1


def test_a_copied_cache_takes_further_texts_too(config: Config, tmp_path: Path) -> None:
    records = templated_texts(30, seed=12)
    path = write_jsonl(tmp_path / "more.jsonl", [*records, records[0]])
    plain = open_dataset(config.data, config.tokenizer)
    for name in plain.splits:
        plain.split(name)
    student = changed(config, data={"extra_train_path": str(path)})
    direct = open_dataset(student.data, student.tokenizer, plain.tokenizer)
    alone = changed(student, data={"token_cache": str(plain.folder)})
    copied = open_dataset(alone.data, alone.tokenizer)
    for array in ("token_ids", "offsets", "labels", "groups"):
        found, expected = (getattr(d.split("train"), array) for d in (copied, direct))
        np.testing.assert_array_equal(found, expected)
    assert len(copied.split("development")) == len(plain.split("development"))
    assert copied.fingerprint != plain.fingerprint


def test_further_texts_that_cannot_be_used_are_refused(config: Config, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "more.jsonl", [{"text": "fine", "label": "great"}])
    student = changed(config, data={"extra_train_path": str(path)})
    with pytest.raises(UserError, match=r"more\.jsonl:1: label 'great' .* 'neg', 'pos'"):
        open_dataset(student.data, student.tokenizer)
    gone = changed(config, data={"extra_train_path": str(tmp_path / "gone.jsonl")})
    with pytest.raises(UserError, match=r"extra_train_path.*gone\.jsonl"):
        train(gone, tmp_path / "run", show_progress=False)


def test_texts_that_are_scored_too_are_warned_of(
    config: Config, tmp_path: Path, caplog: Any
) -> None:
    path = write_jsonl(tmp_path / "all.jsonl", templated_texts(60, seed=3))
    fields = {"train_path": str(path), "development_path": None, "test_path": None}
    student = changed(config, data=fields | {"extra_train_path": str(path)})
    open_dataset(student.data, student.tokenizer)
    assert "all.jsonl" in caplog.text
    assert "inflated" in caplog.text


def test_predictors_of_other_labels_do_not_answer_together(
    teacher: Path, finished_lm: tuple[Path, dict], capsys: pytest.CaptureFixture
) -> None:
    assert main(["predict", f"--workdir={teacher}", f"--workdir={finished_lm[0]}", "text"]) == 2
    assert "error: " in capsys.readouterr().err


def test_a_split_is_predicted_from_the_runs_own_data(
    teacher: Path, capsys: pytest.CaptureFixture
) -> None:
    capsys.readouterr()
    own = ["predict", f"--workdir={teacher}", f"--config={teacher / 'config.json'}"]
    assert main([*own, "--split=test"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["text"] for r in records] == [r["text"] for r in templated_texts(37, seed=2)]
    assert main([*own, "--split=unsupervised"]) == 2
    assert "no 'unsupervised' split" in capsys.readouterr().err
