"""Puts a run's best checkpoint into the package: weights in half precision, no optimiser state.

    python scripts/ship_model.py runs/imdb_student

`lstm-flax predict` and `evaluate` use it where no --workdir is given. Score it after that:
`lstm-flax evaluate`. Class ratios of n-grams below `NEGLIGIBLE` are left out: a quarter of them,
which moved one answer of 2,497 on the development part.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np

from lstm_flax.checkpoints.folder import CheckpointFolder
from lstm_flax.checkpoints.pretrained import SHIPPED
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config
from lstm_flax.text.ngrams import NgramRatios

NEGLIGIBLE = 0.25


def ship(run: Path, folder: Path) -> None:
    """Writes the run's best checkpoint, slim, to a folder that must not be there yet."""
    if folder.exists():
        raise SystemExit(f"{folder} is there already; remove it first")
    trained = load_trained_model(run)
    metadata = dataclasses.replace(
        trained.metadata,
        config=without_places(trained.metadata.config),
        ngrams=trained.metadata.ngrams and without_weak_ratios(trained.metadata.ngrams),
    )
    checkpoints = CheckpointFolder(folder, keep=1)
    checkpoints.save_slim(trained.step, trained.params, metadata)
    checkpoints.close()
    # Orbax's marks that a save has ended name this machine's folders; on a disk nothing reads them.
    for mark in folder.rglob("commit_success.txt"):
        mark.unlink()


def without_places(config: Config) -> Config:
    """The configuration without the folders of this machine, which are nobody else's."""
    nowhere = dict.fromkeys(("data_dir", "archive", "cache_dir", "token_cache"))
    data = dataclasses.replace(config.data, **nowhere)
    training = dataclasses.replace(config.training, teachers=None)
    return dataclasses.replace(config, data=data, training=training, init_from=None)


def without_weak_ratios(ngrams: NgramRatios) -> NgramRatios:
    """Only the n-grams of which some ratio is not negligible."""
    known, unknown = ngrams.tables[:, :-1], ngrams.tables[:, -1:]
    strong = (np.abs(known.astype(np.float32)) >= NEGLIGIBLE).any(axis=(0, 2))
    tables = np.concatenate([known[:, strong], unknown], axis=1)
    return dataclasses.replace(ngrams, keys=ngrams.keys[strong], tables=tables)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    ship(Path(sys.argv[1]), SHIPPED)
    size = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file())
    print(f"{SHIPPED}: {size / 1e6:.1f} MB")
