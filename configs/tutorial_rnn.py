"""`tutorial_packed.py` with a RNN in place of the LSTM.

python train.py --config=configs/tutorial_rnn.py --workdir=runs/tutorial_rnn
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Everything but the cell is as there."""
    return load_config("tutorial_packed", ["--config.model.cell=rnn"])
