"""Freshly drawn parameters of a classifier or a language model."""

from typing import Any

import jax
import jax.numpy as jnp

from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.language_model import LanguageModel


def init_params(model: TextClassifier | LanguageModel, key: jax.Array) -> Any:
    """Draws the parameters of a model; no batch is needed.

    >>> model = TextClassifier(vocab_size=100, num_classes=2, embedding_size=8, hidden_size=8)
    >>> params = init_params(model, jax.random.key(0))
    >>> sorted(params)
    ['embedding', 'head', 'recurrent']
    >>> params["head"]["kernel"].shape
    (8, 2)

    Args:
        model: the module, unbound.
        key: random key.

    Returns:
        `params` for `model.apply({"params": params}, ...)`, all float32.
    """
    if isinstance(model, LanguageModel):
        piece = jnp.ones((1, model.directions, 1), jnp.int32)
        return model.init(key, piece, model.initial_carry(1))["params"]
    token_ids, lengths = jnp.ones((1, 1), jnp.int32), jnp.ones(1, jnp.int32)
    features = None
    if model.num_token_features > 0:
        features = jnp.zeros((1, 1, model.num_token_features), jnp.float32)
    return model.init(key, token_ids, lengths, features)["params"]
