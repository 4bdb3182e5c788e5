"""Model attributes that come from a configuration."""

from collections.abc import Sequence
from typing import Any

from lstm_flax.config import ModelConfig
from lstm_flax.errors import UserError
from lstm_flax.recurrent.processor import products_dtype

SIZES = ("vocab_size", "embedding_size", "hidden_size", "num_layers")
RATES = ("embedding_dropout", "word_dropout", "dropout", "recurrent_dropout", "head_dropout")


def check_numbers(module: Any, sizes: Sequence[str], rates: Sequence[str]) -> None:
    """Checks attributes of a module.

    Args:
        module: holds them.
        sizes: names of those that must be at least 1.
        rates: names of those that must be at least 0 and below 1.

    Raises:
        UserError: names the first that is not.
    """
    for name in sizes:
        if getattr(module, name) < 1:
            raise UserError(f"{name} = {getattr(module, name)}: must be at least 1")
    for name in rates:
        if not 0 <= getattr(module, name) < 1:
            raise UserError(f"{name} = {getattr(module, name)}: must be at least 0 and below 1")


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
