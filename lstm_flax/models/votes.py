"""Votes of a text's n-grams: their weights, summed straight into the logits.

Besides feeding the embedding and recurrent layers, the token features form a linear model of their
own. Each feature is summed over the text and divided by the square root of the text's length; one
learned scale per n-gram length multiplies the sums, which are added to the head's logits.

>>> features = jnp.array([[[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]])  # 2 tokens, 1- and 2-grams
>>> votes = NgramVotes(order=2, num_outputs=2)
>>> params = {"params": {"scale": jnp.array([1.0, 0.0])}}
>>> votes.apply(params, features, jnp.array([2])).round(2)
Array([[0.  , 2.83]], dtype=float32)
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class NgramVotes(nn.Module):
    """Maps token features f32[B, T, order * R] to logits f32[B, num_outputs].

    R is 1 for two classes (a vote for class 1), else the number of classes.

    Attributes:
        order: n of the longest n-grams.
        num_outputs: the head's outputs.
        first_scale: initial value of the scales. Votes from a regression are already logits;
            log-count ratios assume independent n-grams, so their sum is too large.
    """

    order: int
    num_outputs: int
    first_scale: float = 0.3

    @nn.compact
    def __call__(self, token_features: jax.Array, lengths: jax.Array) -> jax.Array:
        """Computes the votes of a batch.

        Args:
            token_features: f32[B, T, order * R], zero past each row's length.
            lengths: i32[B], from 1 to T.
        """
        first = nn.initializers.constant(self.first_scale)
        scale = self.param("scale", first, (self.order,), jnp.float32)
        sums = jnp.sum(token_features, axis=1) / jnp.sqrt(lengths[:, None].astype(jnp.float32))
        by_length = sums.reshape(sums.shape[0], self.order, -1)
        votes = jnp.einsum("bor,o->br", by_length, scale)
        return jnp.pad(votes, ((0, 0), (self.num_outputs - votes.shape[1], 0)))


def votes_matrix(scale: np.ndarray, num_outputs: int) -> np.ndarray:
    """Returns the votes as a linear layer's weight: f32[order] -> f32[num_outputs, order * R].

    >>> votes_matrix(np.array([0.5, 2.0]), 2).tolist()
    [[0.0, 0.0], [0.5, 2.0]]
    >>> votes_matrix(np.array([0.5]), 3).shape
    (3, 3)
    """
    if num_outputs <= 2:
        return np.pad(np.asarray(scale)[None], ((num_outputs - 1, 0), (0, 0)))
    return np.kron(np.asarray(scale), np.eye(num_outputs))
