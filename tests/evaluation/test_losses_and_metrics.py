"""Losses against the formula, sums that merge, and exact figures over a split."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lstm_flax.errors import UserError
from lstm_flax.evaluation.metrics import (
    MetricSums,
    calibration_error,
    classification_metrics,
    fit_temperature,
)
from lstm_flax.training.losses import cross_entropy

RNG = np.random.default_rng(0)


def test_cross_entropy_equals_the_formula_with_and_without_smoothing() -> None:
    logits, labels = RNG.normal(size=(9, 4)).astype(np.float32), RNG.integers(0, 4, 9)
    log_probabilities = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    for smoothing in (0.0, 0.1):
        targets = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
        expected = -(targets * log_probabilities).sum(1)
        np.testing.assert_allclose(cross_entropy(logits, labels, smoothing), expected, rtol=1e-5)


def test_a_pair_of_zero_and_z_is_the_sigmoid_cross_entropy_of_z() -> None:
    logit, labels = RNG.normal(size=9).astype(np.float32), RNG.integers(0, 2, 9)
    pair = np.stack([np.zeros_like(logit), logit], axis=1)
    for smoothing in (0.0, 0.2):
        targets = optax.smooth_labels(jax.nn.one_hot(labels, 2), smoothing)[:, 1]
        expected = optax.sigmoid_binary_cross_entropy(logit, targets)
        found = cross_entropy(pair, labels, smoothing)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_gradient_is_probability_minus_target() -> None:
    logits, labels = RNG.normal(size=(5, 3)).astype(np.float32), RNG.integers(0, 3, 5)
    gradient = jax.grad(lambda x: cross_entropy(x, labels).sum())(logits)
    expected = np.asarray(jax.nn.softmax(logits)) - np.eye(3)[labels]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_sums_merge_and_subtract() -> None:
    a = MetricSums(jnp.array(6.0), jnp.array(2.0), jnp.array(1), jnp.array(2))
    b = MetricSums(jnp.array(3.0), jnp.array(1.0), jnp.array(1), jnp.array(1))
    both = a.merge(b)
    assert both.compute() == {"loss": 3.0, "accuracy": 2 / 3}
    assert both.minus(a).compute() == b.compute()


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.smoke
def test_figures_of_a_split_equal_a_plain_loop(columns: int) -> None:
    logits = RNG.normal(size=(50, columns)).astype(np.float32)
    labels = RNG.integers(0, columns, 50)
    figures = classification_metrics(logits, labels)
    loss = correct = 0.0
    for row, label in zip(logits.astype(float), labels, strict=True):
        loss -= row[label] - np.log(np.exp(row).sum())
        correct += row.argmax() == label
    assert figures["examples"] == 50
    assert figures["loss"] == pytest.approx(loss / 50, rel=1e-9)
    assert figures["accuracy"] == correct / 50
    confusion = np.asarray(figures["confusion"])
    np.testing.assert_array_equal(
        confusion.sum(axis=1), np.bincount(labels, minlength=len(confusion))
    )


@pytest.mark.parametrize("columns", [2, 3])
def test_the_fitted_temperature_undoes_a_stretch(columns: int) -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(20_000, columns)).astype(np.float32) * 2
    probabilities = np.asarray(jax.nn.softmax(logits))
    draws = rng.random((len(logits), 1))
    labels = (draws > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=columns - 1)
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.05)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, abs=0.15)
    figures = classification_metrics(3 * logits, labels, temperature=3.0)
    true = classification_metrics(logits, labels)
    assert figures["calibrated_loss"] == pytest.approx(true["loss"], rel=1e-5)
    assert figures["accuracy"] == true["accuracy"]
    assert figures["calibrated_calibration_error"] < 0.02 < figures["calibration_error"]


def test_calibration_error_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(6)
    probabilities = rng.dirichlet(np.ones(3), size=400)
    labels = rng.integers(0, 3, 400)
    expected = 0.0
    for k in range(15):
        inside = [i for i in range(400) if k / 15 <= probabilities[i].max() < (k + 1) / 15]
        if inside:
            sure = np.mean([probabilities[i].max() for i in inside])
            right = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            expected += len(inside) / 400 * abs(sure - right)
    assert calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-12)
    certain = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert calibration_error(certain, np.array([1, 0])) == 0
    assert calibration_error(certain, np.array([0, 1])) == 1


@pytest.mark.parametrize("turned", [0, 8])
def test_a_few_texts_call_for_neither_certainty_nor_none(turned: int) -> None:
    """Without the prior the temperature runs to its bounds, 0.1 and 10."""
    labels = np.arange(20) % 2
    logits = np.stack([np.zeros(20), np.where(labels, 2.0, -2.0)], axis=1).astype(np.float32)
    logits[:turned] *= -1
    assert 0.3 < fit_temperature(logits, labels) < 3


@pytest.mark.parametrize("labels", [np.zeros((2, 3), int), np.zeros(1, int), np.zeros(2)])
def test_labels_that_are_not_one_whole_number_per_row_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(UserError, match="one whole number per row"):
        cross_entropy(jnp.zeros((2, 3)), jnp.asarray(labels))
