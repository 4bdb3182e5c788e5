"""Cells that Flax lacks: cells without biases, and the LSTM with a projected state.

Each derives from Flax's cell and keeps its parameter names, so it can be scanned in its place. The
projection is one more kernel, `hr` [H, P].
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.recurrent.cells import GRU_SPEC, LSTM_SPEC


class VariantLSTMCell(nn.OptimizedLSTMCell):
    """LSTM cell with optional biases and an optional projection (Sak et al. 2014, equation 7).

    >>> cell = VariantLSTMCell(4, proj_size=2, use_bias=False)
    >>> carry = jnp.zeros((1, 4)), jnp.zeros((1, 2))
    >>> (c, h), _ = cell.init_with_output(jax.random.key(0), carry, jnp.ones((1, 3)))[0]
    >>> c.shape, h.shape
    ((1, 4), (1, 2))

    Attributes:
        proj_size: P, the size of h; 0 for none, and h then has the size of c.
        use_bias: False removes the biases.
    """

    proj_size: int = 0
    use_bias: bool = True

    @nn.compact
    def __call__(
        self, carry: tuple[jax.Array, jax.Array], inputs: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """Runs one step: (c [B, H], h [B, P]) and inputs [B, E] -> the new carry and the output."""
        c, h = carry
        i, f, g, o = (
            _dense(self, f"i{gate}", False)(inputs) + _dense(self, f"h{gate}", self.use_bias)(h)
            for gate in LSTM_SPEC.gates
        )
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        if self.proj_size > 0:
            h = nn.Dense(
                self.proj_size,
                use_bias=False,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                kernel_init=self.kernel_init,
                name="hr",
            )(h)
        return (c, h), h


class UnbiasedGRUCell(nn.GRUCell):
    """GRU cell without biases.

    >>> h, _ = UnbiasedGRUCell(4).init_with_output(
    ...     jax.random.key(0), jnp.zeros((1, 4)), jnp.ones((1, 3))
    ... )[0]
    >>> h.shape
    (1, 4)
    """

    @nn.compact
    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Runs one step: h [B, H] and inputs [B, E] -> the new state, twice."""
        from_x = [_dense(self, f"i{gate}", False)(inputs) for gate in GRU_SPEC.gates]
        from_h = [_dense(self, f"h{gate}", False)(carry) for gate in GRU_SPEC.gates]
        r = nn.sigmoid(from_x[0] + from_h[0])
        z = nn.sigmoid(from_x[1] + from_h[1])
        n = jnp.tanh(from_x[2] + r * from_h[2])
        h = (1.0 - z) * n + z * carry
        return h, h


class UnbiasedRNNCell(nn.SimpleCell):
    """Plain recurrent cell without biases.

    >>> h, _ = UnbiasedRNNCell(4).init_with_output(
    ...     jax.random.key(0), jnp.zeros((1, 4)), jnp.ones((1, 3))
    ... )[0]
    >>> h.shape
    (1, 4)
    """

    @nn.compact
    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Runs one step: h [B, H] and inputs [B, E] -> the new state, twice."""
        total = _dense(self, "i", False)(inputs) + _dense(self, "h", False)(carry)
        h = self.activation_fn(total)
        return h, h


def _dense(cell: Any, name: str, use_bias: bool) -> nn.Dense:
    """Returns one product of a cell; names that begin with `h` take the state."""
    return nn.Dense(
        cell.features,
        use_bias=use_bias,
        dtype=cell.dtype,
        param_dtype=cell.param_dtype,
        kernel_init=cell.recurrent_kernel_init if name.startswith("h") else cell.kernel_init,
        name=name,
    )
