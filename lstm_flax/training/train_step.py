"""The training step: one batch, one update, compiled once per bucket width."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lstm_flax.config import TrainingConfig
from lstm_flax.evaluation.metrics import MetricSums
from lstm_flax.models.classifier import TextClassifier, apply_classifier
from lstm_flax.models.head import predicted_class
from lstm_flax.recurrent.masking import sequence_mask
from lstm_flax.training.losses import (
    adversarial_perturbation,
    cross_entropy,
    entropy,
    kl_divergence,
)
from lstm_flax.training.train_state import TrainState
from lstm_flax.types import Batch

POWER_ITERATION_STEP = 0.1  # Miyato et al.'s xi, in units of the embeddings' root mean square
VIRTUAL_ADVERSARIAL_STREAM = 0x5641  # folded into the step's key, apart from the dropout's streams


def make_train_step(
    model: TextClassifier,
    optimizer: optax.GradientTransformation,
    config: TrainingConfig,
    class_weights: jax.Array,
) -> Callable[[TrainState, Batch], TrainState]:
    """The step as a pure function `(state, batch) -> state`, not yet compiled.

    Args:
        model: whose parameters are trained.
        optimizer: from gradients to updates.
        config: label smoothing, adversarial training of both kinds, entropy, the decay of the
            average.
        class_weights: f32[C], weight of each label's examples in the loss.
    """

    def losses(
        params: Any, perturbation: jax.Array | None, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[MetricSums, jax.Array]]:
        """The loss of one pass over the batch, its sums and its logits."""
        logits = apply_classifier(model, params, batch, key, perturbation)
        of_labels = cross_entropy(logits, batch.labels, config.label_smoothing)
        labelled = batch.example_mask & (batch.labels >= 0)
        weights = class_weights[batch.labels] * labelled
        sums = MetricSums(
            # A filler row must not reach the sum even if its loss is not finite.
            loss=jnp.sum(jnp.where(labelled, of_labels, 0) * weights),
            weight=jnp.sum(weights),
            correct=jnp.sum((predicted_class(logits) == batch.labels) & labelled, dtype=jnp.int32),
            examples=jnp.sum(labelled, dtype=jnp.int32),
        )
        return sums.loss / sums.weight, (sums, logits)

    def clean_losses(
        params: Any, perturbation: jax.Array | None, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[MetricSums, jax.Array]]:
        """`losses` and the entropy, which is asked of unperturbed texts alone."""
        loss, (sums, logits) = losses(params, perturbation, batch, key)
        if config.entropy_weight > 0:
            loss += config.entropy_weight * mean_over_examples(entropy(logits), batch.example_mask)
        return loss, (sums, logits)

    def gradient(params: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, MetricSums, Any]:
        """The clean loss and sums, and the gradient of all losses together.

        Every pass has the same key: all drop the same units, or the difference between the clean
        and a perturbed one would measure dropout.
        """
        table = params["embedding"]["embedding"]
        rms = jax.lax.stop_gradient(jnp.sqrt(jnp.mean(jnp.square(table))))
        size = config.adversarial_epsilon * rms
        perturbed = config.adversarial_weight > 0
        unperturbed = jnp.zeros((*batch.token_ids.shape, table.shape[1])) if perturbed else None
        clean = jax.value_and_grad(clean_losses, argnums=(0, 1) if perturbed else 0, has_aux=True)
        (loss, (sums, logits)), grads = clean(params, unperturbed, batch, key)
        if perturbed:
            grads, direction = grads
            worst = adversarial_perturbation(direction, size)
            more, _ = jax.grad(losses, has_aux=True)(params, worst, batch, key)
            grads = add_scaled(grads, more, config.adversarial_weight)
        if config.virtual_adversarial_weight > 0:
            more = virtual_adversarial_gradient(model, params, batch, logits, key, rms, size)
            grads = add_scaled(grads, more, config.virtual_adversarial_weight)
        return loss, sums, grads

    def train_step(state: TrainState, batch: Batch) -> TrainState:
        key = jax.random.fold_in(state.key, state.step)
        loss, sums, grads = gradient(state.params, batch, key)
        return advance(state, optimizer, grads, loss, sums, config.ema_decay)

    return train_step


def virtual_adversarial_gradient(
    model: TextClassifier,
    params: Any,
    batch: Batch,
    clean_logits: jax.Array,
    key: jax.Array,
    rms: jax.Array,
    size: jax.Array,
) -> Any:
    """Gradient of the virtual adversarial loss (Miyato et al. 2017, equations 8 and 9).

    The divergence of the perturbed answers from the clean ones, averaged over the batch's texts,
    labelled or not. The perturbation is the one that moves a text's answer most: the dominant
    direction of the divergence's curvature, found by one power iteration from a random one.

    Args:
        model: the classifier.
        params: its parameters.
        batch: B rows.
        clean_logits: the unperturbed answers to the batch, under the same key.
        key: of the dropout masks.
        rms: root mean square of the embeddings, the unit of perturbations.
        size: norm of the perturbation.
    """
    target = jax.lax.stop_gradient(clean_logits)
    shape = (*batch.token_ids.shape, params["embedding"]["embedding"].shape[1])
    valid = sequence_mask(batch.lengths, shape[1])[..., None]
    random = jax.random.normal(jax.random.fold_in(key, VIRTUAL_ADVERSARIAL_STREAM), shape) * valid
    start = adversarial_perturbation(random, POWER_ITERATION_STEP * rms)
    direction = jax.grad(divergence, argnums=1)(params, start, model, batch, target, key)
    worst = adversarial_perturbation(direction, size)
    return jax.grad(divergence)(params, worst, model, batch, target, key)


def divergence(
    params: Any,
    perturbation: jax.Array,
    model: TextClassifier,
    batch: Batch,
    target_logits: jax.Array,
    key: jax.Array,
) -> jax.Array:
    """Mean divergence of the perturbed answers to a batch from f32[B, C] logits."""
    logits = apply_classifier(model, params, batch, key, perturbation)
    return mean_over_examples(kl_divergence(target_logits, logits), batch.example_mask)


def mean_over_examples(values: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean of f32[B] where bool[B] is True; what is False may hold anything.

    >>> mean_over_examples(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([True, True, False]))
    Array(2., dtype=float32)
    """
    return jnp.sum(jnp.where(mask, values, 0)) / jnp.sum(mask)


