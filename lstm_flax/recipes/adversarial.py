"""Adversarial and virtual adversarial training on embeddings, and minimal entropy.

Miyato, Dai & Goodfellow 2017: the loss is also computed under the small change of the embeddings
that increases it most. Adversarial training (equation 6) needs labels; virtual adversarial training
(equations 8 and 9) only asks the answer to stay the same, on labelled and unlabelled texts alike.
Minimal entropy (Grandvalet & Bengio 2004, equation 4) asks the model to decide on an answer.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.config.recipes import AdversarialConfig
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.models.embedding import TokenEmbedding
from lstm_flax.recurrent.masking import sequence_mask
from lstm_flax.training.losses import ClassificationLoss
from lstm_flax.training.recipe import Recipe
from lstm_flax.training.train_step import GradientFn
from lstm_flax.types import Batch

POWER_ITERATION_STEP = 0.1  # Miyato et al.'s xi, in units of the embeddings' root mean square
VIRTUAL_ADVERSARIAL_STREAM = 0x5641  # folded into the step's key: separate from dropout's streams


class Adversarial(Recipe):
    """Replaces the step's gradient. Adversarial training doubles its time, virtual triples it."""

    def __init__(self, config: AdversarialConfig) -> None:
        self._config = config

    def gradient(self) -> Callable[[ClassificationLoss], GradientFn]:
        """See `adversarial_gradient`."""
        return lambda loss: adversarial_gradient(loss, self._config)


def make_recipe(section: AdversarialConfig) -> Adversarial:
    """Makes the recipe of a configuration's section."""
    return Adversarial(section)


def adversarial_gradient(loss: ClassificationLoss, config: AdversarialConfig) -> GradientFn:
    """Makes the gradient function of a step with adversarial losses.

    Every pass uses the same key, so all drop the same units; otherwise the difference between the
    clean and a perturbed pass would measure dropout. Perturbations are added after the embedding's
    dropout.

    Args:
        loss: the loss of the unperturbed batch.
        config: weights of the losses; `epsilon`, the norm of a text's perturbation in units of the
            embeddings' root mean square.
    """

    def clean_loss(
        params: Any, perturbation: jax.Array | None, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[MetricSums, jax.Array]]:
        logits = perturbed_logits(loss, params, perturbation, batch, key)
        value, metrics = loss.of_logits(logits, batch)
        if config.entropy_weight > 0:
            value += config.entropy_weight * mean_over_examples(entropy(logits), batch.example_mask)
        return value, (metrics, logits)

    def adversarial_loss(
        params: Any, perturbation: jax.Array, batch: Batch, key: jax.Array
    ) -> jax.Array:
        return loss.of_logits(perturbed_logits(loss, params, perturbation, batch, key), batch)[0]

    def gradient(
        params: Any, batch: Batch, key: jax.Array
    ) -> tuple[tuple[jax.Array, MetricSums], Any]:
        table = params["embedding"]["embedding"]
        rms = jax.lax.stop_gradient(jnp.sqrt(jnp.mean(jnp.square(table))))
        size = config.epsilon * rms
        perturbed = config.weight > 0
        shape = (*batch.token_ids.shape, table.shape[1])
        unperturbed = jnp.zeros(shape, table.dtype) if perturbed else None
        clean = jax.value_and_grad(clean_loss, argnums=(0, 1) if perturbed else 0, has_aux=True)
        (value, (metrics, logits)), grads = clean(params, unperturbed, batch, key)
        if perturbed:
            grads, direction = grads
            worst = adversarial_perturbation(direction, size)
            more = jax.grad(adversarial_loss)(params, worst, batch, key)
            grads = add_scaled(grads, more, config.weight)
        if config.virtual_weight > 0:
            more = virtual_adversarial_gradient(loss, params, batch, logits, key, rms, size)
            grads = add_scaled(grads, more, config.virtual_weight)
        return (value, metrics), grads

    return gradient


def virtual_adversarial_gradient(
    loss: ClassificationLoss,
    params: Any,
    batch: Batch,
    clean_logits: jax.Array,
    key: jax.Array,
    rms: jax.Array,
    size: jax.Array,
) -> Any:
    """Computes the gradient of the virtual adversarial loss (Miyato et al. 2017, equations 8, 9).

    The loss is the divergence of the perturbed answers from the clean ones, averaged over the
    batch's texts, labelled or not. The perturbation is the one that changes a text's answer most:
    the dominant direction of the divergence's curvature, found by one power iteration from a random
    direction.

    Args:
        loss: contains the model.
        params: its parameters.
        batch: B rows.
        clean_logits: f32[B, C], the unperturbed answers to the batch, under the same key.
        key: random key for the dropout masks.
        rms: root mean square of the embeddings, the unit of perturbations.
        size: norm of the perturbation.
    """
    target = jax.lax.stop_gradient(clean_logits)
    table = params["embedding"]["embedding"]
    shape = (*batch.token_ids.shape, table.shape[1])
    valid = sequence_mask(batch.lengths, shape[1])[..., None]
    stream = jax.random.fold_in(key, VIRTUAL_ADVERSARIAL_STREAM)
    random = jax.random.normal(stream, shape, table.dtype) * valid
    start = adversarial_perturbation(random, POWER_ITERATION_STEP * rms)
    direction = jax.grad(divergence, argnums=1)(params, start, loss, batch, target, key)
    worst = adversarial_perturbation(direction, size)
    return jax.grad(divergence)(params, worst, loss, batch, target, key)


