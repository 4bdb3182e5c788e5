"""The optimiser: clipping, Adam or SGD, decay on kernels only, schedule, depth, accumulation."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lstm_flax.config import OptimizerConfig
from lstm_flax.errors import UserError
from lstm_flax.recurrent.cells import layer_of


def make_schedule(config: OptimizerConfig, total_updates: int) -> optax.Schedule:
    """The learning rate as a function of the number of updates made.

    Args:
        config: `constant`; or `cosine`: linear warm-up from zero over `warmup_fraction` of the
            updates, then half a cosine down to zero (Loshchilov & Hutter 2017, equation 5).
        total_updates: of the whole run.
    """
    if config.schedule == "constant":
        return optax.constant_schedule(config.learning_rate)
    warmup = int(config.warmup_fraction * total_updates)
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup else config.learning_rate,
        peak_value=config.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(total_updates, warmup + 1),
    )


def make_optimizer(
    config: OptimizerConfig, total_steps: int, steps_per_epoch: int | None = None
) -> optax.GradientTransformation:
    """The whole chain from gradients to updates.

    Args:
        config: the optimiser's area of the configuration.
        total_steps: batches of the whole run; with accumulation, several make one update, and
            those left over at its end make none.
        steps_per_epoch: batches of an epoch, for gradual unfreezing, which counts the whole updates
            they make; by default `total_steps`.

    Raises:
        UserError: where no update would ever be made.
    """
    if total_steps < config.accumulation_steps:
        raise UserError(
            f"config.optimizer.accumulation_steps = {config.accumulation_steps}: the whole run has "
            f"only {total_steps} batches; lower it, or raise config.training.epochs"
        )
    schedule = make_schedule(config, total_steps // config.accumulation_steps)
    match config.name:
        case "sgd":
            rule = optax.sgd(schedule, momentum=config.b1 or None)
        case "adam":
            rule = optax.adam(schedule, b1=config.b1, b2=config.b2)
        case _:
            rule = optax.adamw(
                schedule,
                b1=config.b1,
                b2=config.b2,
                weight_decay=config.weight_decay,
                mask=kernel_mask,
            )
    if config.layer_decay < 1:
        rule = optax.chain(rule, scale_by_depth(config.layer_decay))
    if config.unfreeze_epochs > 0:
        updates_per_epoch = max(1, (steps_per_epoch or total_steps) // config.accumulation_steps)
        rule = optax.chain(rule, unfreeze_gradually(config.unfreeze_epochs * updates_per_epoch))
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    chain = optax.chain(clip, rule)
    if config.accumulation_steps > 1:
        return optax.MultiSteps(chain, config.accumulation_steps).gradient_transformation()
    return chain


def scale_by_depth(decay: float) -> optax.GradientTransformation:
    """Smaller updates the farther a parameter lies from the output.

    Discriminative fine-tuning (Howard & Ruder 2018, section 3.2, with decay 1 / 2.6): a parameter
    of depth d takes `decay ** d` times its own update.
    """

    def scale(updates: Any, params: Any = None) -> Any:
        return jax.tree.map(
            lambda update, depth: update * decay**depth, updates, output_depths(updates)
        )

    return optax.stateless(scale)


def unfreeze_gradually(interval: int) -> optax.GradientTransformation:
    """No update to a parameter before its turn: the head first, then one layer more at a time.

    Gradual unfreezing (Howard & Ruder 2018, section 3.3, with an epoch as the interval): a
    parameter of depth d stays as it is for the first `d * interval` updates. This comes last in
    the chain: the moments of frozen parameters gather all the same, and their gradients count in
    the norm that clipping bounds.

    Args:
        interval: updates from one layer's turn to that of the layer below.
    """

    def init(params: Any) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(count=jnp.zeros([], jnp.int32))

    def hold(
        updates: Any, state: optax.ScaleByScheduleState, params: Any = None
    ) -> tuple[Any, optax.ScaleByScheduleState]:
        held = jax.tree.map(
            lambda update, depth: jnp.where(state.count < depth * interval, 0, update),
            updates,
            output_depths(updates),
        )
        return held, optax.ScaleByScheduleState(count=optax.safe_increment(state.count))

    return optax.GradientTransformation(init, hold)


def output_depths(params: Any) -> Any:
    """How many layers lie between each parameter and the output, as a tree like the parameters'.

    The head, and all that is not named below, has depth 0; the top recurrent layer 1, the layer
    below 2, and so on; the embedding and what is added to it come last.
    """
    layers = 1 + max(layer_of(name) for name in params["recurrent"])

    def depth(path: tuple[Any, ...], _: jax.Array) -> int:
        match path[0].key:
            case "recurrent":
                return layers - layer_of(path[1].key)
            case "embedding" | "ngrams":
                return layers + 1
            case _:
                return 0

    return jax.tree_util.tree_map_with_path(depth, params)


def kernel_mask(params: Any) -> Any:
    """True at every leaf named `kernel`: what weight decay may shrink.

    Embeddings and biases are left alone.
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
