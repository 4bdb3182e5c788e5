"""Metrics: sums on the device while training, exact values over a whole split."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

CALIBRATION_BINS = 15


class MetricSums(NamedTuple):
    """Sums over examples; add two to merge them, divide once at the end.

    Attributes:
        loss: f32[], weighted.
        weight: f32[], of the examples in the loss.
        correct: i32[].
        examples: i32[].
    """

    loss: Any
    weight: Any
    correct: Any
    examples: Any

    @classmethod
    def zero(cls) -> "MetricSums":
        """The sums over no example."""
        # Distinct arrays: a donated state must not hold one buffer twice.
        return cls(jnp.zeros(()), jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    @classmethod
    def from_numbers(cls, loss: float, weight: float, correct: int, examples: int) -> "MetricSums":
        """Sums on the host, in the device's precision."""
        return cls(np.float32(loss), np.float32(weight), np.int32(correct), np.int32(examples))

    def to_numbers(self) -> tuple[float, float, int, int]:
        """The inverse of `from_numbers`, exactly."""
        return float(self.loss), float(self.weight), int(self.correct), int(self.examples)

    def merge(self, other: "MetricSums") -> "MetricSums":
        """The sums over both sets of examples."""
        return MetricSums(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, earlier: "MetricSums") -> "MetricSums":
        """The sums over what was added since `earlier`."""
        return MetricSums(*(a - b for a, b in zip(self, earlier, strict=True)))

    def compute(self) -> dict[str, float]:
        """Mean loss and accuracy. A host value: it waits for the device."""
        sums = jax.device_get(self)
        return {
            "loss": float(sums.loss) / max(float(sums.weight), 1e-12),
            "accuracy": int(sums.correct) / max(int(sums.examples), 1),
        }


def classification_metrics(
    logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> dict[str, Any]:
    """Accuracy, loss, confusion and calibration of a whole split.

    Args:
        logits: f32[N, C].
        labels: i32[N].
        temperature: what divides the logits for the calibrated metrics.

    Returns:
        `examples`, `accuracy`, `loss` (mean cross-entropy in nats, unsmoothed and unweighted),
        `confusion` (rows: true label, columns: predicted), `calibration_error` (see
        `calibration_error`), `temperature`, and `calibrated_loss` and
        `calibrated_calibration_error` of the logits divided by it.
    """
    log_probabilities = _log_softmax(logits)
    calibrated = _log_softmax(logits / temperature)
    predicted = np.argmax(log_probabilities, axis=1)
    classes = log_probabilities.shape[1]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    return {
        "examples": len(labels),
        "accuracy": int(np.trace(confusion)) / len(labels),
        "loss": _cross_entropy(log_probabilities, labels),
        "confusion": confusion.tolist(),
        "calibration_error": calibration_error(np.exp(log_probabilities), labels),
        "temperature": temperature,
        "calibrated_loss": _cross_entropy(calibrated, labels),
        "calibrated_calibration_error": calibration_error(np.exp(calibrated), labels),
    }


def class_probabilities(logits: np.ndarray) -> np.ndarray:
    """Probabilities of all classes: f32[N, C] -> f32[N, C].

    >>> class_probabilities(np.array([[0.0, 0.0]], np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """
    return np.exp(_log_softmax(logits)).astype(np.float32)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes the labels most probable (Guo et al. 2017, section 4.2).

    Divided by it, the logits of an over-confident model say no more than they know; which label is
    the most probable stays as it is. A prior holds the logarithm of the temperature near 0, normal
    with deviation 0.5, or a few texts would call for certainty, or for none; a thousand outweigh
    it.

    Args:
        logits: f32[N, C], of texts that the model was not trained on.
        labels: i32[N].

    Returns:
        Between 0.1 and 10.
    """

    def loss(log_temperature: float) -> float:
        prior = (log_temperature / 0.5) ** 2 / (2 * len(labels))
        return prior + _cross_entropy(_log_softmax(logits / np.exp(log_temperature)), labels)

    found = scipy.optimize.minimize_scalar(
        loss,
        bounds=(np.log(0.1), np.log(10)),
        method="bounded",
    )
    return float(np.exp(found.x))


def calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3).

    The distance between how sure the model is and how often it is right: texts are put in bins of
    equal width by the probability of their most probable label, and the distances of the bins'
    means are averaged, each bin weighing as many texts as it holds.

    >>> calibration_error(np.array([[0.1, 0.9], [0.1, 0.9]]), np.array([1, 0]))
    0.4

    Args:
        probabilities: f[N, C].
        labels: i32[N].
        bins: of the interval from 0 to 1.
    """
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    surplus = np.bincount(bin_of, weights=confidence - (predicted == labels), minlength=bins)
    return float(np.abs(surplus).sum() / len(labels))


def _cross_entropy(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Float64 log-probabilities [N, C]."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