def divergence(
    params: Any,
    perturbation: jax.Array,
    loss: ClassificationLoss,
    batch: Batch,
    target_logits: jax.Array,
    key: jax.Array | None,
) -> jax.Array:
    """Computes the mean divergence of a batch's perturbed answers from f32[B, C] logits."""
    logits = perturbed_logits(loss, params, perturbation, batch, key)
    return mean_over_examples(kl_divergence(target_logits, logits), batch.example_mask)


def perturbed_logits(
    loss: ClassificationLoss,
    params: Any,
    perturbation: jax.Array | None,
    batch: Batch,
    key: jax.Array | None,
) -> jax.Array:
    """Computes logits f32[B, C] with a perturbation added to embeddings within each row's length.

    Args:
        loss: contains the model.
        params: its parameters.
        perturbation: f32[B, T, E], or None.
        batch: B rows.
        key: random key for the dropout masks; None turns dropout off.
    """
    if perturbation is None:
        return loss.logits(params, batch, key)

    def add(next_call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        embedded = next_call(*args, **kwargs)
        if not isinstance(context.module, TokenEmbedding) or context.method_name != "__call__":
            return embedded
        valid = sequence_mask(batch.lengths, perturbation.shape[1])[..., None]
        return embedded + jnp.where(valid, perturbation, 0).astype(embedded.dtype)

    with nn.intercept_methods(add):
        return loss.logits(params, batch, key)


def adversarial_perturbation(gradient: jax.Array, size: jax.Array | float) -> jax.Array:
    """Computes the change of the embeddings that raises each example's loss most, to first order.

    This is the fast gradient method on embeddings (Miyato et al. 2017, equation 7): a step along
    the gradient, whose norm is taken over a whole example.

    >>> adversarial_perturbation(jnp.array([[[3.0, 4.0]], [[0.0, 0.0]]]), 10.0)
    Array([[[6., 8.]],
    <BLANKLINE>
           [[0., 0.]]], dtype=float32)

    Args:
        gradient: f32[B, T, E], gradient of the loss with respect to the embeddings.
        size: norm of the perturbation.

    Returns:
        f32[B, T, E]; zero for examples with a zero gradient.
    """
    # Scaled first, because the squares of a small gradient would underflow.
    largest = jnp.max(jnp.abs(gradient), axis=(1, 2), keepdims=True)
    scaled = gradient / jnp.maximum(largest, jnp.finfo(gradient.dtype).tiny)
    norm = jnp.sqrt(jnp.sum(jnp.square(scaled), axis=(1, 2), keepdims=True))
    return size * scaled / jnp.maximum(norm, 1.0)


def kl_divergence(target_logits: jax.Array, logits: jax.Array) -> jax.Array:
    """Computes the divergence KL(target || predicted) of predicted labels from the target's.

    Args:
        target_logits: f32[B, C].
        logits: f32[B, C].

    Returns:
        f32[B], in nats; zero where both are the same.
    """
    target, predicted = jax.nn.log_softmax(target_logits), jax.nn.log_softmax(logits)
    return jnp.sum(jnp.exp(target) * (target - predicted), axis=-1)


def entropy(logits: jax.Array) -> jax.Array:
    """Computes the entropy of each row's answer: f32[B, C] -> f32[B], in nats.

    >>> entropy(jnp.array([[0.0, 0.0]])).round(4).tolist()
    [0.6930999755859375]
    """
    predicted = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(predicted) * predicted, axis=-1)


def mean_over_examples(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Averages f32[B] where bool[B] is True; other entries may have any value.

    >>> mean_over_examples(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([True, True, False]))
    Array(2., dtype=float32)
    """
    return jnp.sum(jnp.where(mask, values, 0)) / jnp.sum(mask)


def add_scaled(tree: Any, other: Any, scale: float) -> Any:
    """Returns `tree + scale * other`, leaf by leaf."""
    return jax.tree.map(lambda a, b: a + scale * b, tree, other)
