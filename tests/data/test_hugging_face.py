"""Data sets as `datasets` saves them."""

from pathlib import Path

import pytest

from lstm_flax.config import Config, DataConfig
from lstm_flax.data.loading import load_examples
from lstm_flax.errors import UserError
from tests.cli.test_own_data import config_of
from tests.conftest import templated_texts

datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = templated_texts(100, seed=0)
    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "idx": datasets.Value("int32"),
            "mood": datasets.ClassLabel(names=["neg", "pos"]),
        }
    )
    columns = {
        "sentence": [record["text"] for record in records],
        "idx": list(range(100)),
        "mood": [int(record["label"] == "pos") for record in records],
    }
    train = datasets.Dataset.from_dict(columns, features=features)
    hidden = datasets.Dataset.from_dict(columns | {"mood": [-1] * 100}, features=features)
    folder = tmp_path_factory.mktemp("saved") / "set"
    datasets.DatasetDict({"train": train, "validation": train, "test": hidden}).save_to_disk(folder)
    return folder


def test_a_saved_data_set_needs_no_flag(saved: Path) -> None:
    config: Config = config_of(str(saved))
    assert config.data.source == f"hf:{saved}"
    assert (config.data.text_column, config.data.label_column) == ("sentence", "mood")
    examples = load_examples(config.data, "development")
    assert examples.label_names == ("neg", "pos")
    assert list(examples.texts) == [record["text"] for record in templated_texts(100, seed=0)]
    with pytest.raises(UserError, match="its test split has no labels"):
        load_examples(config.data, "test")


def test_mistakes(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no column 'text'; set .* 'sentence', 'idx', 'mood'"):
        load_examples(DataConfig(source=f"hf:{saved}"), "train")
    with pytest.raises(UserError, match="cannot be had"):
        load_examples(DataConfig(source=f"hf:{tmp_path / 'gone'}"), "train")
