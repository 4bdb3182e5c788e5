"""IMDB sentiment from the labelled training reviews alone: `imdb.py` without unlabelled text.

    python train.py --config=configs/imdb_labels_only.py --workdir=runs/imdb_labels_only

Time and result: not measured yet.
"""

from ml_collections import ConfigDict

from lstm_flax.configs import imdb


def get_config() -> ConfigDict:
    """Vocabulary and vectors from the training reviews."""
    config = imdb.get_config()
    config.data.use_unlabelled = False
    return config
