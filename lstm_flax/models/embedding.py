"""Token vectors, with dropout of vectors and of words."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.errors import UserError
from lstm_flax.recurrent.masking import sequence_mask
from lstm_flax.types import PAD_ID


class TokenEmbedding(nn.Module):
    """Looks up token vectors and applies dropout; zero past each row's length.

    >>> embedding = TokenEmbedding(vocab_size=100, embedding_size=8)
    >>> token_ids, lengths = jnp.array([[4, 5, 6], [7, 0, 0]]), jnp.array([3, 1])
    >>> variables = embedding.init(jax.random.key(0), token_ids, lengths)
    >>> vectors = embedding.apply(variables, token_ids, lengths)
    >>> vectors.shape, bool(jnp.any(vectors[1, 1:]))
    ((2, 3, 8), False)

    Attributes:
        vocab_size: V.
        embedding_size: E.
        embedding_dropout: rate on the vectors, one mask over all time steps of a row.
        word_dropout: rate at which rows of the vocabulary are zeroed for a whole batch.
        dtype: dtype of the result; the table is float32.
    """

    vocab_size: int
    embedding_size: int
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, token_ids: jax.Array, lengths: jax.Array, deterministic: bool = True
    ) -> jax.Array:
        """Embeds a batch.

        Args:
            token_ids: i32[B, T].
            lengths: i32[B], from 1 to T.
            deterministic: True turns dropout off; False needs a `dropout` key.

        Returns:
            [B, T, E] of `dtype`.

        Raises:
            UserError: token ids are not whole numbers, or known ones are outside the vocabulary.
        """
        valid = sequence_mask(lengths, token_ids.shape[1])
        _check_ids(token_ids, valid, self.vocab_size)
        token_ids = jnp.where(valid, token_ids, PAD_ID)
        shape = (self.vocab_size, self.embedding_size)
        table = self.param("embedding", _embedding_init, shape)
        # A vocabulary row is zeroed wherever it occurs in the batch (Gal & Ghahramani 2016; Merity
        # et al. 2018, section 4.3), so no other occurrence gives the word away.
        if self.word_dropout > 0 and not deterministic:
            keep = 1 - self.word_dropout
            kept = jax.random.bernoulli(self.make_rng("dropout"), keep, (self.vocab_size, 1))
            table = table * (kept / keep)
        embedded = table[token_ids]
        # One mask over all time steps of a row.
        dropout = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))
        embedded = dropout(embedded, deterministic=deterministic)
        return jnp.where(valid[..., None], embedded, 0).astype(self.dtype)


def _check_ids(token_ids: jax.Array, valid: jax.Array, vocab_size: int) -> None:
    """Checks known ids; jax would read some row of the table for any number."""
    if not jnp.issubdtype(token_ids.dtype, jnp.integer):
        raise UserError(f"token_ids must be whole numbers, not {token_ids.dtype}")
    if isinstance(token_ids, jax.core.Tracer) or isinstance(valid, jax.core.Tracer):
        return
    read = np.asarray(token_ids)[np.asarray(valid)]
    if read.size > 0 and not (read.min() >= 0 and read.max() < vocab_size):
        raise UserError(
            f"token_ids from {read.min()} to {read.max()}: a vocabulary of {vocab_size} has 0 to "
            f"{vocab_size - 1}"
        )


def _embedding_init(
    key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32
) -> jax.Array:
    """Draws normal values with standard deviation 0.1; the padding row is zero."""
    return nn.initializers.normal(0.1)(key, shape, dtype).at[PAD_ID].set(0)
