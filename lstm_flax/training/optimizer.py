"""The optimiser: clipping, Adam or SGD, decay on kernels only, rate schedule, accumulation."""

from typing import Any

import jax
import optax

from lstm_flax.config import OptimizerConfig
from lstm_flax.errors import UserError
from lstm_flax.model.cells import layer_of


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


def make_optimizer(config: OptimizerConfig, total_steps: int) -> optax.GradientTransformation:
    """The whole chain from gradients to updates.

    Args:
        config: the optimiser's area of the configuration.
        total_steps: batches of the whole run; with accumulation, several make one update, and
            those left over at its end make none.

    Raises:
        UserError: where no update would ever be made.
    """
    if total_steps < config.accumulation_steps:
        raise UserError(
            f"config.optimizer.accumulation_steps = {config.accumulation_steps}: the whole run has "
            f"only {total_steps} batches"
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
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    chain = optax.chain(clip, rule)
    if config.accumulation_steps > 1:
        return optax.MultiSteps(chain, config.accumulation_steps).gradient_transformation()
    return chain


def scale_by_depth(decay: float) -> optax.GradientTransformation:
    """Smaller updates the farther a parameter lies from the output.

    Discriminative fine-tuning (Howard & Ruder 2018, section 3.2, with decay 1 / 2.6): the head, and
    all that is not named below, takes its whole update, the top recurrent layer `decay` times its
    own, the layer below `decay` squared, and so on; the embedding and what is added to it come
    last.
    """

    def scale(updates: Any, params: Any = None) -> Any:
        layers = _layers(updates)

        def scaled(path: tuple[Any, ...], update: jax.Array) -> jax.Array:
            room = path[0].key
            if room == "recurrent":
                return update * decay ** (layers - layer_of(path[1].key))
            return update * (decay ** (layers + 1) if room in ("embedding", "ngrams") else 1.0)

        return jax.tree_util.tree_map_with_path(scaled, updates)

    return optax.stateless(scale)


def _layers(params: Any) -> int:
    return 1 + max(layer_of(name) for name in params["recurrent"])


def kernel_mask(params: Any) -> Any:
    """True at every leaf named `kernel`: what weight decay may shrink.

    Embeddings and biases are left alone.
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
