"""Self-training: a student learns from its teachers' labels, and needs them only once."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lstm_flax.checkpoints.restore import TrainedModel, load_trained_model
from lstm_flax.config import Config
from lstm_flax.data.dataset import open_dataset
from lstm_flax.errors import UserError
from lstm_flax.recipes import self_training
from lstm_flax.recipes.self_training import LABELS_NAME, training_part
from lstm_flax.text.tokenizer import Tokenizer
from lstm_flax.training.loop import Run
from lstm_flax.training.train import train
from tests.cli.run_files import cache_with_unlabelled, leaves
from tests.conftest import templated_texts
from tests.training.step_cases import changed


@pytest.fixture(scope="module")
def config(ngram_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two epochs with n-gram features, from a cache that holds unlabelled texts too."""
    cache = cache_with_unlabelled(ngram_config, tmp_path_factory.mktemp("cache"))
    return changed(ngram_config, data={"token_cache": str(cache)}, training={"epochs": 2})


@pytest.fixture(scope="module")
def teacher(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    train(config, folder, show_progress=False)
    return folder


def taught_by(config: Config, teachers: str) -> Config:
    return changed(config, training={"teachers": teachers})


@pytest.mark.slow
def test_a_student_learns_from_its_teachers_and_goes_on_without_them(
    config: Config, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = taught_by(config, f"{teacher}, {teacher}")
    results = train(student, tmp_path / "whole", show_progress=False)
    assert results["train_steps"] == 2 * 10  # epochs of 100 + 45 texts in batches of 16
    assert results["accuracy"] > 0.9
    said = json.loads((tmp_path / "whole" / LABELS_NAME).read_text())["labels"]
    true = [("neg", "pos").index(record["label"]) for record in templated_texts(45, seed=7)]
    assert np.mean(np.array(said) == true) > 0.9
    taught = open_dataset(student).split("unsupervised")
    ngrams = [load_trained_model(run).metadata.ngrams for run in (teacher, tmp_path / "whole")]
    assert [n is not None and n.counted_any_of(taught) for n in ngrams] == [False, True]

    check = Run._check_finite

    def killed(self: Run) -> None:
        check(self)
        if self.step == 12:
            raise MemoryError("the machine died")

    gone = tmp_path / "teacher"
    shutil.copytree(teacher, gone)
    student = taught_by(config, str(gone))
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_check_finite", killed)
        with pytest.raises(MemoryError):
            train(student, tmp_path / "killed", show_progress=False)
    shutil.rmtree(gone)
    train(student, tmp_path / "killed", show_progress=False)
    for a, b in zip(leaves(tmp_path / "whole"), leaves(tmp_path / "killed"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_teachers_that_cannot_teach(
    tiny_config: Config, config: Config, teacher: Path, finished_lm: tuple[Path, dict], tmp_path
) -> None:
    with pytest.raises(UserError, match="no 'unsupervised' split"):
        train(taught_by(tiny_config, str(teacher)), tmp_path / "a", show_progress=False)
    with pytest.raises(UserError, match="nowhere"):
        train(taught_by(config, str(tmp_path / "nowhere")), tmp_path / "b", show_progress=False)
    with pytest.raises(UserError, match="language model"):
        train(taught_by(config, str(finished_lm[0])), tmp_path / "c", show_progress=False)


@pytest.mark.parametrize("field", ["label_names", "tokenizer"])
def test_a_teacher_of_other_labels_or_another_tokenizer_is_refused(
    config: Config, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    small = dataclasses.replace(config.tokenizer, vocab_size=8)
    other = {
        "label_names": ("bad", "good"),
        "tokenizer": Tokenizer.train(["another text of a few words"], small, lowercase=False),
    }

    def changed_teacher(path: Path) -> TrainedModel:
        trained = load_trained_model(path)
        metadata = dataclasses.replace(trained.metadata, **{field: other[field]})
        return dataclasses.replace(trained, metadata=metadata)

    monkeypatch.setattr(self_training, "load_trained_model", changed_teacher)
    with pytest.raises(UserError, match="other" if field == "tokenizer" else "knows the labels"):
        train(taught_by(config, str(teacher)), tmp_path, show_progress=False)


def test_labels_of_other_teachers_or_texts_are_not_taken(
    config: Config, teacher: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(config)
    given = training_part(taught_by(config, str(teacher)), dataset, tmp_path, show_progress=False)
    again = training_part(taught_by(config, str(teacher)), dataset, tmp_path, show_progress=False)
    np.testing.assert_array_equal(given.labels, again.labels)
    with pytest.raises(UserError, match="other teachers"):
        training_part(taught_by(config, "runs/another"), dataset, tmp_path, show_progress=False)
    path = tmp_path / LABELS_NAME
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"texts": stored["texts"] ^ 1}))
    with pytest.raises(UserError, match="other texts"):
        training_part(taught_by(config, str(teacher)), dataset, tmp_path, show_progress=False)
    path.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        training_part(taught_by(config, str(teacher)), dataset, tmp_path, show_progress=False)
