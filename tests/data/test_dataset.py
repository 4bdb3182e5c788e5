import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lstm_flax.config import Config
from lstm_flax.data import dataset as dataset_module
from lstm_flax.data import opening
from lstm_flax.data.dataset import Dataset
from lstm_flax.data.opening import open_dataset
from lstm_flax.errors import UserError
from lstm_flax.text.tokenizer import Tokenizer


def changed(config: Config, **fields) -> Config:
    """The configuration with fields of `data` (or `tokenizer__FIELD`) changed."""
    tokenizer = {
        k.removeprefix("tokenizer__"): v for k, v in fields.items() if k.startswith("tokenizer__")
    }
    data = {k: v for k, v in fields.items() if not k.startswith("tokenizer__")}
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **data),
        tokenizer=dataclasses.replace(config.tokenizer, **tokenizer),
    )


def opened(config: Config, tokenizer: Tokenizer | None = None) -> Dataset:
    return open_dataset(config.data, config.tokenizer, tokenizer)


@pytest.fixture
def data_config(tiny_config, tmp_path):
    """The tiny run with a cache of its own."""
    return changed(tiny_config, cache_dir=str(tmp_path / "cache"))


def forbid(monkeypatch, *names):
    def refuse(*_, **__):
        raise AssertionError(f"{names} called")

    for name in names:
        targets = [at for at in (Tokenizer, dataset_module, opening) if hasattr(at, name)]
        assert targets, name
        for target in targets:
            monkeypatch.setattr(target, name, refuse)


def test_a_cache_that_cannot_be_written(data_config, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file.*cannot be written .*--config\.data\.cache_dir"):
        opened(changed(data_config, cache_dir=str(tmp_path / "file" / "cache")))


def test_splits_hold_the_encoded_texts(data_config):
    dataset = opened(data_config)
    assert dataset.label_names == ("neg", "pos")
    assert dataset.has_development
    assert "test" in dataset.splits
    for name, count in {"train": 100, "development": 30, "test": 37}.items():
        split, examples = dataset.split(name), dataset.texts(name)
        assert len(split) == len(examples) == count
        for ids, expected in zip(
            split, dataset.tokenizer.encode_batch(examples.texts), strict=True
        ):
            np.testing.assert_array_equal(ids, expected)
        np.testing.assert_array_equal(split.labels, examples.labels)


def test_second_start_neither_trains_nor_tokenises_nor_reads_texts(data_config, monkeypatch):
    first = opened(data_config)
    splits = {name: first.split(name) for name in ("train", "development", "test")}
    forbid(monkeypatch, "train", "encode_batch", "load_examples")
    second = opened(data_config)
    assert second.fingerprint == first.fingerprint
    assert second.tokenizer.fingerprint == first.tokenizer.fingerprint
    assert second.label_names == first.label_names
    for name, split in splits.items():
        np.testing.assert_array_equal(second.split(name).token_ids, split.token_ids)


def test_a_checkpoints_tokenizer_finds_the_same_cache(data_config, monkeypatch):
    first = opened(data_config)
    kept = Tokenizer.from_bytes(first.tokenizer.to_bytes())
    forbid(monkeypatch, "train", "encode_batch", "load_examples")
    again = opened(data_config, kept)
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.split("train").token_ids, first.split("train").token_ids)


def test_another_tokenizer_is_used_as_given(data_config):
    other = Tokenizer.train(
        ["good film bad film end"] * 9, dataclasses.replace(data_config.tokenizer, vocab_size=8)
    )
    dataset = opened(data_config, other)
    assert dataset.tokenizer is other
    assert dataset.fingerprint != opened(data_config).fingerprint
    assert dataset.split("test").token_ids.max() < 8
    with pytest.raises(UserError, match="lowercase"):
        opened(changed(data_config, lowercase=True), other)


def test_test_split_is_not_opened_before_it_is_asked_for(data_config, tmp_path):
    test = tmp_path / "test.jsonl"
    test.write_bytes(b"\xff not a data file")
    config = changed(data_config, test_path=str(test))
    dataset = opened(config)
    assert len(dataset.split("train")) == 100
    assert len(dataset.split("development")) == 30
    assert "test" in dataset.splits
    with pytest.raises(UserError, match=r"test\.jsonl:1: not UTF-8"):
        dataset.split("test")


@pytest.mark.parametrize(
    "fields",
    [
        {"lowercase": True},
        {"development_path": None, "split_seed": 1},
        {"development_path": None, "development_fraction": 0.3},
        {"tokenizer__vocab_size": 60},
        {"tokenizer__kind": "char"},
    ],
)
def test_what_changes_the_ids_changes_the_fingerprint(data_config, fields):
    assert opened(changed(data_config, **fields)).fingerprint != opened(data_config).fingerprint


