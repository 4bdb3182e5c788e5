"""Token caches and data sets from elsewhere: whole by their checksums, wrong by content."""

import dataclasses
import errno
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_flax import untrusted
from lstm_flax.config import Config, DataConfig
from lstm_flax.data import token_cache
from lstm_flax.data.cache_files import read_manifest, read_tokenizer, write_manifest
from lstm_flax.data.opening import FORMAT_VERSION, open_dataset
from lstm_flax.data.sources.tfds import TfdsSource
from lstm_flax.data.token_cache import (
    DamagedCacheError,
    read_split,
    write_split,
)
from lstm_flax.errors import UserError
from tests.conftest import templated_texts, write_jsonl

GOOD = {
    "token_ids": np.array([4, 5, 6, 7], np.uint16),
    "offsets": np.array([0, 2, 4], np.int64),
    "labels": np.array([0, 1], np.int32),
    "groups": np.array([1, 2], np.uint64),
}
POISON = {
    "an id beyond the vocabulary": {"token_ids": np.array([4, 5, 6, 60000], np.uint16)},
    "a negative id": {"token_ids": np.array([4, 5, 6, -7], np.int32)},
    "ids as objects' numbers": {"token_ids": np.array([4, 5, 6, 7], np.float64)},
    "offsets beyond the end": {"offsets": np.array([0, 2, 1 << 40], np.int64)},
    "offsets that go back": {"offsets": np.array([0, 5, 4], np.int64)},
    "a text without tokens": {"offsets": np.array([0, 0, 4], np.int64)},
    "offsets before the start": {"offsets": np.array([-2, 2, 4], np.int64)},
    "a negative label": {"labels": np.array([0, -5], np.int32)},
    "a label too many": {"labels": np.array([0, 2], np.int32)},
    "too few labels": {"labels": np.array([0], np.int32)},
    "two axes": {"labels": np.array([[0, 1]], np.int32)},
    "too few groups": {"groups": np.array([1], np.uint64)},
}


