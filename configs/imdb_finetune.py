r"""IMDB sentiment from the language models of `imdb_pretrain.py`, with n-gram class ratios.

    python train.py --config=configs/imdb_finetune.py --workdir=runs/imdb_finetune \
        --config.init_from=runs/imdb_pretrain

Time: 30 minutes on 2 busy cores. Result: 92.5% on the development part after one epoch of
pre-training, no better than `imdb.py` (docs/results).
"""

from ml_collections import ConfigDict

from lstm_flax.config import default_config


def get_config() -> ConfigDict:
    """The shapes and the tokenizer of the language models; smaller steps below the head."""
    config = default_config()
    config.init_from = "runs/imdb_pretrain"
    config.data.lowercase = True
    config.data.use_unlabelled = True
    config.tokenizer.kind = "word"
    config.tokenizer.vocab_size = 30_000
    config.tokenizer.max_training_texts = 100_000
    config.model.hidden_size = 256
    config.model.ngram_order = 3
    config.model.embedding_dropout = 0.4
    config.optimizer.b2 = 0.99
    config.optimizer.warmup_fraction = 0.1
    config.optimizer.layer_decay = 0.5
    return config
