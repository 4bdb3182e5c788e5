"""Careful updates for weights of another run: smaller below, later below.

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
    """Scales or holds the updates of a parameter by its distance from the output."""

    def __init__(self, config: FineTuningConfig) -> None:
        self._layer_decay = config.layer_decay
        self._unfreeze_epochs = config.unfreeze_epochs

    def optimizer(
        self, optimizer: optax.GradientTransformation, updates_per_epoch: int
    ) -> optax.GradientTransformation:
        """Puts `scale_by_depth` and `unfreeze_gradually` after the rule, as far as asked for."""
        if self._layer_decay < 1:
            optimizer = optax.chain(optimizer, scale_by_depth(self._layer_decay))
        if self._unfreeze_epochs > 0:
            interval = self._unfreeze_epochs * updates_per_epoch
            optimizer = optax.chain(optimizer, unfreeze_gradually(interval))
        return optimizer


def make_recipe(section: FineTuningConfig) -> FineTuning:
    """The recipe of a configuration's section."""
    return FineTuning(section)


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
    """Layers between each parameter and the output, as a tree like that of the parameters.

    The head, and all that is not named below, has depth 0; the top recurrent layer 1 (that of the
    document, in a hierarchy), the layer below 2, and so on; the embedding and what is added to it
    come last.
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
