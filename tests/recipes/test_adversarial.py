"""Adversarial and virtual adversarial training: shared masks, masked rows, true gradients."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import optax
import pytest

from lstm_flax.checkpoints.restore import build_model
from lstm_flax.config import Config
from lstm_flax.data.batching import BatchPlan, plan_unlabelled, stack_batches
from lstm_flax.errors import UserError
from lstm_flax.models.classifier import TextClassifier, apply_classifier
from lstm_flax.models.head import class_probabilities
from lstm_flax.training import train_step
from lstm_flax.training.loop import Run
from lstm_flax.training.losses import (
    adversarial_perturbation,
    cross_entropy,
    entropy,
    kl_divergence,
)
from lstm_flax.training.train import train
from lstm_flax.training.train_state import TrainState
from lstm_flax.training.train_step import virtual_adversarial_gradient
from lstm_flax.types import Batch
from tests.cli.run_files import cache_with_unlabelled, leaves
from tests.training.step_cases import changed, jit_apply, jit_init, one_step, random_batch

RNG = np.random.default_rng(0)
SGD = {"name": "sgd", "weight_decay": 0.0, "clip_norm": 0.0, "schedule": "constant"}
SGD |= {"learning_rate": 0.1, "b1": 0.0}


@pytest.fixture
def config(tiny_config: Config) -> Config:
    """The tiny run by plain gradient descent, its dropout on."""
    return changed(tiny_config, optimizer=SGD)


def same(a: Any, b: Any, atol: float = 0.0) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=atol)


def differ(a: Any, b: Any) -> bool:
    return any(
        np.abs(x - y).max() > 1e-6
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.mark.parametrize("columns", [1, 3])
def test_divergence_and_entropy_equal_their_sums(columns: int) -> None:
    a, b = RNG.normal(size=(2, 7, columns)).astype(np.float32)
    p, q = (np.asarray(class_probabilities(logits), np.float64) for logits in (a, b))
    expected = (p * np.log(p / q)).sum(axis=1)
    np.testing.assert_allclose(kl_divergence(a, b), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(kl_divergence(a, a), np.zeros(7), atol=1e-7)
    np.testing.assert_allclose(entropy(a), -(p * np.log(p)).sum(axis=1), rtol=1e-5)
    jax.test_util.check_grads(lambda x: kl_divergence(a, x), (b,), order=1, modes=["rev"], eps=1e-2)
    jax.test_util.check_grads(entropy, (a,), order=1, modes=["rev"], eps=1e-2)


@pytest.mark.slow
def test_a_virtual_perturbation_of_nothing_adds_nothing(config: Config) -> None:
    """Under dropout: were the masks not shared, the divergence would measure dropout."""
    batch = random_batch(6)
    assert config.model.embedding_dropout > 0 < config.model.head_dropout
    plain = one_step(config, batch)
    weight = {"virtual_adversarial_weight": 1.0}
    nothing = one_step(changed(config, training=weight | {"adversarial_epsilon": 0.0}), batch)
    same(plain.params, nothing.params, atol=1e-7)
    some = one_step(changed(config, training=weight), batch)
    assert differ(plain.params, some.params)


def virtual_gradient(model: TextClassifier, params: Any, batch: Batch) -> Any:
    key = jax.random.PRNGKey(3)
    logits = apply_classifier(model, params, batch, key)
    rms, size = jnp.float32(0.1), jnp.float32(0.5)
    return virtual_adversarial_gradient(model, params, batch, logits, key, rms, size)


def test_filler_rows_and_padding_change_no_virtual_gradient(config: Config) -> None:
    fields = {"embedding_dropout": 0.0, "head_dropout": 0.0, "word_dropout": 0.0}
    quiet = changed(config, model=fields)
    batch, filler = random_batch(6), random_batch(2, seed=1)
    filler = filler._replace(example_mask=np.zeros(2, bool), lengths=np.ones(2, np.int32))
    # Random directions are drawn row by row of the whole batch, so the shape must stay.
    one = jax.tree.map(lambda *pair: np.concatenate(pair), batch, filler)
    other = one._replace(token_ids=one.token_ids.copy())
    other.token_ids[6:] = 5
    padding = np.arange(32) >= other.lengths[:, None]
    other.token_ids[padding] = 9
    model = build_model(quiet, 64, 2)
    params = jit_init(model, jax.random.PRNGKey(0))
    gradient = jax.jit(virtual_gradient, static_argnums=0)
    same(gradient(model, params, one), gradient(model, params, other))


@pytest.fixture
def searched(config: Config, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """What `virtual_adversarial_gradient` returns, and the perturbations it tried on the way."""
    quiet = changed(config, model={"embedding_dropout": 0.0, "head_dropout": 0.0})
    # A maximum has kinks, which a finite difference steps over.
    quiet = changed(quiet, model={"word_dropout": 0.0, "pooling": "mean"})
    tried: list[jax.Array] = []

    def watched(direction: jax.Array, size: Any) -> jax.Array:
        tried.append(adversarial_perturbation(direction, size))
        return tried[-1]

    monkeypatch.setattr(train_step, "adversarial_perturbation", watched)
    model, batch = build_model(quiet, 64, 2), random_batch(6)
    params = jit_init(model, jax.random.PRNGKey(0))
    found, perturbations = jax.jit(lambda p: (virtual_gradient(model, p, batch), tried))(params)
    return found, perturbations, model, params, batch


def test_the_virtual_gradient_equals_finite_differences(searched: tuple[Any, ...]) -> None:
    """Of the divergence at the perturbation found, along random directions of the parameters."""
    found, (_, worst), model, params, batch = searched
    clean, key = jit_apply(model, params, batch), jax.random.PRNGKey(3)

    @jax.jit
    def divergence(way: Any, step: float) -> jax.Array:
        moved = optax.tree.add_scale(params, step, way)
        return train_step.divergence(moved, worst, model, batch, clean, key)

    def difference(way: Any, step: float) -> float:
        return float(divergence(way, step) - divergence(way, -step)) / (2 * step)

    leaves, treedef = jax.tree.flatten(params)
    for seed in range(4):
        keys = jax.random.split(jax.random.PRNGKey(seed), len(leaves))
        way = treedef.unflatten(
            [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
        )

        # Richardson's extrapolation: the error of a difference grows with the step squared.
        expected = (4 * difference(way, 2e-3) - difference(way, 4e-3)) / 3
        slope = sum(
            float(jnp.sum(g * w))
            for g, w in zip(jax.tree.leaves(found), jax.tree.leaves(way), strict=True)
        )
        assert slope == pytest.approx(expected, rel=0.02, abs=2e-5)


def test_the_virtual_perturbation_moves_answers_more_than_the_random_one_it_starts_from(
    searched: tuple[Any, ...],
) -> None:
    _, (start, worst), model, params, batch = searched
    norms = [np.linalg.norm(np.asarray(p).reshape(6, -1), axis=1) for p in (start, worst)]
    np.testing.assert_allclose(norms[0], 0.01, rtol=1e-4)  # a tenth of the unit given
    np.testing.assert_allclose(norms[1], 0.5, rtol=1e-4)
    padding = np.arange(32) >= batch.lengths[:, None]
    assert not np.asarray(start)[padding].any()
    assert not np.asarray(worst)[padding].any()
    clean = jit_apply(model, params, batch)

    def moved(perturbation: jax.Array) -> jax.Array:
        return kl_divergence(clean, jit_apply(model, params, batch, None, perturbation))

    assert np.all(moved(worst) > moved(adversarial_perturbation(start, 0.5)))


def test_unlabelled_rows_count_in_no_figure_and_move_no_plain_gradient(config: Config) -> None:
    quiet = changed(config, model={"embedding_dropout": 0.0, "head_dropout": 0.0})
    quiet = changed(quiet, model={"word_dropout": 0.0})
    labelled = random_batch(6)
    both = stack_batches(labelled, random_batch(4, seed=1))
    assert both.labels.tolist() == [*labelled.labels.tolist(), -1, -1, -1, -1]
    alone, beside = one_step(quiet, labelled), one_step(quiet, both)
    same(alone.params, beside.params, atol=2e-6)
    assert int(beside.epoch_sums.examples) == 6
    np.testing.assert_allclose(alone.epoch_sums.loss, beside.epoch_sums.loss, rtol=1e-5)
    # Of the same shape, so that one program serves both: the same rows, the unlabelled ones blank.
    blank = both._replace(example_mask=both.labels >= 0)
    for name in ("virtual_adversarial_weight", "entropy_weight"):
        weighed = changed(quiet, training={name: 1.0})
        assert differ(one_step(weighed, blank).params, one_step(weighed, both).params)


def test_unlabelled_texts_go_along_by_bucket_and_repeatably() -> None:
    widths, lengths = (32, 64, 96), RNG.integers(1, 64, size=37)
    plan = BatchPlan(RNG.integers(1, 120, size=90), 8, widths, 96, seed=1, epoch=2)
    chosen = plan_unlabelled(plan, lengths, 5, widths, 96, seed=1, epoch=2)
    again = plan_unlabelled(plan, lengths, 5, widths, 96, seed=1, epoch=2)
    other = plan_unlabelled(plan, lengths, 5, widths, 96, seed=1, epoch=3)
    assert len(chosen) == len(plan)
    bucket = np.searchsorted(widths, lengths)
    seen = {width: [] for width in widths}
    for planned, indices, repeated in zip(plan, chosen, again, strict=True):
        np.testing.assert_array_equal(indices, repeated)
        assert len(indices) == (0 if planned.width == 96 else 5)  # no text is that long
        assert all(widths[bucket[i]] == planned.width for i in indices)
        seen[planned.width] += indices.tolist()
    assert any(a.tolist() != b.tolist() for a, b in zip(chosen, other, strict=True))
    for width in (32, 64):
        there = np.flatnonzero(bucket == widths.index(width))
        first = seen[width][: len(there)]
        assert len(set(first)) == len(first)  # none twice before each came once


def test_a_run_without_unlabelled_texts_says_so(tiny_config: Config, tmp_path: Path) -> None:
    config = changed(
        tiny_config, data={"unlabelled_batch_size": 16}, training={"entropy_weight": 1.0}
    )
    with pytest.raises(UserError, match="no 'unsupervised' split"):
        train(config, tmp_path, show_progress=False)


@pytest.fixture
def with_unlabelled(tiny_config: Config, tmp_path: Path) -> Config:
    """The tiny run from a cache that holds unlabelled texts too, all losses on."""
    folder = cache_with_unlabelled(tiny_config, tmp_path / "cache")
    fields = {"token_cache": str(folder), "unlabelled_batch_size": 8}
    weights = {"adversarial_weight": 0.5, "virtual_adversarial_weight": 1.0, "entropy_weight": 0.1}
    model = {"ngram_order": 2, "bidirectional": False}  # four passes a step: long to compile
    return changed(tiny_config, data=fields, model=model, training=weights | {"epochs": 2})


@pytest.mark.slow
def test_a_run_with_unlabelled_rows_learns_and_survives_a_kill(
    with_unlabelled: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = train(with_unlabelled, tmp_path / "whole", show_progress=False)
    assert results["accuracy"] > 0.9
    assert results["compilations"] == 2
    check = Run._check_finite

    def killed(self: Run) -> None:
        check(self)
        if self.step == 12:
            raise MemoryError("the machine died")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_check_finite", killed)
        with pytest.raises(MemoryError):
            train(with_unlabelled, tmp_path / "killed", show_progress=False)
    train(with_unlabelled, tmp_path / "killed", show_progress=False)
    same(leaves(tmp_path / "whole"), leaves(tmp_path / "killed"))


def adversarial_step(config: Config, **training: float) -> tuple[TrainState, TrainState]:
    """The state after a plain step and after an adversarial one, on the same batch."""
    quiet = changed(config, model={"embedding_dropout": 0.0, "head_dropout": 0.0})
    quiet = changed(quiet, model={"word_dropout": 0.0})
    batch = random_batch(6)
    return one_step(quiet, batch), one_step(changed(quiet, training=training), batch)


def test_adversarial_training_with_no_perturbation_doubles_the_gradient(
    config: Config,
) -> None:
    plain, adversarial = adversarial_step(config, adversarial_weight=1.0, adversarial_epsilon=0.0)
    start = jit_init(build_model(config, 64, 2), jax.random.PRNGKey(0))
    for before, one, two in zip(
        *map(jax.tree.leaves, (start, plain.params, adversarial.params)), strict=True
    ):
        once, twice = np.asarray(one - before), np.asarray(two - before)
        np.testing.assert_allclose(twice, 2 * once, rtol=0, atol=1e-4 * np.abs(once).max() + 1e-7)


def test_an_adversarial_perturbation_raises_the_loss_more_than_a_random_one(
    tiny_config: Config,
) -> None:
    model = build_model(tiny_config, 64, 2)
    params, batch = jit_init(model, jax.random.PRNGKey(0)), random_batch(6)

    @jax.jit
    def losses(perturbation: jax.Array) -> jax.Array:
        return cross_entropy(
            apply_classifier(model, params, batch, None, perturbation), batch.labels
        )

    zero = jnp.zeros((6, 32, 8))
    gradient = jax.grad(lambda r: losses(r).sum())(zero)
    padding = np.arange(32) >= batch.lengths[:, None]
    assert not np.any(np.asarray(gradient)[padding])
    adversarial = adversarial_perturbation(gradient, 0.1)
    np.testing.assert_allclose(jnp.linalg.norm(adversarial.reshape(6, -1), axis=1), 0.1, rtol=1e-5)
    random = adversarial_perturbation(
        jnp.asarray(np.random.default_rng(0).normal(size=zero.shape) * ~padding[..., None]), 0.1
    )
    clean = losses(zero)
    assert np.all(losses(adversarial) > clean)
    assert np.all(losses(adversarial) > losses(random))
    np.testing.assert_array_equal(losses(jnp.where(padding[..., None], 7.0, 0.0)), clean)
