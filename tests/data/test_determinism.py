"""An encoded data set is the same to the byte whatever hash seed, locale and order of files."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lstm_flax.data.examples import sorted_label_names

# Prints the digest of every file of a cache, made from a folder of texts; loads no jax.
PROGRAM = """
import hashlib, pathlib, sys
from lstm_flax.config import Config
from lstm_flax.data.opening import open_dataset
data = {"source": "files", "train_path": sys.argv[1], "cache_dir": sys.argv[2]}
tokenizer = {"kind": "word", "vocab_size": 60}
config = Config.from_config_dict({"data": data, "tokenizer": tokenizer})
dataset = open_dataset(config.data, config.tokenizer)
for name in dataset.splits:
    dataset.split(name)
cache = pathlib.Path(sys.argv[2])
for path in sorted(cache.rglob("*")):
    if path.is_file():
        print(path.relative_to(cache), hashlib.sha256(path.read_bytes()).hexdigest())
assert "jax" not in sys.modules
"""


def digests(folder: Path, cache: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, cache],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(folder: Path, names: list[str]) -> Path:
    """Texts in folders of labels that are equal as numbers, made in the order of the names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"a film {hashlib.sha256(name.encode()).hexdigest()[:3]} of {name} ß İ")
        os.utime(path, (0, 0))
    return folder


def test_two_machines_make_one_cache(tmp_path: Path) -> None:
    names = [f"{label}/{n}.txt" for label in ("1", "01", "001", "2") for n in range(12)]
    first = digests(
        write(tmp_path / "a" / "texts", names),
        tmp_path / "cache-a",
        PYTHONHASHSEED="0",
        LC_ALL="C",
        PYTHONUTF8="0",
    )
    second = digests(
        write(tmp_path / "b" / "texts", names[::-1]),
        tmp_path / "cache-b",
        PYTHONHASHSEED="4242",
        LC_ALL="C.UTF-8",
    )
    assert "dataset.json" in first
    assert first == second


@pytest.mark.parametrize("labels", [["1", "01", "001"], ["01", "001", "1"], ["001", "1", "01"]])
def test_labels_that_are_equal_numbers_have_one_order(labels: list[str]) -> None:
    names = dict.fromkeys(labels)
    assert sorted_label_names(names.keys()) == ("001", "01", "1")  # type: ignore[arg-type]
