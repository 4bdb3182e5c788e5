"""Careful updates for another run's weights: smaller and later the deeper the layer.

Discriminative fine-tuning and gradual unfreezing (Howard & Ruder 2018, sections 3.2 and 3.3).
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lstm_flax.config.recipes import FineTuningConfig
from lstm_flax.recurrent.cells import layer_of
from lstm_flax.training.recipe import Recipe


class FineTuning(Recipe):
    """Scales or freezes a parameter's updates according to its distance from the output."""

    def __init__(self, config: FineTuningConfig) -> None:
        self._layer_decay = config.layer_decay
        self._unfreeze_epochs = config.unfreeze_epochs

    def optimizer(
        self, optimizer: optax.GradientTransformation, updates_per_epoch: int
    ) -> optax.GradientTransformation:
        """Adds `scale_by_depth` and `unfreeze_gradually` after the rule, if configured."""
        if self._layer_decay < 1:
            optimizer = optax.chain(optimizer, scale_by_depth(self._layer_decay))
        if self._unfreeze_epochs > 0:
            interval = self._unfreeze_epochs * updates_per_epoch
            optimizer = optax.chain(optimizer, unfreeze_gradually(interval))
        return optimizer


def make_recipe(section: FineTuningConfig) -> FineTuning:
    """Makes the recipe of a configuration's section."""
    return FineTuning(section)


def scale_by_depth(decay: float) -> optax.GradientTransformation:
    """Scales updates down with a parameter's distance from the output.

    Discriminative fine-tuning (Howard & Ruder 2018, section 3.2, with decay 1 / 2.6): a parameter
    at depth d gets `decay ** d` times its own update.
    """

    def scale(updates: Any, params: Any = None) -> Any:
        return jax.tree.map(
            lambda update, depth: update * decay**depth, updates, output_depths(updates)
        )

    return optax.stateless(scale)


def unfreeze_gradually(interval: int) -> optax.GradientTransformation:
    """Blocks updates to a parameter until its turn: the head first, then one more layer at a time.

    Gradual unfreezing (Howard & Ruder 2018, section 3.3, with an epoch as the interval): a
    parameter at depth d is unchanged by the first `d * interval` updates. This comes last in the
    chain: the moments of frozen parameters still accumulate, and their gradients count in the norm
    used for clipping.

    Args:
        interval: number of updates between the turns of a layer and the layer below.
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
    """Counts the layers between each parameter and the output, as a tree like the parameters.

    The head, and anything not named below, has depth 0; the top recurrent layer (in a hierarchy,
    that of the document) has depth 1, the layer below 2, and so on; the embedding and what is added
    to it are deepest.
    """
    layers = 1 + max(layer_of(name) for name in params["recurrent"]) + ("document" in params)

    def depth(path: tuple[Any, ...], _: jax.Array) -> int:
        match path[0].key:
            case "recurrent":
                return layers - layer_of(path[1].key)
            case "document" | "sentence_pooling":
                return 1
            case "embedding" | "ngrams":
                return layers + 1
            case _:
                return 0

    return jax.tree_util.tree_map_with_path(depth, params)
