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
        loss: f32[], weighted sum of losses.
        weight: f32[], total weight of the examples in the loss.
        correct: i32[], number of correct answers.
        examples: i32[], number of examples.
    """

    loss: Any
    weight: Any
    correct: Any
    examples: Any

    @classmethod
    def zero(cls) -> "MetricSums":
        """Returns the sums over no examples."""
        # Distinct arrays: a donated state must not contain the same buffer twice.
        return cls(jnp.zeros(()), jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    @classmethod
    def from_numbers(cls, loss: float, weight: float, correct: int, examples: int) -> "MetricSums":
        """Makes sums on the host, in the device's precision."""
        return cls(np.float32(loss), np.float32(weight), np.int32(correct), np.int32(examples))

    def to_numbers(self) -> tuple[float, float, int, int]:
        """Inverts `from_numbers`, exactly."""
        return float(self.loss), float(self.weight), int(self.correct), int(self.examples)

    def merge(self, other: "MetricSums") -> "MetricSums":
        """Returns the sums over both sets of examples."""
        return MetricSums(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, earlier: "MetricSums") -> "MetricSums":
        """Returns the sums over what was added since `earlier`."""
        return MetricSums(*(a - b for a, b in zip(self, earlier, strict=True)))

    def compute(self) -> dict[str, float]:
        """Computes mean loss and accuracy as host values, so it waits for the device."""
        sums = jax.device_get(self)
        return {
            "loss": float(sums.loss) / max(float(sums.weight), 1e-12),
            "accuracy": int(sums.correct) / max(int(sums.examples), 1),
        }


def classification_metrics(
    logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> dict[str, Any]:
    """Computes accuracy and other scores, loss, confusion and calibration of a whole split.

    Args:
        logits: f32[N, C].
        labels: i32[N].
        temperature: divides the logits for the calibrated metrics.

    Returns:
        `examples`, `accuracy`, `macro_f1`, `weighted_f1` and `mcc` (see `confusion_scores`), `auc`
        (see `roc_auc`), `loss` (mean cross-entropy in nats, unsmoothed and unweighted), `confusion`
        (rows: true label, columns: predicted), `calibration_error` (see `calibration_error`),
        `temperature`, and `calibrated_loss` and `calibrated_calibration_error` of the logits
        divided by it.
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
        **confusion_scores(confusion),
        "auc": roc_auc(np.exp(log_probabilities), labels),
        "loss": _cross_entropy(log_probabilities, labels),
        "confusion": confusion.tolist(),
        "calibration_error": calibration_error(np.exp(log_probabilities), labels),
        "temperature": temperature,
        "calibrated_loss": _cross_entropy(calibrated, labels),
        "calibrated_calibration_error": calibration_error(np.exp(calibrated), labels),
    }


def confusion_scores(confusion: np.ndarray) -> dict[str, float]:
    """Computes the scores that a confusion matrix determines.

    >>> scores = confusion_scores(np.array([[8, 2], [0, 10]]))
    >>> {name: round(value, 4) for name, value in scores.items()}
    {'macro_f1': 0.899, 'weighted_f1': 0.899, 'mcc': 0.8165}

    Args:
        confusion: i64[C, C], rows: true label, columns: predicted.

    Returns:
        `macro_f1`, the mean of the F1 scores of all labels that occur or are predicted;
        `weighted_f1`, weighted by each label's count; and `mcc`, the correlation of answers and
        labels (Matthews 1975; for more than two labels Gorodkin 2004), 0 if either is constant.
    """
    true, answered = confusion.sum(axis=1), confusion.sum(axis=0)
    total, right = confusion.sum(), np.trace(confusion)
    f1 = 2 * np.diag(confusion) / np.maximum(true + answered, 1)
    there = true + answered > 0
    size = float(total)
    covariance = right * size - float(true @ answered)
    spread = (size**2 - float(answered @ answered)) * (size**2 - float(true @ true))
    return {
        "macro_f1": float(f1[there].mean()) if there.any() else 0.0,
        "weighted_f1": float(f1 @ true / max(total, 1)),
        "mcc": float(covariance / np.sqrt(spread)) if spread > 0 else 0.0,
    }


def roc_auc(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Computes the area under the ROC curve: how often a label's text ranks above another's.

    With two labels, it is that of the second; with more, the mean over the labels, each against the
    rest (macro average). Ties count half.

    >>> roc_auc(np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 0, 1, 1]))
    0.75

    Args:
        probabilities: f[N, C].
        labels: i32[N].

    Returns:
        From 0 to 1; None if a label does not occur, or is the only one that does.
    """
    classes = probabilities.shape[1]
    areas = []
    for c in range(1, 2) if classes == 2 else range(classes):
        positive = labels == c
        count = int(positive.sum())
        if count in (0, len(labels)):
            return None
        _, place, ties = np.unique(probabilities[:, c], return_inverse=True, return_counts=True)
        ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]  # tied scores share their mean rank
        below = ranks[positive].sum() - count * (count + 1) / 2
        areas.append(below / (count * (len(labels) - count)))
    return float(np.mean(areas))


def class_probabilities(logits: np.ndarray) -> np.ndarray:
    """Computes the probabilities of all classes: f32[N, C] -> f32[N, C].

    >>> class_probabilities(np.array([[0.0, 0.0]], np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """
    return np.exp(_log_softmax(logits)).astype(np.float32)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Fits the temperature that makes the labels most probable (Guo et al. 2017, section 4.2).

    Dividing by it corrects the logits of an over-confident model without changing the most probable
    label. A normal prior on the logarithm of the temperature, with mean 0 and deviation 0.5, keeps
    a few texts from giving an extreme value; with a thousand texts it has little influence.

    Args:
        logits: f32[N, C], of texts that the model was not trained on.
        labels: i32[N].

    Returns:
        The temperature, between 0.1 and 10.
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
    """Computes the expected calibration error (Guo et al. 2017, equation 3).

    This is the distance between the model's confidence and its accuracy: texts are put in bins of
    equal width by the probability of their most probable label, and the differences between the
    bins' means are averaged, weighted by the number of texts in each bin.

    >>> calibration_error(np.array([[0.1, 0.9], [0.1, 0.9]]), np.array([1, 0]))
    0.4

    Args:
        probabilities: f[N, C].
        labels: i32[N].
        bins: number of bins between 0 and 1.
    """
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    surplus = np.bincount(bin_of, weights=confidence - (predicted == labels), minlength=bins)
    return float(np.abs(surplus).sum() / len(labels))


def _cross_entropy(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Computes float64 log-probabilities [N, C]."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
