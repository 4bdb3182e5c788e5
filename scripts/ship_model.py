"""Puts a run's best checkpoint into the package: weights in half precision, no optimiser state.

    python scripts/ship_model.py runs/imdb

`lstm-flax predict` and `evaluate` use it where no --workdir is given. Score it after that:
`lstm-flax evaluate`.
"""

import dataclasses
import sys
from pathlib import Path

from lstm_flax.inference.shipped import SHIPPED
from lstm_flax.training.checkpoints import CheckpointFolder
from lstm_flax.training.trained_model import load_trained_model


def main(run: str) -> None:
    """Writes the folder `SHIPPED`, which must not be there yet."""
    if SHIPPED.exists():
        raise SystemExit(f"{SHIPPED} is there already; remove it first")
    trained = load_trained_model(Path(run))
    # Where the data lay on this machine is nobody else's.
    config = trained.metadata.config
    nowhere = dict.fromkeys(("data_dir", "archive", "cache_dir", "token_cache"))
    data = dataclasses.replace(config.data, **nowhere)
    config = dataclasses.replace(config, data=data, init_from=None)
    metadata = dataclasses.replace(trained.metadata, config=config)
    folder = CheckpointFolder(SHIPPED, keep=1)
    folder.save_slim(trained.step, trained.params, metadata)
    folder.close()
    size = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file())
    print(f"{SHIPPED}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
