"""The LSTM's weights with the gates side by side, for one product of all four.

>>> product = {"kernel": jnp.ones((3, 2))}, {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
>>> cell = {f"{side}{gate}": p for side, p in zip("ih", product) for gate in "ifgo"}
>>> [weight.shape for weight in join_weights(cell)]
[(3, 8), (2, 8), (8,)]
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lstm_flax.recurrent.cells import LSTM_SPEC, CellParams


class Weights(NamedTuple):
    """One direction's weights, the gates i, f, g, o side by side.

    Attributes:
        inputs: [E, 4H].
        state: [H, 4H].
        bias: [4H].
    """

    inputs: jax.Array
    state: jax.Array
    bias: jax.Array


def join_weights(cell: CellParams) -> Weights:
    """Joins the parameters of Flax's `LSTMCell`; missing biases become zero.

    >>> product = {"kernel": jnp.ones((3, 2))}, {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    >>> cell = {f"{side}{gate}": p for side, p in zip("ih", product) for gate in "ifgo"}
    >>> [weight.shape for weight in join_weights(cell)]
    [(3, 8), (2, 8), (8,)]
    """
    gates = LSTM_SPEC.gates
    inputs = jnp.concatenate([cell[f"i{gate}"]["kernel"] for gate in gates], axis=-1)
    state = jnp.concatenate([cell[f"h{gate}"]["kernel"] for gate in gates], axis=-1)
    if "bias" not in cell[f"h{gates[0]}"]:
        return Weights(inputs, state, jnp.zeros(state.shape[-1], state.dtype))
    bias = jnp.concatenate([cell[f"h{gate}"]["bias"] for gate in gates], axis=-1)
    return Weights(inputs, state, bias)
