"""Everything a run carries from one step to the next."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from lstm_flax.evaluation.metrics import MetricSums


class TrainState(flax.struct.PyTreeNode):
    """The state of a run; a pytree, saved and restored as a whole.

    Attributes:
        step: i32[], batches taken.
        params: the parameters being trained.
        averaged_params: their exponential moving average, or None without one.
        opt_state: the optimiser's state.
        key: u32[2]; the key of a step is `fold_in(key, step)`.
        epoch_sums: metric sums since the epoch began.
        first_bad_step: i32[], the first step with a non-finite loss or gradient; -1 while none.
        carry: what the next batch starts from: a language model's states; None for a classifier.
    """

    step: jax.Array
    params: Any
    averaged_params: Any
    opt_state: Any
    key: jax.Array
    epoch_sums: MetricSums
    first_bad_step: jax.Array
    carry: Any = None

    @classmethod
    def create(
        cls,
        params: Any,
        optimizer: optax.GradientTransformation,
        key: jax.Array,
        average: bool,
        carry: Any = None,
    ) -> "TrainState":
        """The state before the first step."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            averaged_params=jax.tree.map(jnp.copy, params) if average else None,
            opt_state=optimizer.init(params),
            key=key,
            epoch_sums=MetricSums.zero(),
            first_bad_step=jnp.full((), -1, jnp.int32),
            carry=carry,
        )

    @property
    def evaluation_params(self) -> Any:
        """The weights to evaluate and to ship: averaged, where there is an average."""
        return self.params if self.averaged_params is None else self.averaged_params