@pytest.mark.parametrize("fields", [{"max_length": 32}, {"batch_size": 4}, {"truncation": "head"}])
def test_what_only_shapes_batches_keeps_the_cache(data_config, fields, monkeypatch):
    first = opened(data_config)
    forbid(monkeypatch, "train", "encode_batch", "load_examples")
    assert opened(changed(data_config, **fields)).fingerprint == first.fingerprint


def test_changed_texts_are_encoded_anew(data_config, tmp_path):
    train = tmp_path / "train.jsonl"
    content = Path(data_config.data.train_path).read_text("utf-8")
    train.write_text(content, encoding="utf-8")
    config = changed(data_config, train_path=str(train))
    before = opened(config)
    assert before.fingerprint == opened(data_config).fingerprint  # a copy elsewhere
    train.write_text(content + '{"text": "one more", "label": "pos"}\n', encoding="utf-8")
    after = opened(config)
    assert after.fingerprint != before.fingerprint
    assert len(after.split("train")) == 101


def test_damaged_cache_is_made_again(data_config, caplog):
    first = opened(data_config)
    expected = first.split("train")[0]
    path = first.folder / "train" / "token_ids.npy"
    path.write_bytes(path.read_bytes()[:-9])
    (first.folder / "tokenizer").write_bytes(b"")
    again = opened(data_config)
    np.testing.assert_array_equal(again.split("train")[0], expected)
    assert "made again" in caplog.text
    assert Tokenizer.from_bytes((first.folder / "tokenizer").read_bytes())


def test_starts_from_a_copied_cache_folder_alone(data_config, tmp_path, monkeypatch):
    first = opened(data_config)
    expected = {name: list(first.split(name)) for name in ("train", "development")}
    shutil.copytree(first.folder, tmp_path / "elsewhere")
    shutil.rmtree(data_config.data.cache_dir)
    alone = changed(
        data_config,
        token_cache=str(tmp_path / "elsewhere"),
        train_path=None,
        development_path=None,
        test_path=None,
    )
    forbid(monkeypatch, "train", "encode_batch", "load_examples", "open_source")
    dataset = opened(alone)
    assert dataset.fingerprint == first.fingerprint
    assert dataset.label_names == first.label_names
    assert dataset.has_development
    for name, sequences in expected.items():
        for a, b in zip(dataset.split(name), sequences, strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match="no 'test' split, only development, train"):
        dataset.split("test")
    with pytest.raises(UserError, match="holds no texts"):
        dataset.texts("train")
    with pytest.raises(UserError, match=r"config\.data\.lowercase = False, not True"):
        opened(changed(alone, lowercase=True))
    assert opened(alone, first.tokenizer).fingerprint == first.fingerprint


def test_a_damaged_or_foreign_cache_folder_is_refused(data_config, tmp_path):
    first = opened(data_config)
    alone = changed(data_config, token_cache=str(first.folder))
    other = Tokenizer("word", True, first.tokenizer.model)
    with pytest.raises(UserError, match="another tokenizer"):
        opened(alone, other)
    path = first.folder / "train" / "labels.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(UserError, match=r"damaged .*copy it again"):
        opened(alone).split("train")
    with pytest.raises(UserError, match="no folder of encoded splits"):
        opened(changed(data_config, token_cache=str(tmp_path)))


def test_a_mistake_in_the_data_leaves_nothing_behind(data_config, tmp_path):
    train = tmp_path / "train.csv"
    train.write_text("text,label\nfine,a\nfine too,a\n")
    with pytest.raises(UserError, match="every label"):
        opened(changed(data_config, train_path=str(train)))
    with pytest.raises(UserError, match="vocab_size"):
        opened(changed(data_config, tokenizer__kind="unigram", tokenizer__vocab_size=5000))
    assert not (tmp_path / "cache").exists()


def test_no_development_part(data_config):
    dataset = opened(changed(data_config, development_path=None, development_fraction=0.0))
    assert not dataset.has_development
    with pytest.raises(UserError, match="no 'development' split"):
        dataset.split("development")


def test_importing_the_data_half_imports_nothing_heavy():
    code = (
        "import sys, lstm_flax.data.dataset, lstm_flax.data.batching\n"
        "heavy = {'jax', 'tensorflow', 'tensorflow_datasets', 'array_record', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_what_takes_long_is_said_before_and_only_when_it_is_done(data_config, caplog):
    caplog.set_level("INFO")
    opened(data_config)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["reading texts: train", "training a word tokenizer on 100 texts"]
    caplog.clear()
    opened(data_config)
    assert not caplog.records
