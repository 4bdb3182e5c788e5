r"""IMDB sentiment from the language models of `imdb_pretrain.py`, with n-gram class ratios.

    python train.py --config=configs/imdb_finetune.py --workdir=runs/imdb_finetune \
        --config.init_from=runs/imdb_pretrain

Time: 30 minutes on 2 busy cores. Result: 92.5% on the development part after one epoch of
pre-training, no better than `imdb.py` (docs/results). Gradual unfreezing, one layer more
an epoch from the head down, is asked for by `--config.optimizer.unfreeze_epochs=1` (not measured).
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """As `imdb.py`, in the shapes of the language models; smaller steps below the head."""
    config = load_config("imdb", [])
    config.init_from = "runs/imdb_pretrain"
    config.model.embedding_init = "normal"
    config.model.hidden_size = 256
    config.optimizer.layer_decay = 0.5
    return config
