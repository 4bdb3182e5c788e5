"""Folders: of labels, of the parts of a data set, and of what is neither."""

import re
from pathlib import Path

import pytest

from lstm_flax.config import DataConfig
from lstm_flax.data.loading import load_examples
from lstm_flax.data.sources.folders import parts_of
from lstm_flax.errors import UserError


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"the text of {name}")
    return folder


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        (("train/pos/1.txt", "test/pos/1.txt"), {"train": "train", "test": "test"}),
        (
            ("README", "imdb.vocab", "train/urls_pos.txt", "train/pos/1.txt", "test/neg/1.txt"),
            {"train": "train", "test": "test"},
        ),
        (
            ("Training/a/1.txt", "val/a/1.txt", ".git/a/1.txt"),
            {"train": "Training", "development": "val"},
        ),
        (
            ("train.csv.gz", "dev.csv.gz", "test.csv.gz", "labels.csv"),
            {"train": "train.csv.gz", "development": "dev.csv.gz", "test": "test.csv.gz"},
        ),
        (("train.txt", "test.csv"), {}),
        (("test/pos/1.txt", "dev/pos/1.txt"), {}),
        (("train/1.txt", "car/1.txt", "test/1.txt"), {}),
        (("pos/1.txt", "neg/1.txt", "train.csv"), {}),
    ],
)
def test_parts_are_found_by_their_names(
    files: tuple[str, ...], parts: dict[str, str], tmp_path: Path
) -> None:
    found = parts_of(write(tmp_path, *files))
    assert found == {part: tmp_path / name for part, name in parts.items()}


def test_a_part_that_is_there_twice_is_named(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", "train.jsonl", "test.csv")
    with pytest.raises(
        UserError, match=r"train\.csv and train\.jsonl could each be the train part"
    ):
        parts_of(tmp_path)


@pytest.mark.parametrize("name", ["car", "test"])
def test_folders_named_like_splits_are_not_classes(name: str, tmp_path: Path) -> None:
    write(tmp_path, "train/1.txt", f"{name}/1.txt")
    with pytest.raises(
        UserError, match=r"look like splits, not labels; name one of them, such as .*train"
    ):
        load_examples(DataConfig(source="files", train_path=str(tmp_path)), "train")


def test_unlabelled_reviews_of_the_archive_are_no_class(tmp_path: Path) -> None:
    write(tmp_path, "pos/1.txt", "neg/1.txt", "unsup/1.txt")
    config = DataConfig(
        source="files", train_path=str(tmp_path), development_fraction=0, test_fraction=0
    )
    assert load_examples(config, "train").label_names == ("neg", "pos")


def test_a_folder_of_nothing_but_unlabelled_texts_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "unsup/1.txt")
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}: no examples")):
        load_examples(DataConfig(source="files", train_path=str(tmp_path)), "train")
