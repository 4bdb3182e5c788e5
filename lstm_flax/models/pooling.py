"""Pooling: one vector per row from the recurrent layers' outputs over time.

>>> outputs = jnp.array([[[1.0, -1.0], [3.0, -2.0], [0.0, 0.0]]])
>>> last, lengths = outputs[:, 1], jnp.array([2])
>>> Pooling("mean").apply({}, outputs, last, lengths)
Array([[ 2. , -1.5]], dtype=float32)
>>> Pooling("max").apply({}, outputs, last, lengths)
Array([[ 3., -1.]], dtype=float32)

To add a pooling, add a case here, a choice in config/model.py, and the same case to
exporting/onnx_graph.py and to the runners of torch and safetensors.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.errors import UserError
from lstm_flax.recurrent.masking import sequence_mask

POOLINGS = ("last", "mean", "max", "attention", "concat")


class Pooling(nn.Module):
    """Summarises each row's valid time steps; padding is ignored.

    >>> outputs, last = jnp.ones((2, 3, 4)), jnp.ones((2, 4))
    >>> Pooling("concat").apply({}, outputs, last, jnp.array([3, 1])).shape
    (2, 12)

    Attributes:
        kind: `last` (the final states), `mean`, `max`, `attention` (a learned weighted mean,
            Yang et al. 2016, equations 5 to 7), or `concat` (last, max and mean concatenated,
            Howard & Ruder 2018, section 3.3).
    """

    kind: str

    @nn.compact
    def __call__(self, outputs: jax.Array, last: jax.Array, lengths: jax.Array) -> jax.Array:
        """Pools one batch.

        Args:
            outputs: [B, T, D*H].
            last: [B, D*H], the last layer's final states, forward then backward.
            lengths: i32[B], from 1 to T.

        Returns:
            f32[B, D*H], or f32[B, 3*D*H] for `concat`.

        Raises:
            UserError: `kind` is not one of the above.
        """
        outputs = outputs.astype(jnp.float32)
        last = last.astype(jnp.float32)
        mask = sequence_mask(lengths, outputs.shape[1])
        match self.kind:
            case "last":
                return last
            case "mean":
                return masked_mean(outputs, mask)
            case "max":
                return masked_max(outputs, mask)
            case "attention":
                hidden = nn.tanh(nn.Dense(outputs.shape[-1], name="attention_hidden")(outputs))
                scores = nn.Dense(1, use_bias=False, name="attention_score")(hidden)[..., 0]
                weights = nn.softmax(jnp.where(mask, scores, jnp.finfo(jnp.float32).min), axis=1)
                return jnp.einsum("bt,btf->bf", weights, outputs)
            case "concat":
                parts = [last, masked_max(outputs, mask), masked_mean(outputs, mask)]
                return jnp.concatenate(parts, axis=-1)
        raise UserError(f"pooling = {self.kind!r}: choose {' or '.join(POOLINGS)}")


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Averages the valid steps: [B, T, D*H], bool[B, T] -> [B, D*H], float32 or wider.

    >>> masked_mean(jnp.array([[[1.0], [3.0], [9.0]]]), jnp.array([[True, True, False]]))
    Array([[2.]], dtype=float32)
    """
    wide = jnp.promote_types(values.dtype, jnp.float32)
    total = jnp.sum(jnp.where(mask[..., None], values, 0), axis=1, dtype=wide)
    return total / jnp.sum(mask, axis=1, keepdims=True).astype(wide)


def masked_max(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Takes the maximum over the valid steps: [B, T, D*H], bool[B, T] -> [B, D*H].

    >>> masked_max(jnp.array([[[-1.0], [-3.0], [0.0]]]), jnp.array([[True, True, False]]))
    Array([[-1.]], dtype=float32)
    """
    return jnp.max(jnp.where(mask[..., None], values, jnp.finfo(values.dtype).min), axis=1)
