"""The text classifier: embedding -> recurrent stack -> pooling -> head."""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.config import ModelConfig
from lstm_flax.models.pooling import Pooling
from lstm_flax.recurrent.layers import GRU, LSTM, RNN
from lstm_flax.recurrent.masking import sequence_mask
from lstm_flax.types import PAD_ID, Batch

CELLS = {"lstm": LSTM, "gru": GRU, "rnn": RNN}


class TextClassifier(nn.Module):
    """Token sequences in, one row of logits a text out.

    Neither padding nor the other rows of a batch can change a row's logits: lengths rule.

    Attributes:
        config: sizes, dropout rates, pooling, head, dtype.
        vocab_size: V.
        num_classes: C.
    """

    config: ModelConfig
    vocab_size: int
    num_classes: int

    @nn.compact
    def __call__(
        self,
        token_ids: jax.Array,
        lengths: jax.Array,
        deterministic: bool = True,
        perturbation: jax.Array | None = None,
        ngram_features: jax.Array | None = None,
    ) -> jax.Array:
        """Classifies one batch.

        Args:
            token_ids: i32[B, T]; what stands past a row's length is never read.
            lengths: i32[B], from 1 to T.
            deterministic: True turns every dropout off; False needs a `dropout` key.
            perturbation: f32[B, T, E], added to the embeddings within each row's length, after
                their dropout; None for none.
            ngram_features: f32[B, T, F], zero past each row's length, where
                `config.ngram_order` is not 0. A linear map of them is added to the embeddings.

        Returns:
            Logits f32[B, C], or f32[B, 1] for the sigmoid head: the log-odds of class 1.
        """
        config = self.config
        embedding = TokenEmbedding(config, self.vocab_size, name="embedding")
        embedded = embedding(token_ids, lengths, deterministic)
        if perturbation is not None:
            valid = sequence_mask(lengths, token_ids.shape[1])[..., None]
            embedded += jnp.where(valid, perturbation, 0).astype(embedded.dtype)
        if config.ngram_order > 0:
            linear = nn.Dense(config.embedding_size, use_bias=False, name="ngrams")
            embedded += linear(ngram_features).astype(embedded.dtype)
        recurrent = CELLS[config.cell](
            bidirectional=config.bidirectional, name="recurrent", **recurrent_attributes(config)
        )
        outputs, final = recurrent(embedded, lengths, deterministic=deterministic)
        h_n = final[0] if config.cell == "lstm" else final
        directions = 2 if config.bidirectional else 1
        last = jnp.concatenate(list(h_n[-directions:]), axis=-1)
        pooled = Pooling(config.pooling, name="pooling")(outputs, last, lengths)
        pooled = nn.Dropout(config.head_dropout)(pooled, deterministic=deterministic)
        features = 1 if config.head == "sigmoid" else self.num_classes
        return nn.Dense(features, name="head")(pooled)


def recurrent_attributes(config: ModelConfig) -> dict[str, Any]:
    """What the configuration says of a recurrent stack, in whichever direction it reads."""
    return {
        "hidden_size": config.hidden_size,
        "num_layers": config.num_layers,
        "dropout": config.dropout,
        "recurrent_dropout": config.recurrent_dropout,
        "recurrent_dropout_per_step": config.recurrent_dropout_per_step,
        "implementation": config.implementation,
        "dtype": jnp.dtype(config.dtype),
    }


def apply_classifier(
    model: TextClassifier,
    params: Any,
    batch: Batch,
    dropout_key: jax.Array | None = None,
    perturbation: jax.Array | None = None,
) -> jax.Array:
    """Logits of a batch.

    Args:
        model: the module.
        params: its parameters.
        batch: B rows.
        dropout_key: for training; None turns dropout off. Equal keys draw equal masks.
        perturbation: f32[B, T, E], added to the embeddings, or None.

    Returns:
        f32[B, C], or f32[B, 1] for the sigmoid head.
    """
    logits = model.apply(
        {"params": params},
        batch.token_ids,
        batch.lengths,
        deterministic=dropout_key is None,
        perturbation=perturbation,
        ngram_features=batch.ngram_features,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return cast(jax.Array, logits)


class TokenEmbedding(nn.Module):
    """Vectors of tokens, with dropout; zero past each row's length.

    Attributes:
        config: embedding size and dropout rates.
        vocab_size: V.
    """

    config: ModelConfig
    vocab_size: int

    @nn.compact
    def __call__(
        self, token_ids: jax.Array, lengths: jax.Array, deterministic: bool = True
    ) -> jax.Array:
        """Looks the tokens up: i32[B, T], i32[B] -> [B, T, E]."""
        config = self.config
        valid = sequence_mask(lengths, token_ids.shape[1])
        token_ids = jnp.where(valid, token_ids, PAD_ID)
        shape = (self.vocab_size, config.embedding_size)
        table = self.param("embedding", _embedding_init, shape)
        # A row of the vocabulary vanishes wherever it occurs in the batch (Gal & Ghahramani 2016;
        # Merity et al. 2018, section 4.3), so that a word cannot be read off its other occurrence.
        if config.word_dropout > 0 and not deterministic:
            keep = 1 - config.word_dropout
            kept = jax.random.bernoulli(self.make_rng("dropout"), keep, (self.vocab_size, 1))
            table = table * (kept / keep)
        embedded = table[token_ids]
        # One mask over all time steps of a row.
        dropout = nn.Dropout(config.embedding_dropout, broadcast_dims=(1,))
        embedded = dropout(embedded, deterministic=deterministic)
        return jnp.where(valid[..., None], embedded, 0).astype(config.dtype)


def _embedding_init(
    key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32
) -> jax.Array:
    """Normal with deviation 0.1, the padding row zero."""
    return nn.initializers.normal(0.1)(key, shape, dtype).at[PAD_ID].set(0)
