"""Checkpoints of every earlier format open, predict and continue.

`format_1.tar.xz` holds a run of commit 155531d: 60 templated texts, five steps, one checkpoint at
each epoch's end. Its predictions were printed by that commit.
"""

import dataclasses
import errno
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from lstm_flax.checkpoints import format_1
from lstm_flax.checkpoints.finding import find_checkpoints
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config, read_config
from lstm_flax.errors import UserError
from lstm_flax.inference.predictor import Predictor
from lstm_flax.training.train import train
from tests.conftest import templated_texts, write_jsonl

PREDICTED = [0.5600207448005676, 0.5549701452255249, 0.5428599119186401]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with tarfile.open(Path(__file__).with_name("format_1.tar.xz")) as archive:
        archive.extractall(tmp_path / "run", filter="data")
    return tmp_path / "run"


@pytest.fixture
def config(run: Path, tmp_path: Path) -> Config:
    path = write_jsonl(tmp_path / "train.jsonl", templated_texts(60, seed=0))
    config = read_config(run / "config.json")
    data = dataclasses.replace(config.data, train_path=str(path), cache_dir=str(tmp_path / "cache"))
    return dataclasses.replace(config, data=data)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_format_1_that_cannot_be_read_now_is_not_moved(
    run: Path, config: Config, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(format_1, "read_json", refuse)
    there = sorted(path.name for path in (run / "last").iterdir())
    with pytest.raises(UserError, match=r"cannot be read .*check its permissions"):
        train(config, run, show_progress=False)
    assert sorted(path.name for path in (run / "last").iterdir()) == there


@pytest.mark.smoke
def test_format_1_predicts_as_it_did(run: Path) -> None:
    answers = Predictor.from_checkpoint(run).predict(
        ["a superb film", "dull and hollow", "the story"]
    )
    found = [answer.probabilities["pos"] for answer in answers]
    np.testing.assert_allclose(found, PREDICTED, rtol=0, atol=1e-6)


def arrays(run: Path) -> list[np.ndarray]:
    """The averaged weights at the last step, from a checkpoint of any format."""
    trained = load_trained_model(run, "last")
    assert trained.step == 5
    return [np.asarray(leaf) for leaf in jax.tree.leaves(trained.params)]


@pytest.mark.smoke
def test_format_1_continues_to_the_same_weights(run: Path, config: Config, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(run, whole)
    shutil.rmtree(run / "last" / "5")
    train(config, run, show_progress=False)
    assert not (run / "last-unreadable").exists()
    for a, b in zip(arrays(whole), arrays(run), strict=True):
        # The last bits depend on the machine, and the stored run comes from another one.
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("file", ["metadata/metadata", "averaged_params/_METADATA"])
def test_format_1_knows_damage_by_what_orbax_says(run: Path, caplog: Any, file: str) -> None:
    path = run / "best" / "5" / file
    path.write_text(path.read_text()[:-40])
    with pytest.raises(UserError, match="no whole checkpoint can be read"):
        load_trained_model(run)
    assert "best/5 is damaged" in caplog.text


def test_the_encoder_lies_in_a_checkpoint_as_plain_files(finished: tuple[Path, dict]) -> None:
    import sentencepiece

    folder, (step, *_) = find_checkpoints(finished[0], "best")
    model = folder.path / str(step) / "encoder" / "tokenizer.model"
    processor: Any = sentencepiece.SentencePieceProcessor(model_file=str(model))
    encoder = load_trained_model(finished[0]).metadata.encoder
    assert processor.GetPieceSize() == encoder.vocab_size
    assert processor.EncodeAsIds("a superb film") == encoder.encode(["a superb film"])[0].tolist()
