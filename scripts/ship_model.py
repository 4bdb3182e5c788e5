"""Puts a run's best checkpoint into the package: weights in half precision, no optimizer state.

    python scripts/ship_model.py runs/imdb_student

`lstm-flax predict` and `evaluate` use it if no --workdir is given. Score it afterwards:
`lstm-flax evaluate`. N-grams whose naive-Bayes log-count ratios are all below `NEGLIGIBLE` are left
out: a quarter of them, which changed one answer of 2,497 on the development part.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np

from lstm_flax.checkpoints.folder import CheckpointFolder, evaluated_item
from lstm_flax.checkpoints.pretrained import SHIPPED
from lstm_flax.checkpoints.restore import load_trained_model
from lstm_flax.config import Config
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.ngrams.weights import NgramWeights

NEGLIGIBLE = 0.25


def ship(run: Path, folder: Path) -> None:
    """Writes the run's best checkpoint, without training state, to a folder that must not exist."""
    if folder.exists():
        raise SystemExit(f"{folder} already exists; remove it first")
    trained = load_trained_model(run)
    metadata = dataclasses.replace(
        trained.metadata,
        config=without_places(trained.metadata.config),
        encoder=without_weak_ngrams(trained.metadata.encoder),
    )
    checkpoints = CheckpointFolder(folder, keep=1)
    half = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), trained.params)
    item = evaluated_item(metadata.config.training.ema_decay)
    checkpoints.save(trained.step, {item: half}, metadata)
    checkpoints.close()
    # Orbax's records of finished saves name this machine's folders; nothing reads them from disk.
    for mark in folder.rglob("commit_success.txt"):
        mark.unlink()


def without_places(config: Config) -> Config:
    """Returns the configuration without this machine's folders, which mean nothing elsewhere."""
    places = ("data_dir", "archive", "cache_dir", "token_cache", "extra_train_path")
    data = dataclasses.replace(config.data, **dict.fromkeys(places))
    return dataclasses.replace(config, data=data, init_from=None)


def without_weak_ngrams(encoder: TextEncoder) -> TextEncoder:
    """Returns the encoder without the n-grams whose ratios are all negligible."""
    if encoder.ngrams is None:
        return encoder
    return TextEncoder(encoder.tokenizer, without_weak_ratios(encoder.ngrams))


def without_weak_ratios(ratios: NgramWeights) -> NgramWeights:
    """Keeps only the n-grams with at least one ratio that is not negligible."""
    known, unknown = ratios.tables[:, :-1], ratios.tables[:, -1:]
    strong = (np.abs(known.astype(np.float32)) >= NEGLIGIBLE).any(axis=(0, 2))
    tables = np.concatenate([known[:, strong], unknown], axis=1)
    return dataclasses.replace(ratios, keys=ratios.keys[strong], tables=tables)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    ship(Path(sys.argv[1]), SHIPPED)
    size = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file())
    print(f"{SHIPPED}: {size / 1e6:.1f} MB")
