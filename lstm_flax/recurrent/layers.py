"""The recurrent layers `LSTM`, `GRU` and `RNN`: three cells, stacked in the same way.

They follow `torch.nn.LSTM`, `torch.nn.GRU` and `torch.nn.RNN`: shapes, the order of the states,
dropout between layers. Right-padded rows with `lengths` replace packed sequences. The reference
implementation scans Flax's own cells (`scan.py`); the others are faster and compute the same
results from the same parameters.

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

    It follows `torch.nn.LSTM`; see `__call__`. The forward direction of layer 0 keeps the
    parameters of Flax's `LSTMCell` under `layers_0_forward`, and so on. Recurrent kernels start
    orthogonal, input kernels uniform (Glorot & Bengio 2010), and the forget gate's bias at one.

    >>> import jax.numpy as jnp
    >>> layer = LSTM(8, bidirectional=True)
    >>> inputs = jax.random.normal(jax.random.key(0), (2, 5, 3))
    >>> variables = layer.init(jax.random.key(1), inputs)
    >>> list(variables["params"])
    ['layers_0_forward', 'layers_0_backward']

    With lengths, rows are padded on the right: outputs are zero past a row's length, and the
    forward direction's final state is the one at the row's last step.

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
        hidden_size: H; all other attributes are passed by name.
        num_layers: L.
        bidirectional: True adds a second direction, from each row's last token to its first
            (D = 2).
        direction_merge: how every layer merges the outputs of its two directions, both for the next
            layer and at the top: `concat` as in torch, or `sum` or `mean`, whose outputs are as
            wide as those of one direction. States are never merged.
        use_bias: False removes all biases, like torch's `bias=False`.
        proj_size: P, from 1 to H - 1: h_t is projected to this size before it enters outputs,
            gates and the next layer (Sak et al. 2014, equation 7). 0 for none; P below is then H.
        dropout: rate on the outputs of every layer but the last.
        recurrent_dropout: rate on h_{t-1} before the gates (Gal & Ghahramani 2016).
        recurrent_dropout_per_step: True draws a new mask each step instead of one per sequence.
        truncate_gradient_every: k, the number of steps after which the gradient of the states is
            cut, in each direction from where it starts reading (`truncation.py`); values do not
            change. 0 keeps the whole gradient.
        time_major: inputs and outputs are [T, B, ...] instead of [B, T, ...].
        implementation: `scan`, `fused`, `cudnn`, or `auto` for the fastest that can run the layer.
            Parameters and results are the same. Only `scan` supports projections.
        dtype: dtype of products and outputs; None infers it from inputs and parameters. The cell
            state is always float32 or wider.
        param_dtype: dtype of the parameters.
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
                means T. Their values cannot be checked inside `jax.jit`: smaller ones count as 1,
                larger ones as T. Past a row's length its states do not change and its outputs are
                zero; its backward direction starts at its own last step.
            initial_state: (h_0 [L*D, B, P], c_0 [L*D, B, H]), ordered by layer, then by direction,
                as in torch; None means zeros. One sequence has no axis B.
            deterministic: True turns dropout off; False needs a `dropout` key.

        Returns:
            outputs [B, T, D*P], or [T, B, D*P] if time-major, forward then backward (P instead of
            D*P if they are summed or averaged), and (h_n [L*D, B, P], c_n [L*D, B, H]), the states
            after each row's last step in its direction. For one sequence: [T, D*P], [L*D, P] and
            [L*D, H].

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

    The reset gate acts on the state's product, bias included. Attributes are those of `LSTM` except
    `proj_size`; recurrent dropout acts on the state that enters the gates, not on the state that is
    carried over.

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
    """Plain recurrent network (Elman 1990), like `torch.nn.RNN`.

    >>> import jax.numpy as jnp
    >>> layer = RNN(8, nonlinearity="relu")
    >>> (outputs, h_n), _ = layer.init_with_output(jax.random.key(0), jnp.ones((2, 5, 3)))
    >>> outputs.shape, h_n.shape, bool(jnp.all(outputs >= 0))
    ((2, 5, 8), (1, 2, 8), True)

    Attributes:
        nonlinearity: `tanh` or `relu`. The others are those of `LSTM`, except `proj_size`.
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
