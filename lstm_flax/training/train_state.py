"""The state that a run carries from one step to the next."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from lstm_flax.checkpoints.folder import AVERAGED_PARAMS, PARAMS, TRAINING
from lstm_flax.evaluation.metrics import MetricSums

# Named, so a run draws the same numbers under any JAX default.
KEY_IMPLEMENTATION = "threefry2x32"


class TrainState(flax.struct.PyTreeNode):
    """The state of a run; a pytree, saved and restored as a whole.

    >>> state = TrainState.create({"w": jnp.ones(2)}, optax.sgd(0.5))
    >>> state = state.apply_gradients({"w": jnp.ones(2)}, optax.sgd(0.5))
    >>> int(state.step), state.params["w"].tolist()
    (1, [0.5, 0.5])

    Attributes:
        step: i32[], batches taken.
        params: the parameters being trained.
        averaged_params: their exponential moving average, or None if not kept.
        opt_state: the optimizer's state.
        key: a typed key; the key of a step is `fold_in(key, step)`.
        first_bad_step: i32[], the first step with a non-finite loss or gradient; -1 if none.
        carry: what the next batch starts from: a language model's states; None for a classifier.
    """

    step: jax.Array
    params: Any
    averaged_params: Any
    opt_state: Any
    key: jax.Array
    first_bad_step: jax.Array
    carry: Any = None

    @classmethod
    def create(
        cls,
        params: Any,
        optimizer: optax.GradientTransformation,
        key: jax.Array | None = None,
        average: bool = False,
        carry: Any = None,
    ) -> "TrainState":
        """Creates the state before the first step.

        Args:
            params: the initial parameters.
            optimizer: from gradients to updates.
            key: for dropout and any other draws of a step; None means `make_key(0)`.
            average: True keeps a moving average of the parameters.
            carry: what the first batch starts from.
        """
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            averaged_params=jax.tree.map(jnp.copy, params) if average else None,
            opt_state=optimizer.init(params),
            key=make_key(0) if key is None else key,
            first_bad_step=jnp.full((), -1, jnp.int32),
            carry=carry,
        )

    def apply_gradients(
        self,
        grads: Any,
        optimizer: optax.GradientTransformation,
        loss: jax.Array | float = 0.0,
        ema_decay: float = 0.0,
    ) -> "TrainState":
        """Returns the state after one step.

        Args:
            grads: gradients of the batch's loss with respect to the parameters.
            optimizer: from gradients to updates.
            loss: f32[], checked for being finite.
            ema_decay: decay of the averaged parameters, if the state has them.
        """
        updates, opt_state = optimizer.update(grads, self.opt_state, self.params)
        params = optax.apply_updates(self.params, updates)
        is_finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
        is_first_bad = (self.first_bad_step < 0) & ~is_finite
        return self.replace(
            step=self.step + 1,
            params=params,
            averaged_params=self._average(params, ema_decay),
            opt_state=opt_state,
            first_bad_step=jnp.where(is_first_bad, self.step, self.first_bad_step),
        )

    def _average(self, params: Any, decay: float) -> Any:
        """Updates the moving average; it follows closely at first, then more and more slowly."""
        if self.averaged_params is None:
            return None
        count = self.step.astype(jnp.float32)
        rate = jnp.minimum(decay, (1 + count) / (10 + count))
        return optax.incremental_update(params, self.averaged_params, 1 - rate)

    @property
    def evaluation_params(self) -> Any:
        """Returns the weights to evaluate and save: averaged, if there is an average."""
        return self.params if self.averaged_params is None else self.averaged_params


def make_key(seed: int) -> jax.Array:
    """Makes a typed key of `KEY_IMPLEMENTATION`.

    >>> make_key(0).dtype
    key<fry>
    """
    return jax.random.key(seed, impl=KEY_IMPLEMENTATION)


def to_trees(state: TrainState, epoch_sums: MetricSums) -> dict[str, Any]:
    """Returns the state's arrays by checkpoint item; a key becomes its underlying integers."""
    training = {
        "step": state.step,
        "opt_state": state.opt_state,
        "key": jax.random.key_data(state.key),
        "epoch_sums": epoch_sums,
        "first_bad_step": state.first_bad_step,
    }
    if state.carry is not None:
        training["carry"] = state.carry
    trees = {PARAMS: state.params, TRAINING: training}
    if state.averaged_params is not None:
        trees[AVERAGED_PARAMS] = state.averaged_params
    return trees


def from_trees(trees: Mapping[str, Any], like: TrainState) -> tuple[TrainState, MetricSums]:
    """Inverts `to_trees`, for a state with the structure of `like`."""
    training = trees[TRAINING]
    state = like.replace(
        step=training["step"],
        params=trees[PARAMS],
        averaged_params=trees.get(AVERAGED_PARAMS),
        opt_state=training["opt_state"],
        key=jax.random.wrap_key_data(training["key"], impl=KEY_IMPLEMENTATION),
        first_bad_step=training["first_bad_step"],
        carry=training.get("carry"),
    )
    return state, training["epoch_sums"]