def add_scaled(tree: Any, other: Any, scale: float) -> Any:
    """`tree + scale * other`, leaf by leaf."""
    return jax.tree.map(lambda a, b: a + scale * b, tree, other)


def advance(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    grads: Any,
    loss: jax.Array,
    sums: MetricSums,
    ema_decay: float,
) -> TrainState:
    """The state after one step.

    Args:
        state: before it.
        optimizer: from gradients to updates.
        grads: of the batch's loss by the parameters.
        loss: f32[], watched for being finite.
        sums: of the batch, added to the epoch's.
        ema_decay: of the averaged parameters, where the state has them.
    """
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    is_finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
    is_first_bad = (state.first_bad_step < 0) & ~is_finite
    return state.replace(
        step=state.step + 1,
        params=params,
        averaged_params=_average(state, params, ema_decay),
        opt_state=opt_state,
        epoch_sums=state.epoch_sums.merge(sums),
        first_bad_step=jnp.where(is_first_bad, state.step, state.first_bad_step),
    )


def _average(state: TrainState, params: Any, decay: float) -> Any:
    """The moving average after this step; it follows closely at first, then ever more slowly."""
    if state.averaged_params is None:
        return None
    count = state.step.astype(jnp.float32)
    rate = jnp.minimum(decay, (1 + count) / (10 + count))
    return optax.incremental_update(params, state.averaged_params, 1 - rate)
