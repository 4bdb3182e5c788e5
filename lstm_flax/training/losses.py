"""Losses of one batch: one value an example, to be masked, weighed and summed by the caller."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lstm_flax.config import TrainingConfig
from lstm_flax.errors import UserError
from lstm_flax.models.head import log_probabilities


def cross_entropy(logits: jax.Array, labels: jax.Array, label_smoothing: float = 0.0) -> jax.Array:
    """Cross-entropy of each example against its (smoothed) label.

    With C logits it is softmax cross-entropy; with a single logit, sigmoid cross-entropy of class 1
    against class 0. Smoothing spreads the given mass evenly over all C (or both) labels (Szegedy et
    al. 2016, section 7).

    Args:
        logits: f32[B, C] or f32[B, 1].
        labels: i32[B].
        label_smoothing: in [0, 1).

    Returns:
        f32[B], in nats.
    """
    if logits.shape[-1] == 1:
        targets = optax.smooth_labels(jax.nn.one_hot(labels, 2), label_smoothing)[:, 1]
        return optax.sigmoid_binary_cross_entropy(logits[:, 0], targets)
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def kl_divergence(target_logits: jax.Array, logits: jax.Array) -> jax.Array:
    """How far the predicted labels of each row lie from the target's: KL(target || predicted).

    Args:
        target_logits: f32[B, C] or f32[B, 1].
        logits: likewise.

    Returns:
        f32[B], in nats; zero where both say the same.
    """
    target, predicted = log_probabilities(target_logits), log_probabilities(logits)
    return jnp.sum(jnp.exp(target) * (target - predicted), axis=-1)


def entropy(logits: jax.Array) -> jax.Array:
    """How undecided each row is: f32[B, C] or f32[B, 1] -> f32[B], in nats.

    Grandvalet & Bengio (2004), equation 4: unlabelled texts should be decided, one way or another.
    """
    predicted = log_probabilities(logits)
    return -jnp.sum(jnp.exp(predicted) * predicted, axis=-1)


def adversarial_perturbation(gradient: jax.Array, size: jax.Array | float) -> jax.Array:
    """The change of the embeddings that raises each example's loss most, to first order.

    The fast gradient method on embeddings (Miyato et al. 2017, equation 7): along the gradient,
    its norm taken over a whole example.

    >>> adversarial_perturbation(jnp.array([[[3.0, 4.0]], [[0.0, 0.0]]]), 10.0)
    Array([[[6., 8.]],
    <BLANKLINE>
           [[0., 0.]]], dtype=float32)

    Args:
        gradient: f32[B, T, E], of the loss by the embeddings.
        size: the perturbation's norm.

    Returns:
        f32[B, T, E]; zero where an example's gradient is.
    """
    # Scaled first: the squares of a small gradient would vanish.
    largest = jnp.max(jnp.abs(gradient), axis=(1, 2), keepdims=True)
    scaled = gradient / jnp.maximum(largest, jnp.finfo(gradient.dtype).tiny)
    norm = jnp.sqrt(jnp.sum(jnp.square(scaled), axis=(1, 2), keepdims=True))
    return size * scaled / jnp.maximum(norm, 1.0)


def class_weights(
    settings: TrainingConfig, label_names: tuple[str, ...], labels: np.ndarray
) -> np.ndarray:
    """Weight of each label's examples in the loss, f32[C].

    `balance_classes` weighs a label by N / (C * its count), as scikit-learn's `balanced` does.

    Raises:
        UserError: where the number of given weights is not the number of labels.
    """
    classes = len(label_names)
    if settings.class_weights:
        if len(settings.class_weights) != classes:
            raise UserError(
                f"config.training.class_weights: {len(settings.class_weights)} weights for "
                f"{classes} labels; give one to each, in this order: {', '.join(label_names)}"
            )
        return np.asarray(settings.class_weights, np.float32)
    if settings.balance_classes:
        counts = np.bincount(labels, minlength=classes)
        return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)
    return np.ones(classes, np.float32)
