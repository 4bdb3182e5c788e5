"""Log-probabilities and labels from logits f32[B, C]."""

import jax
import jax.numpy as jnp


def log_probabilities(logits: jax.Array) -> jax.Array:
    """Computes log-probabilities of all classes: f32[B, C] -> f32[B, C], in nats.

    >>> log_probabilities(jnp.array([[0.0, 0.0]])).round(4)
    Array([[-0.6931, -0.6931]], dtype=float32)
    """
    return jax.nn.log_softmax(logits, axis=-1)


def predicted_class(logits: jax.Array) -> jax.Array:
    """Returns the most probable class of each row, the first if tied: f32[B, C] -> i32[B].

    >>> predicted_class(jnp.array([[0.0, 0.2], [0.0, -3.0]]))
    Array([1, 0], dtype=int32)
    """
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)
