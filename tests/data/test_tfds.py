"""Data sets of TFDS as their features describe them, by a stand-in for TFDS's builder."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from lstm_flax.cli import main
from lstm_flax.config import DataConfig
from lstm_flax.data.loading import load_examples
from lstm_flax.data.sources.tfds import TfdsSource
from lstm_flax.errors import UserError


def record(i: int, label: int) -> dict:
    return {"sentence": f"sentence {i} of a stand-in".encode(), "label": label}


class HiddenTestLabels:
    """What TFDS has of a GLUE task: a test split whose labels are -1."""

    rows = {  # noqa: RUF012
        "train": [record(i, i % 2) for i in range(80)],
        "validation": [record(i, i % 2) for i in range(80, 90)],
        "test": [record(i, -1) for i in range(90, 99)],
    }

    def __init__(self) -> None:
        splits = {
            name: SimpleNamespace(num_bytes=len(rows), shard_lengths=[len(rows)])
            for name, rows in self.rows.items()
        }
        features = {"sentence": None, "label": SimpleNamespace(names=["bad", "good"])}
        self.info = SimpleNamespace(full_name="glue/stand-in", splits=splits, features=features)

    def as_data_source(self, split: str) -> list:
        return self.rows[split]


def test_hidden_test_labels_end_a_run_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(TfdsSource, "_open_builder", lambda *_: HiddenTestLabels())
    config = DataConfig(source="tfds:glue/sst2", text_column="sentence")
    assert len(load_examples(config, "development")) == 10
    fields = {
        "data.source": "tfds:glue/sst2",
        "data.text_column": "sentence",
        "data.cache_dir": tmp_path / "cache",
        "tokenizer.kind": "word",
        "tokenizer.vocab_size": 12,
    }
    flags = [f"--config.{field}={value}" for field, value in fields.items()]
    arguments = ["train", "--config=imdb", *flags, f"--workdir={tmp_path / 'run'}"]
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(
        "error: config.data.source = 'tfds:glue/sst2': its test split has no labels"
    )
    assert "--split=development" in error
    assert not (tmp_path / "run").exists()


class OddTestLabels(HiddenTestLabels):
    """A test split with a label beyond the names that TFDS knows."""

    rows = HiddenTestLabels.rows | {"test": [record(90, 5)]}


def test_a_label_that_no_training_example_has_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TfdsSource, "_open_builder", lambda *_: OddTestLabels())
    config = DataConfig(source="tfds:glue/sst2", text_column="sentence")
    with pytest.raises(UserError, match=r"test/0 has label '5'.*choose another .*label_column"):
        TfdsSource(config).load("test")
