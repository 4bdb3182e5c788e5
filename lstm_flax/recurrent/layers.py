"""The recurrent layers: `LSTM`, `GRU` and `RNN`, three cells with one way of stacking them.

They follow `torch.nn.LSTM`, `torch.nn.GRU` and `torch.nn.RNN`: shapes, the order of the states,
dropout between layers. Right-padded rows with `lengths` replace packed sequences. The reference
implementation scans Flax's own cells (`scan.py`); the others compute the same from the same
parameters, faster.

>>> import jax.numpy as jnp
>>> layer = LSTM(8, num_layers=2, bidirectional=True)
>>> inputs, lengths = jnp.ones((4, 6, 3)), jnp.array([6, 1, 4, 3])
>>> variables = layer.init(jax.random.key(0), inputs)
>>> outputs, (h_n, c_n) = layer.apply(variables, inputs, lengths)
>>> outputs.shape, h_n.shape, c_n.shape
((4, 6, 16), (4, 4, 8), (4, 4, 8))
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax

from lstm_flax.recurrent.cells import GRU_SPEC, LSTM_SPEC, RNN_SPEC, CellSpec
from lstm_flax.recurrent.initializers import orthogonal
from lstm_flax.recurrent.stack import Stack
from lstm_flax.recurrent.variants import UnbiasedGRUCell, UnbiasedRNNCell, VariantLSTMCell


class LSTM(Stack):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    It follows `torch.nn.LSTM`; see `__call__`. The parameters of layer 0, forward direction, are
    those of Flax's `LSTMCell` under `layers_0_forward`, and so on. Recurrent kernels start
    orthogonal, input kernels uniform after Glorot & Bengio (2010), the forget gate's bias at one.

    >>> import jax.numpy as jnp
    >>> layer = LSTM(8, bidirectional=True)
    >>> inputs = jax.random.normal(jax.random.key(0), (2, 5, 3))
    >>> variables = layer.init(jax.random.key(1), inputs)
    >>> list(variables["params"])
    ['layers_0_forward', 'layers_0_backward']

    With lengths, rows are padded on the right: outputs are zero past a row's length, and the final
    state of the forward direction is that at the row's last step.

    >>> outputs, (h_n, c_n) = layer.apply(variables, inputs, jnp.array([5, 2]))
    >>> bool(jnp.any(outputs[1, 2:])), bool(jnp.all(h_n[0, 1] == outputs[1, 1, :8]))
    (False, True)

    States carry a sequence over from one call to the next:

    >>> layer = LSTM(8)
    >>> variables = layer.init(jax.random.key(1), inputs)
    >>> whole, _ = layer.apply(variables, inputs)
    >>> first, states = layer.apply(variables, inputs[:, :2])
    >>> second, _ = layer.apply(variables, inputs[:, 2:], initial_state=states)
    >>> bool(jnp.allclose(jnp.concatenate([first, second], axis=1), whole, atol=1e-6))
    True

    One sequence without a batch:

    >>> outputs, (h_n, c_n) = layer.apply(variables, inputs[0])
    >>> outputs.shape, h_n.shape
    ((5, 8), (1, 8))

    A projection makes h smaller than c:

    >>> outputs, (h_n, c_n) = LSTM(8, proj_size=2).init_with_output(jax.random.key(1), inputs)[0]
    >>> outputs.shape, h_n.shape, c_n.shape
    ((2, 5, 2), (1, 2, 2), (1, 2, 8))

    Attributes:
        hidden_size: H; the others are given by name.
        num_layers: L.
        bidirectional: a second direction, from each row's last token to its first (D = 2).
        direction_merge: of the outputs of the two directions of every layer, the last one's as
            those that the next layer reads: `concat` as in torch, `sum` or `mean`, with which
            outputs are as wide as those of one direction. States are never merged.
        use_bias: False leaves all biases out, as torch's `bias=False`.
        proj_size: P, from 1 to H - 1: h_t is projected to this size before it enters outputs,
            gates and the next layer (Sak et al. 2014, equation 7). 0 for none, then P = H below.
        dropout: rate on the outputs of every layer but the last.
        recurrent_dropout: rate on h_{t-1} before the gates (Gal & Ghahramani 2016).
        recurrent_dropout_per_step: a new mask each step instead of one per sequence.
        truncate_gradient_every: k, steps after which the gradient of the states is cut, in each
            direction from where it starts to read (`truncation.py`); values stay as they are. 0
            for the whole gradient.
        time_major: inputs and outputs are [T, B, ...] instead of [B, T, ...].
        implementation: `scan`, `fused`, `cudnn`, or `auto` for the fastest that can run the layer.
            Parameters and results are the same. Only `scan` has projections.
        dtype: of products and outputs; None takes it from inputs and parameters. The cell state is
            float32 or wider in any case.
        param_dtype: of the parameters.
    """

    proj_size: int = dataclasses.field(default=0, kw_only=True)

    spec: ClassVar[CellSpec] = LSTM_SPEC
    cell_class: ClassVar[Callable[..., nn.Module]] = nn.OptimizedLSTMCell

    def __call__(
        self,
        inputs: jax.Array,
        lengths: jax.Array | None = None,
        initial_state: tuple[jax.Array, jax.Array] | None = None,
        deterministic: bool = True,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Runs the layers over a batch of right-padded sequences, or over one sequence.

        Args:
            inputs: [B, T, E], or [T, B, E] if time-major; or one sequence [T, E].
            lengths: i32[B], valid steps of each row, from 1 to T, a scalar for one sequence; None
                means T. Within `jax.jit` their values cannot be checked: smaller ones count as 1,
                larger ones as T. Past a row's length its states stay as they are and its outputs
                are zero, and its backward direction starts at its own last step.
            initial_state: (h_0 [L*D, B, P], c_0 [L*D, B, H]): first by layer, then by direction, as
                in torch; None means zeros. Without the axis B for one sequence.
            deterministic: True turns dropout off; False needs a `dropout` key.

        Returns:
            outputs [B, T, D*P], or [T, B, D*P] if time-major, forward then backward (P in place
            of D*P if they are summed or averaged), and (h_n [L*D, B, P], c_n [L*D, B, H]), the
            states after each row's last step in its direction. For one sequence [T, D*P],
            [L*D, P] and [L*D, H].

        Raises:
            UserError: shapes do not fit, lengths (if their values are known) are not within 1 to T,
                or `implementation` cannot run this layer.
        """
        outputs, (h_n, c_n) = self._run(inputs, lengths, initial_state, deterministic)
        return outputs, (h_n, c_n)

    def _cell_class(self) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
        if self.use_bias and self.proj_size == 0:
            return self.cell_class, {}
        options: dict[str, Any] = {"use_bias": self.use_bias, "proj_size": self.proj_size}
        if self.proj_size > 0:

            def first_rows(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
                return orthogonal(key, (shape[1], shape[1]), dtype)[: shape[0]]

            options["recurrent_kernel_init"] = first_rows
        return VariantLSTMCell, options


class _OneState(Stack):
    """A stack whose only state is h."""

    def __call__(
        self,
        inputs: jax.Array,
        lengths: jax.Array | None = None,
        initial_state: jax.Array | None = None,
        deterministic: bool = True,
    ) -> tuple[jax.Array, jax.Array]:
        """Runs the layers as `LSTM.__call__` does, with h_0 as the only state: (outputs, h_n)."""
        states = None if initial_state is None else (initial_state,)
        outputs, (h_n,) = self._run(inputs, lengths, states, deterministic)
        return outputs, h_n


class GRU(_OneState):
    """Gated recurrent unit (Cho et al. 2014), in the form of `torch.nn.GRU`, cuDNN and Flax.

    The reset gate acts on the state's product, bias included. Attributes as in `LSTM`, but for
    `proj_size`; recurrent dropout acts on the state that enters the gates, not on the state that
    is carried over.

    >>> import jax.numpy as jnp
    >>> layer = GRU(8, num_layers=2)
    >>> inputs, lengths = jnp.ones((2, 5, 3)), jnp.array([5, 2])
    >>> variables = layer.init(jax.random.key(0), inputs)
    >>> outputs, h_n = layer.apply(variables, inputs, lengths)
    >>> outputs.shape, h_n.shape
    ((2, 5, 8), (2, 2, 8))
    >>> outputs, h_n = layer.apply(variables, inputs, lengths, initial_state=h_n)
    """

    spec: ClassVar[CellSpec] = GRU_SPEC
    cell_class: ClassVar[Callable[..., nn.Module]] = nn.GRUCell
    unbiased_cell_class: ClassVar[Callable[..., nn.Module]] = UnbiasedGRUCell


class RNN(_OneState):
    """Plain recurrent network (Elman 1990), as `torch.nn.RNN`.

    >>> import jax.numpy as jnp
    >>> layer = RNN(8, nonlinearity="relu")
    >>> (outputs, h_n), _ = layer.init_with_output(jax.random.key(0), jnp.ones((2, 5, 3)))
    >>> outputs.shape, h_n.shape, bool(jnp.all(outputs >= 0))
    ((2, 5, 8), (1, 2, 8), True)

    Attributes:
        nonlinearity: `tanh` or `relu`. The others are those of `LSTM`, but for `proj_size`.
    """

    nonlinearity: str = dataclasses.field(default="tanh", kw_only=True)

    spec: ClassVar[CellSpec] = RNN_SPEC
    cell_class: ClassVar[Callable[..., nn.Module]] = nn.SimpleCell
    unbiased_cell_class: ClassVar[Callable[..., nn.Module]] = UnbiasedRNNCell

    def _cell_class(self) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
        cell_class, options = super()._cell_class()
        if self.nonlinearity == "relu":
            options["activation_fn"] = nn.relu
        return cell_class, options
