"""Adversarial and virtual adversarial training: shared masks, masked rows, true gradients."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import optax
import pytest

from lstm_flax.config import Config
from lstm_flax.config.recipes import AdversarialConfig
from lstm_flax.errors import UserError
from lstm_flax.recipes import adversarial
from lstm_flax.recipes.adversarial import (
    adversarial_perturbation,
    entropy,
    kl_divergence,
    perturbed_logits,
    virtual_adversarial_gradient,
)
from lstm_flax.recipes.unlabelled import stack_batches
from lstm_flax.training.losses import ClassificationLoss, cross_entropy
from lstm_flax.training.train import train
from lstm_flax.training.train_state import TrainState
from lstm_flax.types import Batch
from tests.training.step_cases import (
    build,
    changed,
    first_state,
    jit_apply,
    jit_init,
    one_step,
    random_batch,
    same,
)

RNG = np.random.default_rng(0)
SGD = {"name": "sgd", "weight_decay": 0.0, "clip_norm": 0.0, "schedule": "constant"}
SGD |= {"learning_rate": 0.1, "b1": 0.0}


@pytest.fixture
def config(tiny_config: Config) -> Config:
    """The tiny run by plain gradient descent, its dropout on."""
    return changed(tiny_config, optimizer=SGD)


def losing(config: Config, **section: float) -> Config:
    """The configuration with adversarial losses."""
    return changed(config, recipes={"adversarial": AdversarialConfig(**section)})


def differ(a: Any, b: Any) -> bool:
    return any(
        np.abs(x - y).max() > 1e-6
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.mark.parametrize("columns", [2, 3])
def test_divergence_and_entropy_equal_their_sums(columns: int) -> None:
    a, b = RNG.normal(size=(2, 7, columns)).astype(np.float32)
    p, q = (np.asarray(jax.nn.softmax(logits), np.float64) for logits in (a, b))
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
    plain, _ = one_step(config, batch)
    nothing, _ = one_step(losing(config, virtual_weight=1.0, epsilon=0.0), batch)
    same(plain.params, nothing.params, atol=1e-7)
    some, _ = one_step(losing(config, virtual_weight=1.0), batch)
    assert differ(plain.params, some.params)


def virtual_gradient(loss: ClassificationLoss, params: Any, batch: Batch) -> Any:
    key = jax.random.key(3)
    logits = loss.logits(params, batch, key)
    rms, size = jnp.float32(0.1), jnp.float32(0.5)
    return virtual_adversarial_gradient(loss, params, batch, logits, key, rms, size)


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
    loss = ClassificationLoss(build(quiet))
    params = jit_init(loss.model, jax.random.key(0))
    gradient = jax.jit(virtual_gradient, static_argnums=0)
    same(gradient(loss, params, one), gradient(loss, params, other))


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

    monkeypatch.setattr(adversarial, "adversarial_perturbation", watched)
    loss, batch = ClassificationLoss(build(quiet)), random_batch(6)
    params = jit_init(loss.model, jax.random.key(0))
    found, perturbations = jax.jit(lambda p: (virtual_gradient(loss, p, batch), tried))(params)
    return found, perturbations, loss, params, batch


def test_the_virtual_gradient_equals_finite_differences(searched: tuple[Any, ...]) -> None:
    """Of the divergence at the perturbation found, along random directions of the parameters."""
    found, (_, worst), loss, params, batch = searched
    clean, key = jit_apply(loss.model, params, batch), jax.random.key(3)

    @jax.jit
    def divergence(way: Any, step: float) -> jax.Array:
        moved = optax.tree.add_scale(params, step, way)
        return adversarial.divergence(moved, worst, loss, batch, clean, key)

    def difference(way: Any, step: float) -> float:
        return float(divergence(way, step) - divergence(way, -step)) / (2 * step)

    leaves, treedef = jax.tree.flatten(params)
    for seed in range(4):
        keys = jax.random.split(jax.random.key(seed), len(leaves))
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
    _, (start, worst), loss, params, batch = searched
    norms = [np.linalg.norm(np.asarray(p).reshape(6, -1), axis=1) for p in (start, worst)]
    np.testing.assert_allclose(norms[0], 0.01, rtol=1e-4)  # a tenth of the unit given
    np.testing.assert_allclose(norms[1], 0.5, rtol=1e-4)
    padding = np.arange(32) >= batch.lengths[:, None]
    assert not np.asarray(start)[padding].any()
    assert not np.asarray(worst)[padding].any()
    clean = jit_apply(loss.model, params, batch)

    @jax.jit
    def moved(perturbation: jax.Array) -> jax.Array:
        return kl_divergence(clean, perturbed_logits(loss, params, perturbation, batch, None))

    assert np.all(moved(worst) > moved(adversarial_perturbation(start, 0.5)))


def test_unlabelled_rows_count_in_no_figure_and_move_no_plain_gradient(config: Config) -> None:
    quiet = changed(config, model={"embedding_dropout": 0.0, "head_dropout": 0.0})
    quiet = changed(quiet, model={"word_dropout": 0.0})
    labelled = random_batch(6)
    both = stack_batches(labelled, random_batch(4, seed=1))
    assert both.labels.tolist() == [*labelled.labels.tolist(), -1, -1, -1, -1]
    (alone, metrics), (beside, metrics_of_both) = one_step(quiet, labelled), one_step(quiet, both)
    same(alone.params, beside.params, atol=2e-6)
    assert int(metrics_of_both.examples) == 6
    np.testing.assert_allclose(metrics.loss, metrics_of_both.loss, rtol=1e-5)
    # Of the same shape, so that one program serves both: the same rows, the unlabelled ones blank.
    blank = both._replace(example_mask=both.labels >= 0)
    for name in ("virtual_weight", "entropy_weight"):
        weighed = losing(quiet, **{name: 1.0})
        assert differ(one_step(weighed, blank)[0].params, one_step(weighed, both)[0].params)


def test_a_section_without_its_recipe_is_refused(tiny_config: Config, tmp_path: Path) -> None:
    config = losing(tiny_config, weight=1.0)
    with pytest.raises(UserError, match=r"recipes=make_recipes\(config\.recipes\)"):
        train(config, tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()


def adversarial_step(config: Config, **section: float) -> tuple[TrainState, ...]:
    """A state, and those that a plain and an adversarial step on the same batch make of it."""
    quiet = changed(config, model={"embedding_dropout": 0.0, "head_dropout": 0.0})
    quiet = changed(quiet, model={"word_dropout": 0.0})
    batch = random_batch(6)
    start = first_state(quiet)
    steps = (one_step(c, batch, start=start)[0] for c in (quiet, losing(quiet, **section)))
    return start, *steps


def test_adversarial_training_with_no_perturbation_doubles_the_gradient(
    config: Config,
) -> None:
    states = adversarial_step(config, weight=1.0, epsilon=0.0)
    leaves_of_states = [jax.tree.leaves(state.params) for state in states]
    for before, one, two in zip(*leaves_of_states, strict=True):
        once, twice = np.asarray(one - before), np.asarray(two - before)
        unit = np.spacing(np.abs(before).max())  # a difference of parameters is no more exact
        np.testing.assert_allclose(
            twice, 2 * once, rtol=0, atol=1e-4 * np.abs(once).max() + 2 * unit
        )


def test_an_adversarial_perturbation_raises_the_loss_more_than_a_random_one(
    tiny_config: Config,
) -> None:
    loss = ClassificationLoss(build(tiny_config))
    params, batch = jit_init(loss.model, jax.random.key(0)), random_batch(6)

    @jax.jit
    def losses(perturbation: jax.Array) -> jax.Array:
        return cross_entropy(
            perturbed_logits(loss, params, perturbation, batch, None), batch.labels
        )

    zero = jnp.zeros((6, 32, 8))
    gradient = jax.grad(lambda r: losses(r).sum())(zero)
    padding = np.arange(32) >= batch.lengths[:, None]
    assert not np.any(np.asarray(gradient)[padding])
    worst = adversarial_perturbation(gradient, 0.1)
    np.testing.assert_allclose(jnp.linalg.norm(worst.reshape(6, -1), axis=1), 0.1, rtol=1e-5)
    random = adversarial_perturbation(
        jnp.asarray(np.random.default_rng(0).normal(size=zero.shape) * ~padding[..., None]), 0.1
    )
    clean = losses(zero)
    assert np.all(losses(worst) > clean)
    assert np.all(losses(worst) > losses(random))
    np.testing.assert_array_equal(losses(jnp.where(padding[..., None], 7.0, 0.0)), clean)
