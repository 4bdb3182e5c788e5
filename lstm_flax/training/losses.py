"""The loss of a batch of labelled texts."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lstm_flax.errors import UserError
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.models.classifier import TextClassifier, apply_classifier
from lstm_flax.models.head import predicted_class
from lstm_flax.types import Batch


def cross_entropy(logits: jax.Array, labels: jax.Array, label_smoothing: float = 0.0) -> jax.Array:
    """Computes the cross-entropy of each example against its (smoothed) label.

    Smoothing spreads the given mass evenly over all C labels (Szegedy et al. 2016, section 7).

    >>> cross_entropy(jnp.zeros((1, 2)), jnp.array([0])).round(4).tolist()
    [0.6930999755859375]

    Args:
        logits: f32[B, C].
        labels: i32[B].
        label_smoothing: in [0, 1).

    Returns:
        f32[B], in nats.

    Raises:
        UserError: there is not one whole number for each row of logits.
    """
    if labels.shape != logits.shape[:1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise UserError(
            f"labels {labels.dtype}{labels.shape} for logits {logits.shape}: give one whole number "
            "per row"
        )
    targets = optax.smooth_labels(
        jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype), label_smoothing
    )
    return optax.softmax_cross_entropy(logits, targets)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassificationLoss:
    """The mean cross-entropy of a classifier over a batch; a `LossFn` for `make_train_step`.

    Filler rows and unlabelled texts count in neither the mean nor the metrics.

    Attributes:
        model: the classifier.
        class_weights: f32[C], weight of each label's examples; None for equal weights.
        label_smoothing: see `cross_entropy`.
    """

    model: TextClassifier
    class_weights: Any = None
    label_smoothing: float = 0.0

    def __call__(
        self, params: Any, batch: Batch, key: jax.Array | None
    ) -> tuple[jax.Array, MetricSums]:
        """Returns the loss f32[] and the metrics of a batch; a key turns dropout on."""
        return self.of_logits(self.logits(params, batch, key), batch)

    def logits(self, params: Any, batch: Batch, key: jax.Array | None) -> jax.Array:
        """Computes logits f32[B, C]; equal keys draw equal dropout masks."""
        return apply_classifier(self.model, params, batch, key)

    def of_logits(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, MetricSums]:
        """Returns the loss f32[] and the metrics for logits f32[B, C]."""
        losses = cross_entropy(logits, batch.labels, self.label_smoothing)
        labelled = batch.example_mask & (batch.labels >= 0)
        weights = labelled.astype(jnp.float32)
        if self.class_weights is not None:
            weights = jnp.asarray(self.class_weights)[batch.labels] * labelled
        metrics = MetricSums(
            # A filler row must not reach the sum even if its loss is not finite.
            loss=jnp.sum(jnp.where(labelled, losses, 0) * weights),
            weight=jnp.sum(weights),
            correct=jnp.sum((predicted_class(logits) == batch.labels) & labelled, dtype=jnp.int32),
            examples=jnp.sum(labelled, dtype=jnp.int32),
        )
        return metrics.loss / metrics.weight, metrics


def class_weights(
    given: tuple[float, ...],
    balance: bool,
    label_names: tuple[str, ...],
    labels: np.ndarray,
) -> np.ndarray:
    """Computes the weight of each label's examples in the loss, f32[C].

    Args:
        given: one weight per label; empty for none.
        balance: True weighs a label by N / (C * its count), like scikit-learn's `balanced`.
        label_names: C names.
        labels: i32[N], labels of the training part.

    Raises:
        UserError: the number of given weights is not the number of labels.
    """
    classes = len(label_names)
    if given:
        if len(given) != classes:
            raise UserError(
                f"config.training.class_weights: {len(given)} weights for "
                f"{classes} labels; give one to each, in this order: {', '.join(label_names)}"
            )
        return np.asarray(given, np.float32)
    if balance:
        counts = np.bincount(labels, minlength=classes)
        return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)
    return np.ones(classes, np.float32)
