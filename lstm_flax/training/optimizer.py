"""The optimizer: clipping, AdamW, Adam or SGD, decay on kernels only, schedule, accumulation.

To add an optimizer, add a case to `make_optimizer` and a choice of `name` in config/optimizer.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

from lstm_flax.config import OptimizerConfig
from lstm_flax.errors import UserError
from lstm_flax.training.recipe import Recipe


def make_schedule(config: OptimizerConfig, total_updates: int) -> optax.Schedule:
    """Returns the learning rate as a function of the number of updates so far.

    >>> schedule = make_schedule(OptimizerConfig(learning_rate=1.0, warmup_fraction=0.5), 4)
    >>> [float(schedule(update)) for update in range(3)]
    [0.0, 0.5, 1.0]

    Args:
        config: `constant`; or `cosine`: linear warm-up from zero over `warmup_fraction` of the
            updates, then half a cosine down to zero (Loshchilov & Hutter 2017, equation 5).
        total_updates: number of updates in the whole run.
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
    config: OptimizerConfig,
    total_steps: int,
    steps_per_epoch: int | None = None,
    recipes: Sequence[Recipe] = (),
    frozen: str | None = None,
) -> optax.GradientTransformation:
    """Builds the whole chain from gradients to updates.

    Args:
        config: `config.optimizer` of the run.
        total_steps: batches of the whole run; with accumulation, several make one update, and an
            incomplete group at the end makes none.
        steps_per_epoch: batches per epoch; defaults to `total_steps`.
        recipes: may insert their own transformations after the optimizer's rule, in order.
        frozen: name of the module whose parameters stay fixed; None for no module.

    Raises:
        UserError: no update would ever be made.
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
        case _:  # adamw; config/optimizer.py admits no other name
            rule = optax.adamw(
                schedule,
                b1=config.b1,
                b2=config.b2,
                weight_decay=config.weight_decay,
                mask=kernel_mask,
            )
    updates_per_epoch = max(1, (steps_per_epoch or total_steps) // config.accumulation_steps)
    for recipe in recipes:
        rule = recipe.optimizer(rule, updates_per_epoch)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    chain = optax.chain(clip, rule)
    if frozen is not None:  # no gradient, and no share of the norm used for clipping
        chain = optax.chain(optax.masked(optax.set_to_zero(), module_mask(frozen)), chain)
    if config.accumulation_steps > 1:
        return optax.MultiSteps(chain, config.accumulation_steps).gradient_transformation()
    return chain


def kernel_mask(params: Any) -> Any:
    """Returns a mask, True at leaves named `kernel`: the parameters subject to weight decay.

    Embeddings and biases do not decay.

    >>> kernel_mask({"head": {"kernel": 1.0, "bias": 0.0}})
    {'head': {'bias': False, 'kernel': True}}
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def module_mask(name: str) -> Callable[[Any], Any]:
    """Returns a function from parameters to a mask that is True for one module.

    >>> module_mask("head")({"head": {"kernel": 1.0}, "embedding": {"embedding": 0.0}})
    {'embedding': {'embedding': False}, 'head': {'kernel': True}}
    """
    return lambda params: jax.tree_util.tree_map_with_path(
        lambda path, _: path[0].key == name, params
    )
