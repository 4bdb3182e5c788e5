r"""IMDB sentiment from the language models of `imdb_pretrain.py`, with log-count ratios.

    python train.py --config=configs/imdb_finetune.py --workdir=runs/imdb_finetune \
        --config.init_from=runs/imdb_pretrain

Time: 30 minutes on 2 busy cores. Result: 92.5% on the development part after one epoch of
pre-training, no better than `imdb.py` (docs/results). For gradual unfreezing, one more layer per
epoch from the head down: `--config.recipes.fine_tuning.unfreeze_epochs=1` (not measured).
"""

from ml_collections import ConfigDict

from lstm_flax.config import recipe_section
from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Returns `imdb.py` with the language models' sizes, and smaller steps below the head."""
    config = load_config("imdb", [])
    config.init_from = "runs/imdb_pretrain"
    config.model.embedding_init = "normal"
    config.model.hidden_size = 256
    config.model.dtype = "float32"
    config.recipes.fine_tuning = recipe_section("fine_tuning")
    config.recipes.fine_tuning.layer_decay = 0.5
    return config
