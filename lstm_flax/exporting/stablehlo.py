"""A classifier as one StableHLO artifact for CPU, CUDA and TPU, batch and time symbolic.

All platforms get the same implementation, which depends on the cell, not on the exporting machine.
"""

from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import export

from lstm_flax.models.classifier import TextClassifier

PLATFORMS = ("cpu", "cuda", "tpu")


def build_stablehlo(model: TextClassifier, params: Any) -> bytes:
    """Serialises the program of a classifier, including its parameters.

    It takes token_ids i32[batch, time], lengths i32[batch] and token_features f32[batch, time, F],
    F = 0 for a model without them, and returns logits f32[batch, C].

    Args:
        model: its attributes.
        params: its parameters.
    """
    params = jax.tree.map(jnp.asarray, params)
    portable = model.clone(implementation="fused" if model.cell == "lstm" else "scan")
    features = model.num_token_features

    def logits(token_ids: jax.Array, lengths: jax.Array, token_features: jax.Array) -> jax.Array:
        given = token_features if features else None
        return cast(jax.Array, portable.apply({"params": params}, token_ids, lengths, given))

    batch, time = export.symbolic_shape("batch, time")
    arguments = (
        jax.ShapeDtypeStruct((batch, time), jnp.int32),
        jax.ShapeDtypeStruct((batch,), jnp.int32),
        jax.ShapeDtypeStruct((batch, time, features), jnp.float32),
    )
    return bytes(export.export(jax.jit(logits), platforms=PLATFORMS)(*arguments).serialize())