def write(folder: Path, arrays: dict[str, np.ndarray], **manifest: Any) -> None:
    """Writes a split as `write_split` would, of whatever arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    sums = {name: token_cache._crc32(array) for name, array in arrays.items()}
    values = {"format": token_cache.FORMAT_VERSION, "fingerprint": "f", "crc32": sums} | manifest
    (folder / "split.json").write_text(json.dumps(values))


@pytest.mark.parametrize("name", POISON)
def test_arrays_that_no_program_writes(name: str, tmp_path: Path) -> None:
    write(tmp_path / "good", GOOD)
    split = read_split(tmp_path / "good", vocab_size=8, num_labels=2)
    assert split is not None
    assert [ids.tolist() for ids in split] == [[4, 5], [6, 7]]
    write(tmp_path / "bad", GOOD | POISON[name])
    (wrong,) = POISON[name]
    with pytest.raises(DamagedCacheError, match=f"{wrong}.npy holds what no program writes"):
        read_split(tmp_path / "bad", vocab_size=8, num_labels=2)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3,, ), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (10**30,), }",
        "{'descr': '<i8', 'fortran_order': True, 'shape': (1, 3), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': ('\\ud800',), }",
    ],
)
def test_a_damaged_header_is_damage(header: str, tmp_path: Path) -> None:
    write(tmp_path / "bad", GOOD)
    path = tmp_path / "bad" / "offsets.npy"
    content = path.read_bytes()
    start = len(content) - 3 * 8
    path.write_bytes(content[:10] + header.ljust(start - 11).encode() + b"\n" + content[start:])
    with pytest.raises(DamagedCacheError):
        read_split(tmp_path / "bad", vocab_size=8, num_labels=2)


@pytest.mark.parametrize("name", ["dataset.json", "tokenizer"])
def test_files_of_a_cache_that_cannot_be_read_now_are_not_called_damaged(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, flags: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(untrusted, "open_plain", refuse)
    with pytest.raises(UserError, match=rf"{name}: cannot be read .*Permission denied"):
        read_manifest(tmp_path, 2) if name == "dataset.json" else read_tokenizer(tmp_path / name)


def test_a_cache_that_cannot_be_read_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "good", GOOD)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(UserError, match=r"good: cannot be read .*Too many open files"):
        read_split(tmp_path / "good")


@pytest.mark.parametrize("crc32", [{}, None, [1], {"token_ids": "x"}])
def test_checksums_of_the_wrong_type(crc32: object, tmp_path: Path) -> None:
    write(tmp_path / "bad", GOOD, crc32=crc32)
    with pytest.raises(DamagedCacheError):
        read_split(tmp_path / "bad")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    """A small token cache, and the configuration that made it."""
    folder = tmp_path_factory.mktemp("cache")
    path = write_jsonl(folder / "train.jsonl", templated_texts(60, seed=3))
    places = {"source": "files", "train_path": str(path), "cache_dir": str(folder / "cache")}
    values = {"data": places, "tokenizer": {"kind": "word", "vocab_size": 40}}
    config = Config.from_config_dict(values)
    dataset = open_dataset(config.data, config.tokenizer)
    for name in dataset.splits:
        dataset.split(name)
    return dataset.folder, config


def test_poison_is_one_line_where_the_cache_is_used(
    cache: tuple[Path, Config], tmp_path: Path
) -> None:
    folder, config = cache
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    data = dataclasses.replace(config.data, token_cache=str(copy), cache_dir=None)
    assert len(open_dataset(data, config.tokenizer).split("test"))
    sequences = [np.array([39, 4000])] * 2
    write_split(copy / "test", sequences, np.zeros(2), np.zeros(2), 5000, "f")
    dataset = open_dataset(data, config.tokenizer)
    with pytest.raises(UserError, match=r"token_cache = .*damaged .*token_ids.npy"):
        dataset.split("test")
    (copy / "test" / "labels.npy").unlink()
    (copy / "test" / "labels.npy").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"labels.npy: a link, pipe or device"):
        open_dataset(data, config.tokenizer)


@pytest.mark.parametrize(
    "changes",
    [
        {"splits": ["train", "../../etc"]},
        {"splits": "train"},
        {"label_names": [1, 2]},
        {"label_names": ["a", "a"]},
        {"label_names": ["a", "b" * 1001]},
        {"settings": [1]},
        {"settings": {"data": 1}},
        {"fingerprint": None},
    ],
)
def test_a_dataset_json_of_wrong_types(
    changes: dict[str, Any], cache: tuple[Path, Config], tmp_path: Path
) -> None:
    folder, config = cache
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    write_manifest(copy, (read_manifest(copy, FORMAT_VERSION) or {}) | changes)
    data = dataclasses.replace(config.data, token_cache=str(copy), cache_dir=None)
    with pytest.raises(UserError, match="no folder of encoded splits, or a damaged one"):
        open_dataset(data, config.tokenizer)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"neg", "pos"', '"pos", "neg"'),
        ('"neg"', '"nef"'),
        (', "development"', ""),
        ('"checksum"', '"sum"'),
    ],
)
def test_a_dataset_json_that_was_altered_is_made_anew_or_refused(
    old: str, new: str, cache: tuple[Path, Config], tmp_path: Path
) -> None:
    folder, config = cache
    copy = Path(shutil.copytree(folder.parent, tmp_path / "copy")) / folder.name
    whole = (copy / "dataset.json").read_text()
    assert old in whole
    (copy / "dataset.json").write_text(whole.replace(old, new))
    alone = dataclasses.replace(config.data, token_cache=str(copy), cache_dir=None)
    with pytest.raises(UserError, match="no folder of encoded splits, or a damaged one"):
        open_dataset(alone, config.tokenizer)
    dataset = open_dataset(
        dataclasses.replace(config.data, cache_dir=str(copy.parent)), config.tokenizer
    )
    assert dataset.label_names == ("neg", "pos")
    assert dataset.has_development
    assert (copy / "dataset.json").read_text() == whole


def test_a_data_set_that_names_a_module_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('executed').touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "mine" / "1.0.0"
    folder.mkdir(parents=True)
    info = {"name": "mine", "version": "1.0.0", "fileFormat": "array_record", "splits": []}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text(json.dumps({"pythonClassName": "stranger.Feature"}))
    config = DataConfig(source="tfds:mine", data_dir=str(tmp_path / "data"))
    with pytest.raises(UserError, match=r"features.json: names 'stranger.Feature'"):
        TfdsSource(config)
    assert not (tmp_path / "executed").exists()
    assert "stranger" not in sys.modules


@pytest.mark.parametrize(
    "name", ["../mine", "/etc/x", "kaggle:x", "x/a=__import__('os')", "a/../b"]
)
def test_names_that_are_no_data_set(name: str) -> None:
    with pytest.raises(UserError, match="no name of a data set"):
        TfdsSource(DataConfig(source=f"tfds:{name}"))
