"""`tutorial_packed.py` with a GRU in place of the LSTM.

python train.py --config=configs/tutorial_gru.py --workdir=runs/tutorial_gru
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Everything but the cell is as there."""
    return load_config("tutorial_packed", ["--config.model.cell=gru"])
