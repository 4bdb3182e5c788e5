"""The softmax over the vocabulary, exact and sampled, against its formula."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_flax.models.sampled_softmax import (
    draw_candidates,
    exact_cross_entropy,
    expected_log_counts,
    sampled_cross_entropy,
)
from tests.models.language_model_cases import VOCAB, naive_losses


def softmax_case(seed: int = 0, rows: int = 7) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(rows, 6)).astype(np.float32)
    table = rng.normal(size=(VOCAB, 6)).astype(np.float32)
    bias = rng.normal(size=VOCAB).astype(np.float32)
    targets = rng.integers(0, VOCAB, rows).astype(np.int32)
    return queries, targets, table, bias


def test_exact_cross_entropy_equals_a_naive_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstm_flax.models.sampled_softmax._EXACT_CHUNK", 3)
    queries, targets, table, bias = softmax_case()
    losses = exact_cross_entropy(queries, targets, table, bias)
    np.testing.assert_allclose(losses, naive_losses(queries, targets, table, bias), rtol=1e-5)


@pytest.mark.parametrize("samples", [0, VOCAB])
def test_all_classes_as_candidates_are_the_full_softmax(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_flax.models.sampled_softmax._SAMPLED_CHUNK", 3)
    queries, targets, table, bias = softmax_case()
    weights = np.array([1, 1, 0, 1, 2, 1, 1], np.float32)
    every = draw_candidates(jax.random.PRNGKey(0), VOCAB, samples)
    counts = expected_log_counts(jnp.asarray(targets), VOCAB, samples)

    def sampled(queries: Any, table: Any, bias: Any) -> Any:
        both = sampled_cross_entropy(queries, targets, weights, table, bias, every, counts)
        return 3 * both[0], both

    def exact(queries: Any, table: Any, bias: Any) -> Any:
        loss = jnp.sum(exact_cross_entropy(queries, targets, table, bias) * weights)
        return 3 * loss, loss

    (ours, (loss, estimate)), (theirs, expected) = (
        jax.jit(jax.grad(f, argnums=(0, 1, 2), has_aux=True))(queries, table, bias)
        for f in (sampled, exact)
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(estimate, loss, rtol=1e-6)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_the_sampled_loss_is_a_softmax_over_target_and_other_candidates() -> None:
    queries, targets, table, bias = softmax_case()
    samples = 12
    drawn = draw_candidates(jax.random.PRNGKey(4), VOCAB, samples)
    targets[0] = drawn.token_ids[8]  # among the draws: it must not compete with itself
    counts = np.asarray(expected_log_counts(jnp.asarray(targets), VOCAB, samples), np.float64)
    expected, estimated = 0.0, 0.0
    for n, target in enumerate(targets):
        logits = np.asarray(table @ queries[n] + bias, np.float64)
        others = [
            np.exp(logits[j] - c)
            for j, c in zip(*map(np.asarray, drawn), strict=True)
            if j != target
        ]
        own = np.exp(logits[target] - counts[n])
        expected -= np.log(own / (own + sum(others)))
        own = np.exp(logits[target])
        estimated -= np.log(own / (own + sum(others)))
    weights = np.ones(len(targets), np.float32)
    loss = sampled_cross_entropy(
        queries, targets, weights, table, bias, drawn, counts.astype(np.float32)
    )
    np.testing.assert_allclose(loss, (expected, estimated), rtol=1e-5)


def test_the_gradient_of_the_sampled_loss_is_that_of_its_formula() -> None:
    queries, targets, table, bias = softmax_case()
    drawn = draw_candidates(jax.random.PRNGKey(4), VOCAB, 12)
    targets[:3] = drawn.token_ids[8], drawn.token_ids[2], VOCAB - 1
    counts = expected_log_counts(jnp.asarray(targets), VOCAB, 12)
    weights = np.linspace(0.5, 2, len(targets)).astype(np.float32)

    def ours(queries: Any, table: Any, bias: Any) -> jax.Array:
        return sampled_cross_entropy(queries, targets, weights, table, bias, drawn, counts)[0]

    def formula(queries: Any, table: Any, bias: Any) -> jax.Array:
        logits = queries @ table.T + bias
        own = logits[jnp.arange(len(targets)), targets] - counts
        others = logits[:, drawn.token_ids] - drawn.log_counts
        hit = drawn.token_ids == targets[:, None]
        total = jnp.exp(own) + jnp.sum(jnp.where(hit, 0, jnp.exp(others)), axis=1)
        return jnp.sum(weights * (jnp.log(total) - own))

    for a, b in zip(
        jax.jit(jax.grad(ours, argnums=(0, 1, 2)))(queries, table, bias),
        jax.jit(jax.grad(formula, argnums=(0, 1, 2)))(queries, table, bias),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_expected_counts_are_how_often_tokens_are_drawn() -> None:
    samples, trials = 12, 4000
    keys = jax.random.split(jax.random.PRNGKey(0), trials)
    drawn = jax.jit(jax.vmap(lambda key: draw_candidates(key, VOCAB, samples).token_ids))(keys)
    assert drawn.min() >= 0
    assert drawn.max() < VOCAB
    frequency = np.bincount(np.ravel(drawn), minlength=VOCAB) / trials
    expected = np.exp(expected_log_counts(jnp.arange(VOCAB), VOCAB, samples))
    np.testing.assert_allclose(frequency, expected, atol=0.03)
    assert expected.sum() == pytest.approx(samples, rel=1e-4)
