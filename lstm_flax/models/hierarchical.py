"""Splits a row of tokens into sentences, which a hierarchical classifier reads one by one.

Yang et al. (2016) read each sentence on its own, pool it to one vector, and read a text as the
sequence of these vectors. Compilation needs fixed shapes, so both numbers are bounded. A sentence
has at most n tokens, and a longer one is split; it has at least n / 2 unless the text ends, and a
shorter one is joined to the next. A row of T tokens then has at most 2 T / n sentences. If no
tokens end sentences, every sentence has n tokens.

>>> token_ids = jnp.array([[5, 9, 6, 9, 7, 8, 5, 7, 8]])
>>> sentences = split_sentences(token_ids, jnp.array([8]), ends=(9,), limit=4)
>>> sentences.starts.tolist(), sentences.lengths.tolist(), sentences.counts.tolist()
([[0, 2, 4, 8, 8]], [[2, 2, 4, 0, 0]], [3])
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lstm_flax.recurrent.masking import sequence_mask


class Sentences(NamedTuple):
    """The positions of the sentences in B rows.

    Attributes:
        starts: i32[B, S], the first token of each sentence.
        lengths: i32[B, S], the number of its tokens; 0 past a row's last sentence.
        counts: i32[B], sentences of each row, from 1 to S.
    """

    starts: jax.Array
    lengths: jax.Array
    counts: jax.Array


def split_sentences(
    token_ids: jax.Array, lengths: jax.Array, ends: tuple[int, ...], limit: int
) -> Sentences:
    """Finds the sentences of each row, from its first token on.

    Neither padding nor the width of the batch moves a boundary.

    Args:
        token_ids: i32[B, T].
        lengths: i32[B], from 1 to T.
        ends: ids of the tokens that end a sentence; a static tuple.
        limit: n, the most tokens in a sentence.

    Returns:
        The sentences; S is T / (n / 2), or T / n without ends, rounded up.
    """
    rows, width = token_ids.shape
    least = (limit + 1) // 2 if ends else limit
    most = -(-width // least)
    is_end = jnp.isin(token_ids, jnp.array(ends, jnp.int32))

    def step(size: jax.Array, ends_here: jax.Array) -> tuple[jax.Array, jax.Array]:
        size += 1
        closes = (ends_here & (size >= least)) | (size == limit)
        return jnp.where(closes, 0, size), closes

    _, closes = lax.scan(step, 0 * lengths.astype(jnp.int32), is_end.T)
    sentence = jnp.cumsum(closes.T, axis=1) - closes.T  # how many sentences have already ended
    valid = sequence_mask(lengths, width)
    row = jnp.arange(rows)[:, None]
    sizes = jnp.zeros((rows, most), jnp.int32).at[row, sentence].add(valid.astype(jnp.int32))
    starts = jnp.cumsum(sizes, axis=1) - sizes
    return Sentences(starts, sizes, jnp.sum(sizes > 0, axis=1))


def gather_sentences(
    embedded: jax.Array, sentences: Sentences, limit: int
) -> tuple[jax.Array, jax.Array]:
    """Gathers the sentences of a batch as rows of their own.

    >>> embedded = jnp.arange(6.0).reshape(1, 6, 1)
    >>> sentences = Sentences(jnp.array([[0, 4]]), jnp.array([[4, 2]]), jnp.array([2]))
    >>> rows, lengths = gather_sentences(embedded, sentences, limit=4)
    >>> rows[..., 0].tolist(), lengths.tolist()
    ([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 0.0, 0.0]], [4, 2])

    Args:
        embedded: [B, T, E].
        sentences: the sentences of the same rows.
        limit: n, the most tokens in a sentence.

    Returns:
        [B * S, n, E], zero past each sentence's end, and each length i32[B * S], at least 1. Rows
        of sentences that do not exist must not be used.
    """
    batch, width, features = embedded.shape
    steps = jnp.arange(limit)
    at = jnp.minimum(sentences.starts[..., None] + steps, width - 1)
    rows = embedded[jnp.arange(batch)[:, None, None], at]
    rows = jnp.where((steps < sentences.lengths[..., None])[..., None], rows, 0)
    return rows.reshape(-1, limit, features), jnp.maximum(sentences.lengths, 1).reshape(-1)
