"""Metrics: sums on the device while training, exact figures over a whole split."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


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


def classification_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Accuracy, loss, confusion and calibration of a whole split.

    Args:
        logits: f32[N, C], or f32[N, 1] for a sigmoid head.
        labels: i32[N].

    Returns:
        `examples`, `accuracy`, `loss` (mean cross-entropy in nats, unsmoothed and unweighted) and
        `confusion` (rows: true label, columns: predicted).
    """
    log_probabilities = _log_softmax(logits)
    predicted = np.argmax(log_probabilities, axis=1)
    classes = log_probabilities.shape[1]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    return {
        "examples": len(labels),
        "accuracy": int(np.trace(confusion)) / len(labels),
        "loss": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "confusion": confusion.tolist(),
    }


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Float64 log-probabilities [N, C]; a single logit stands for classes 0 and 1."""
    logits = logits.astype(np.float64)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
