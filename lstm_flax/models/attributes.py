"""Model attributes that come from a configuration."""

from typing import Any

from lstm_flax.config import ModelConfig
from lstm_flax.recurrent.processor import products_dtype


def shared_attributes(config: ModelConfig) -> dict[str, Any]:
    """Returns the attributes that the classifier and the language model have in common."""
    return {
        "embedding_size": config.embedding_size,
        "hidden_size": config.hidden_size,
        "num_layers": config.num_layers,
        "bidirectional": config.bidirectional,
        "embedding_dropout": config.embedding_dropout,
        "word_dropout": config.word_dropout,
        "dropout": config.dropout,
        "recurrent_dropout": config.recurrent_dropout,
        "recurrent_dropout_per_step": config.recurrent_dropout_per_step,
        "head_dropout": config.head_dropout,
        "implementation": config.implementation,
        "dtype": products_dtype(config.dtype),
    }
