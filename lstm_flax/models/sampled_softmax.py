"""Cross-entropy over a large vocabulary: exact, and sampled for training.

The logit of a token is the product of the query and the token's embedding, plus the token's bias.

>>> queries, targets = jnp.ones((2, 4)), jnp.array([1, 3])
>>> table, bias = jnp.zeros((5, 4)), jnp.zeros(5)
>>> [round(float(loss), 3) for loss in exact_cross_entropy(queries, targets, table, bias)]  # log 5
[1.609, 1.609]
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_SAMPLED_CHUNK = 1024  # queries whose logits are held at once: few enough for a CPU's cache
_EXACT_CHUNK = 512


class Candidates(NamedTuple):
    """Tokens that represent the whole vocabulary in one batch.

    >>> draw_candidates(jax.random.key(0), vocab_size=4, samples=0).token_ids
    Array([0, 1, 2, 3], dtype=int32)

    Attributes:
        token_ids: i32[S].
        log_counts: f32[S], logarithm of the expected number of times each is drawn.
    """

    token_ids: jax.Array
    log_counts: jax.Array


def draw_candidates(key: jax.Array, vocab_size: int, samples: int) -> Candidates:
    """Takes the first S / 2 tokens and draws another S / 2 from the rest.

    The draws are log-uniform (Zipf's law) over the ids, and stratified: one from each of S / 2
    equal parts of the probability. Their variance is lower than that of independent draws, and
    duplicates are rare.

    This suits ids ordered by frequency: those of `word` and `char` tokenizers are, and those of
    `unigram` nearly are. `bpe` ids follow the order of merges, with single characters last. The
    loss is correct for any order, because it depends on how often a token is drawn, not on how
    often it occurs; but frequent tokens with high ids are then missing from more batches.

    >>> candidates = draw_candidates(jax.random.key(0), vocab_size=100, samples=8)
    >>> candidates.token_ids[:4]
    Array([0, 1, 2, 3], dtype=int32)
    >>> candidates.log_counts.shape
    (8,)

    Args:
        key: random key.
        vocab_size: V.
        samples: S; 0, or at least V, means the whole vocabulary.

    Returns:
        S candidates, or V for the whole vocabulary.
    """
    if not 0 < samples < vocab_size:
        every = jnp.arange(vocab_size, dtype=jnp.int32)
        return Candidates(every, jnp.zeros(vocab_size, jnp.float32))
    always = samples // 2
    draws = samples - always
    low, high = math.log(always + 1), math.log(vocab_size + 1)
    parts = (jnp.arange(draws) + jax.random.uniform(key, (draws,), jnp.float32)) / draws
    drawn = jnp.exp(low + parts * (high - low)).astype(jnp.int32) - 1
    drawn = jnp.clip(drawn, always, vocab_size - 1)
    token_ids = jnp.concatenate([jnp.arange(always, dtype=jnp.int32), drawn])
    return Candidates(token_ids, expected_log_counts(token_ids, vocab_size, samples))


def expected_log_counts(token_ids: jax.Array, vocab_size: int, samples: int) -> jax.Array:
    """Computes the log of the expected number of times `draw_candidates` returns each token.

    >>> counts = expected_log_counts(jnp.array([0, 50]), vocab_size=100, samples=8)
    >>> [round(float(count), 2) for count in counts]
    [0.0, -3.66]

    Args:
        token_ids: i32[N].
        vocab_size: V.
        samples: S, as for `draw_candidates`.

    Returns:
        f32[N]; 0 for tokens that are always included.
    """
    if not 0 < samples < vocab_size:
        return jnp.zeros(token_ids.shape, jnp.float32)
    always = samples // 2
    ids = token_ids.astype(jnp.float32)
    span = math.log((vocab_size + 1) / (always + 1))
    counts = (samples - always) * jnp.log1p(1 / (ids + 1)) / span
    return jnp.where(token_ids < always, 0.0, jnp.log(counts))


def sampled_cross_entropy(
    queries: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    table: jax.Array,
    bias: jax.Array,
    candidates: Candidates,
    target_log_counts: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Computes the cross-entropy over each target and the candidates other than the target.

    The logarithm of each expected count is subtracted from its logit, so the loss has its minimum
    where the full softmax has it (Bengio & Senecal 2008; Jean et al. 2015, section 3.1). With the
    whole vocabulary as candidates it equals the full softmax.

    >>> queries, targets, weights = jnp.ones((2, 4)), jnp.array([1, 3]), jnp.ones(2)
    >>> candidates = draw_candidates(jax.random.key(0), vocab_size=5, samples=0)
    >>> counts = expected_log_counts(targets, vocab_size=5, samples=0)
    >>> loss, estimate = sampled_cross_entropy(
    ...     queries, targets, weights, jnp.zeros((5, 4)), jnp.zeros(5), candidates, counts
    ... )
    >>> round(float(loss), 3)  # 2 log(5)
    3.219

    Args:
        queries: [N, E].
        targets: i32[N].
        weights: f32[N], weight of each target in the sums.
        table: f32[V, E].
        bias: f32[V].
        candidates: shared by all queries.
        target_log_counts: f32[N], of the targets, from `expected_log_counts`.

    Returns:
        The summed loss to minimise; and the sum of an estimate of the exact cross-entropy, which
        treats the target as always drawn. The estimate has no gradient.
    """
    own = jnp.sum(queries * table[targets].astype(queries.dtype), axis=-1).astype(jnp.float32)
    return _summed(
        queries,
        own + bias[targets],
        table[candidates.token_ids].astype(queries.dtype),
        bias[candidates.token_ids] - candidates.log_counts,
        (targets, weights, target_log_counts, candidates.token_ids),
    )


@jax.custom_vjp
def _summed(queries: Any, own: Any, negatives: Any, offsets: Any, fixed: Any) -> Any:
    return _summed_forward(queries, own, negatives, offsets, fixed)[0]


def _summed_forward(queries: Any, own: Any, negatives: Any, offsets: Any, fixed: Any) -> Any:
    """Computes the sums and their gradient while a chunk's probabilities are in the cache."""
    targets, weights, target_log_counts, token_ids = fixed
    rows = len(targets)
    chunk = min(_SAMPLED_CHUNK, rows)
    arrays = (queries, own, targets, weights, target_log_counts)
    transposed = negatives.T

    def step(carry: Any, piece: Any) -> Any:
        loss, estimate, d_negatives, d_offsets = carry
        query, own, target, weight, log_count = piece
        logits = jnp.matmul(query, transposed, preferred_element_type=jnp.float32) + offsets
        logits = jnp.where(token_ids == target[:, None], -jnp.inf, logits)
        largest = jnp.maximum(jnp.max(logits, axis=1), own)
        exponentials = jnp.exp(logits - largest[:, None])
        rest = largest + jnp.log(jnp.sum(exponentials, axis=1))
        corrected = own - log_count
        total = jnp.logaddexp(corrected, rest)
        loss += jnp.sum((total - corrected) * weight)
        estimate += jnp.sum((jnp.logaddexp(own, rest) - own) * weight)
        # Gradient with respect to the logits: each candidate's probability; the target's minus 1.
        scale = weight * jnp.exp(largest - total)
        d_logits = (exponentials * scale[:, None]).astype(query.dtype)
        d_query = jnp.matmul(d_logits, negatives)
        d_own = weight * (jnp.exp(corrected - total) - 1)
        d_negatives += jnp.matmul(d_logits.T, query, preferred_element_type=jnp.float32)
        d_offsets += jnp.sum(d_logits.astype(jnp.float32), axis=0)
        return (loss, estimate, d_negatives, d_offsets), (d_query, d_own)

    shapes = ((), (), negatives.shape, offsets.shape)
    zeros = tuple(jnp.zeros(shape, jnp.float32) for shape in shapes)
    carry, gradients = jax.lax.scan(step, zeros, _in_chunks(arrays, chunk))
    loss, estimate, d_negatives, d_offsets = carry
    d_queries, d_own = (part.reshape(-1, *part.shape[2:])[:rows] for part in gradients)
    return (loss, estimate), (d_queries, d_own, d_negatives.astype(negatives.dtype), d_offsets)


def _summed_backward(gradients: Any, cotangents: Any) -> Any:
    loss, _ = cotangents
    return *(part * loss.astype(part.dtype) for part in gradients), None


_summed.defvjp(_summed_forward, _summed_backward)


def exact_cross_entropy(
    queries: jax.Array, targets: jax.Array, table: jax.Array, bias: jax.Array
) -> jax.Array:
    """Computes the cross-entropy over the whole vocabulary, a chunk of queries at a time.

    >>> table, bias = jnp.zeros((5, 4)), jnp.array([0.0, 0.0, 2.0, 0.0, 0.0])
    >>> losses = exact_cross_entropy(jnp.ones((1, 4)), jnp.array([2]), table, bias)
    >>> round(float(losses[0]), 3)  # log(1 + 4 exp(-2))
    0.433

    Args:
        queries: [N, E].
        targets: i32[N].
        table: f32[V, E].
        bias: f32[V].

    Returns:
        f32[N], in nats.
    """
    transposed = table.astype(queries.dtype).T

    def losses(piece: tuple[jax.Array, jax.Array]) -> jax.Array:
        query, target = piece
        logits = jnp.matmul(query, transposed, preferred_element_type=jnp.float32) + bias
        own = jnp.take_along_axis(logits, target[:, None], axis=1)[:, 0]
        return jax.nn.logsumexp(logits, axis=1) - own

    chunk = min(_EXACT_CHUNK, len(targets))
    by_chunk: jax.Array = jax.lax.map(losses, _in_chunks((queries, targets), chunk))
    return by_chunk.reshape(-1)[: len(targets)]


def _in_chunks(arrays: tuple[jax.Array, ...], chunk: int) -> tuple[jax.Array, ...]:
    """Reshapes [N, ...] to [pieces, chunk, ...], padded with zeros."""
    missing = -len(arrays[0]) % chunk
    padded = (jnp.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) for array in arrays)
    return tuple(array.reshape(-1, chunk, *array.shape[1:]) for array in padded)
