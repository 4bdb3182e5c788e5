"""Makes `lstm_flax/data/sources/imdb_films.npz` from the published archive.

    python scripts/make_film_table.py aclImdb_v1.tar.gz

Line i of `train/urls_pos.txt` names the film of review i in `train/pos`, and so for `neg`.
"""

import re
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

import numpy as np

import lstm_flax.data.sources.imdb_films as imdb_films
from lstm_flax.text.hashing import text_hash
from lstm_flax.text.normalization import NORMALIZATION_VERSION

_REVIEW = re.compile(r"aclImdb/(train|test)/(pos|neg|unsup)/(\d+)_\d+\.txt")
_URLS = re.compile(r"aclImdb/train/urls_(pos|neg)\.txt")
_FILM = re.compile(r"/title/(tt\d+)")


def read_archive(
    path: Path,
) -> tuple[dict[tuple[str, str], dict[int, int]], dict[str, list[str]]]:
    """Reads the hash of each review by (split, folder) and number, and films by folder and line."""
    hashes: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    film_lists: dict[str, list[str]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            review, urls = _REVIEW.fullmatch(member.name), _URLS.fullmatch(member.name)
            if not (review or urls):
                continue
            file = archive.extractfile(member)
            assert file is not None, f"{member.name} is not a file"
            text = file.read().decode("utf-8")
            if review:
                split, folder, number = review.groups()
                hashes[split, folder][int(number)] = text_hash(text)
            elif urls:
                film_lists[urls[1]] = _FILM.findall(text)
    return hashes, film_lists


def join_films(pairs: list[tuple[int, str]]) -> dict[int, int]:
    """Assigns a film number to each hash; films that share a text become one.

    Args:
        pairs: (hash of a review, name of its film).
    """
    parent: dict[str, str] = {}

    def root(film: str) -> str:
        while parent.setdefault(film, film) != film:
            film = parent[film]
        return film

    film_of: dict[int, str] = {}
    for hash_, film in pairs:
        parent[root(film)] = root(film_of.setdefault(hash_, film))
    numbers = {film: i for i, film in enumerate(sorted({root(film) for film in parent}))}
    return {hash_: numbers[root(film)] for hash_, film in film_of.items()}


def main(archive: Path) -> None:
    """Reads the archive and writes the table beside the module that reads it."""
    hashes, film_lists = read_archive(archive)
    pairs = [
        (hash_, film_lists[folder][number])
        for folder in ("neg", "pos")
        for number, hash_ in hashes["train", folder].items()
    ]
    assert len(pairs) == 25_000, f"{len(pairs)} training reviews"
    film_of = join_films(pairs)
    train, test = set(film_of), set()
    for folder in ("neg", "pos"):
        test |= set(hashes["test", folder].values())
    unsupervised = set(hashes["train", "unsup"].values())
    ordered = np.array(sorted(film_of), dtype=np.uint64)
    target = Path(imdb_films.__file__).with_name("imdb_films.npz")
    np.savez_compressed(
        target,
        hashes=ordered,
        films=np.array([film_of[int(h)] for h in ordered], dtype=np.uint16),
        unsupervised_in_test=np.array(sorted(unsupervised & test), dtype=np.uint64),
        test_in_train=np.array(sorted(test & train), dtype=np.uint64),
        normalization_version=np.array(NORMALIZATION_VERSION),
    )
    print(
        f"{target}: {len(film_of)} texts, {len(set(film_of.values()))} films, "
        f"{len(unsupervised & test)} unlabelled and {len(train & test)} training texts are in test"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
