"""IMDB sentiment, one bidirectional LSTM layer of 128.

    python train.py --config=configs/imdb.py --workdir=runs/imdb

Time: to be measured. Result: to be measured.
"""

from ml_collections import ConfigDict

from lstm_flax.config import default_config


def get_config() -> ConfigDict:
    """The defaults are this configuration."""
    return default_config()
