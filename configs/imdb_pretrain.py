"""Language models of IMDB's training and unlabelled reviews, forward and backward.

    python train.py --config=configs/imdb_pretrain.py --workdir=runs/imdb_pretrain

One epoch at a rate of 4e-3 took 54 minutes on 2 busy cores (commit 2b84294, seed 0): perplexity
130.1 on the development part in each direction, compared to a trigram model's 138.5
(docs/results/language_model.md). The two epochs at 5e-3 below are not measured yet.

The 270 unlabelled reviews that equal a test review are left out, and so are the development part's
films among the labelled reviews. Start a classifier from it with `--config.init_from=DIR`.
"""

from ml_collections import ConfigDict

from lstm_flax.config import default_config
from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Uses text and tokenizer of `imdb.py`; almost no dropout: much text, a small model."""
    imdb = load_config("imdb", [])
    config = default_config()
    config.task = "language_model"
    config.data = imdb.data
    config.data.batch_size = 128
    config.tokenizer = imdb.tokenizer
    config.model.embedding_size = 128
    config.model.hidden_size = 256
    config.model.embedding_dropout = 0.1
    config.model.word_dropout = 0.0
    config.model.head_dropout = 0.1
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 5e-3
    config.optimizer.weight_decay = 0.0
    config.training.epochs = 2
    config.training.ema_decay = 0.0
    config.training.checkpoint_interval = 500
    return config
