"""Logits read as labels and probabilities."""

import jax
import jax.numpy as jnp


def log_probabilities(logits: jax.Array) -> jax.Array:
    """Log-probabilities of all labels: f32[B, C] or f32[B, 1] -> f32[B, C] or f32[B, 2]."""
    if logits.shape[-1] == 1:
        logits = jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)
    return jax.nn.log_softmax(logits, axis=-1)


def predicted_class(logits: jax.Array) -> jax.Array:
    """The most probable label of each row: f32[B, C] or f32[B, 1] -> i32[B].

    >>> predicted_class(jnp.array([[0.2], [-3.0]]))
    Array([1, 0], dtype=int32)
    """
    if logits.shape[-1] == 1:
        return (logits[:, 0] > 0).astype(jnp.int32)
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)


def class_probabilities(logits: jax.Array) -> jax.Array:
    """Probabilities of all labels: f32[B, C] or f32[B, 1] -> f32[B, C] or f32[B, 2].

    >>> class_probabilities(jnp.array([[0.0]]))
    Array([[0.5, 0.5]], dtype=float32)
    """
    return jnp.exp(log_probabilities(logits))
