"""Layers and classifier under JAX's strictest rules for mixed ranks and dtypes."""

import jax
import jax.numpy as jnp
import pytest

from lstm_flax import TextClassifier


@pytest.mark.parametrize("implementation", ["scan", "fused"])
def test_nothing_is_promoted_in_silence(implementation: str) -> None:
    model = TextClassifier(
        vocab_size=10,
        num_classes=3,
        embedding_size=4,
        hidden_size=4,
        bidirectional=True,
        pooling="concat",
        implementation=implementation,
    )
    token_ids, lengths = jnp.ones((2, 5), jnp.int32), jnp.array([5, 2], jnp.int32)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        variables = model.init(jax.random.key(0), token_ids, lengths)

        @jax.jit
        def gradient(variables: dict) -> dict:
            return jax.grad(lambda v: model.apply(v, token_ids, lengths).sum())(variables)

        assert jax.tree.structure(gradient(variables)) == jax.tree.structure(variables)
