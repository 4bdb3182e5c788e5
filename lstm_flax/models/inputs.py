"""The classifier from its input vectors on, which explanations differentiate.

A token's input vector is its embedding plus the linear map of its features.

>>> from lstm_flax.models.classifier import apply_classifier
>>> model = TextClassifier(vocab_size=100, num_classes=2, embedding_size=8, hidden_size=8)
>>> batch = Batch(jnp.array([[4, 5]]), jnp.array([2]), jnp.array([-1]), jnp.array([True]))
>>> params = model.init(jax.random.key(0), batch.token_ids, batch.lengths)["params"]
>>> embedded, from_features = input_vectors(params, batch)
>>> logits = logits_of_inputs(model, params, embedded + from_features, batch.lengths)
>>> bool(jnp.allclose(logits, apply_classifier(model, params, batch), atol=1e-6))
True
"""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.models.classifier import TextClassifier
from lstm_flax.models.embedding import TokenEmbedding
from lstm_flax.recurrent.masking import sequence_mask
from lstm_flax.types import Batch


def input_vectors(params: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Computes the two parts of each token's input vector, zero past each row's length.

    Args:
        params: parameters of a `TextClassifier`.
        batch: B rows.

    Returns:
        The embeddings, and the linear map of the token features (zeros without any), each
        f32[B, T, E].
    """
    valid = sequence_mask(batch.lengths, batch.token_ids.shape[1])[..., None]
    embedded = jnp.where(valid, params["embedding"]["embedding"][batch.token_ids], 0)
    if batch.token_features is None:
        return embedded, jnp.zeros_like(embedded)
    return embedded, jnp.where(valid, batch.token_features @ params["ngrams"]["kernel"], 0)


def logits_of_inputs(
    model: TextClassifier,
    params: Any,
    inputs: jax.Array,
    lengths: jax.Array,
    voting_features: jax.Array | None = None,
    token_ids: jax.Array | None = None,
) -> jax.Array:
    """Computes the logits f32[B, C] of rows given as input vectors, with dropout off.

    Args:
        model: the module.
        params: its parameters.
        inputs: [B, T, E].
        lengths: i32[B], from 1 to T.
        voting_features: f32[B, T, F], for a model with votes, whose logits also read the features
            directly.
        token_ids: i32[B, T], for a hierarchical model, which needs them to find the sentences.
    """

    def replace(next_call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if isinstance(context.module, TokenEmbedding) and context.method_name == "__call__":
            return inputs.astype(context.module.dtype)
        if context.module.name == "ngrams":  # already part of the input vectors
            return jnp.zeros(inputs.shape, jnp.float32)
        return next_call(*args, **kwargs)

    with nn.intercept_methods(replace):
        if model.votes_order == 0:
            model, voting_features = model.clone(num_token_features=0), None
        if token_ids is None:
            token_ids = jnp.zeros(inputs.shape[:2], jnp.int32)
        logits = model.apply({"params": params}, token_ids, lengths, voting_features)
    return cast(jax.Array, logits)
