"""The public recurrent layers: `LSTM`, `GRU` and `RNN`, three cells over one stack.

Their contract is that of `torch.nn.LSTM`, `torch.nn.GRU` and `torch.nn.RNN` on batched input:
shapes, the order of the states, dropout between layers. Right-padded rows with `lengths` take the
place of packed sequences. The reference implementation scans Flax's own cells (`recurrent_scan`);
the others compute the same from the same parameters, faster.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.errors import UserError
from lstm_flax.recurrent.cells import (
    GRU_SPEC,
    LSTM_SPEC,
    RNN_SPEC,
    CellParams,
    CellSpec,
    direction_name,
)
from lstm_flax.recurrent.checks import check_attributes, check_sizes, checked_inputs
from lstm_flax.recurrent.cudnn import cudnn_layers
from lstm_flax.recurrent.dispatch import choose_implementation
from lstm_flax.recurrent.fused import fused_layer
from lstm_flax.recurrent.initializers import orthogonal
from lstm_flax.recurrent.masking import sequence_mask
from lstm_flax.recurrent.scan import DirectionStart, scan_layer, to_carry


class _Stack(nn.Module):
    """Layers and directions of one kind of cell. See `LSTM` for the attributes."""

    hidden_size: int
    _: dataclasses.KW_ONLY
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    recurrent_dropout_per_step: bool = False
    time_major: bool = False
    implementation: str = "scan"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    spec: ClassVar[CellSpec]
    cell_class: ClassVar[Callable[..., nn.Module]]

    def __post_init__(self) -> None:
        if isinstance(self.parent, int):  # Flax's own first field, where no other is left
            raise UserError(
                f"{self.spec.name}({self.hidden_size}, {self.parent}, ...): give hidden_size alone "
                "by position, num_layers=... and the rest by name; unlike in torch, the size of "
                "the inputs is not given"
            )
        super().__post_init__()

    @nn.compact
    def _run(
        self,
        inputs: jax.Array,
        lengths: jax.Array | None,
        initial_state: tuple[jax.Array, ...] | None,
        deterministic: bool,
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """The stack: outputs and the final states h_n, and c_n for the LSTM, each [L*D, B, H]."""
        check_attributes(self)
        x, lengths = checked_inputs(inputs, lengths, self.time_major)
        x = x.astype(self.dtype or jnp.result_type(x.dtype, self.param_dtype))
        mask = None
        if lengths is not None:
            mask = sequence_mask(lengths, x.shape[0]).T[..., None]
            # Whatever stands in the padding, NaN included, cannot reach a product.
            x = jnp.where(mask, x, jnp.zeros((), x.dtype))
        states = self._initial_states(initial_state, x)

        recurrent_dropout = 0.0 if deterministic else self.recurrent_dropout
        implementation = choose_implementation(
            self.implementation, self.spec.name, x.dtype, recurrent_dropout > 0.0
        )
        layers = range(self.num_layers)
        # cuDNN takes all layers in one call, unless something has to happen between them.
        together = implementation == "cudnn" and (deterministic or self.dropout == 0.0)
        finals: list[tuple[jax.Array, ...]] = []
        for block in [layers] if together else [[layer] for layer in layers]:
            if block[0] > 0:
                x = nn.Dropout(self.dropout)(x, deterministic=deterministic)
            cells, starts = self._make_block(block, x, states, recurrent_dropout)
            final: Sequence[tuple[jax.Array, ...]]
            if implementation == "scan":
                x, final = scan_layer(x, cells, starts, mask)
            else:
                params = [cell.variables["params"] for cell in cells]
                if implementation == "fused":
                    x, final = fused_layer(x, params, starts, lengths, initial_state is not None)
                else:
                    x, final = cudnn_layers(x, params, starts, lengths, self.bidirectional)
            finals.extend(final)

        stacked = tuple(jnp.stack(arrays) for arrays in zip(*finals, strict=True))
        return (x if self.time_major else x.swapaxes(0, 1)), stacked

    def _initial_states(
        self, initial_state: tuple[jax.Array, ...] | None, x: jax.Array
    ) -> tuple[jax.Array, ...]:
        """h_0, and c_0 for the LSTM, in the dtypes that the loop carries; zeros where not given.

        The state that lives on by itself (c of the LSTM, h of the GRU) stays float32 or wider.
        """
        wide = jnp.promote_types(x.dtype, jnp.float32)
        dtypes = {"LSTM": (x.dtype, wide), "GRU": (wide,), "RNN": (x.dtype,)}[self.spec.name]
        directions = 2 if self.bidirectional else 1
        shape = (self.num_layers * directions, x.shape[1], self.hidden_size)
        if initial_state is None:
            return tuple(jnp.zeros(shape, dtype) for dtype in dtypes)
        if len(initial_state) != len(dtypes) or any(s.shape != shape for s in initial_state):
            found = ", ".join(str(jnp.shape(array)) for array in initial_state)
            raise UserError(
                f"initial_state of {self.spec.name} must be {len(dtypes)} array(s) of shape {shape}"
                f" (layers * directions, batch, hidden), not {found}"
            )
        return tuple(s.astype(dtype) for s, dtype in zip(initial_state, dtypes, strict=True))

    def _make_block(
        self,
        layers: Sequence[int],
        x: jax.Array,
        states: tuple[jax.Array, ...],
        recurrent_dropout: float,
    ) -> tuple[list[nn.Module], list[DirectionStart]]:
        """The cells of these layers, in torch's order, and what each starts from."""
        cells, starts = [], []
        directions = 2 if self.bidirectional else 1
        for layer in layers:
            for direction in range(directions):
                state = [array[layer * directions + direction] for array in states]
                start = DirectionStart(
                    h_0=state[0],
                    c_0=state[1] if len(state) > 1 else None,
                    drop=self._draw_recurrent_mask(x, recurrent_dropout),
                    reverse=direction == 1,
                )
                inside = layer > layers[0]
                features = directions * self.hidden_size if inside else x.shape[-1]
                cells.append(self._make_cell(direction_name(layer, direction), features, x, start))
                starts.append(start)
        return cells, starts

    def _draw_recurrent_mask(self, x: jax.Array, rate: float) -> jax.Array | None:
        """Scaled keep mask on h_{t-1}, one a sequence [B, H] or one a step [T, B, H]."""
        if rate == 0.0:
            return None
        shape: tuple[int, ...] = (x.shape[1], self.hidden_size)
        if self.recurrent_dropout_per_step:
            shape = (x.shape[0], *shape)
        keep = 1.0 - rate
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, shape)
        return jnp.where(kept, 1.0 / keep, 0.0).astype(x.dtype)

    def _make_cell(
        self, name: str, features: int, x: jax.Array, start: DirectionStart
    ) -> nn.Module:
        """Flax's cell, its parameters made here when the module is being initialised."""
        cell = self.cell_class(
            self.hidden_size,
            kernel_init=nn.initializers.xavier_uniform(),
            recurrent_kernel_init=orthogonal,
            dtype=x.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )
        params: CellParams = self.get_variable("params", name, {})
        check_sizes(params, name, self.spec.gates[0], features, self.hidden_size)
        if self.is_initializing():
            cell(to_carry(start), jnp.zeros((x.shape[1], features), x.dtype))
            if self.spec.name == "LSTM":
                # Flax's cell has one initialiser for all biases. A forget gate that starts open
                # lets gradients through (Gers et al. 2000; Jozefowicz et al. 2015, section 2.2).
                forget = {"hf": {"bias": jnp.ones(self.hidden_size, self.param_dtype)}}
                self.put_variable("params", name, forget)
        return cell


class LSTM(_Stack):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    The contract of `torch.nn.LSTM`: see `__call__`. The parameters of layer 0, forward direction,
    are those of Flax's `LSTMCell` under `layers_0_forward`, and so on. Recurrent kernels start
    orthogonal, input kernels uniform after Glorot & Bengio (2010), the forget gate's bias at one.

    Attributes:
        hidden_size: H; the others are given by name.
        num_layers: L.
        bidirectional: a second direction, from each row's last token to its first (D = 2).
        dropout: rate on the outputs of every layer but the last.
        recurrent_dropout: rate on h_{t-1} before the gates (Gal & Ghahramani 2016).
        recurrent_dropout_per_step: a new mask each step instead of one per sequence.
        time_major: inputs and outputs are [T, B, ...] instead of [B, T, ...].
        implementation: `scan`, `fused`, `cudnn`, or `auto`: the fastest that can. Parameters and
            results are the same.
        dtype: of products and outputs; None takes it from inputs and parameters. The cell state is
            float32 or wider in any case.
        param_dtype: of the parameters.
    """

    spec: ClassVar[CellSpec] = LSTM_SPEC
    cell_class: ClassVar[Callable[..., nn.Module]] = nn.OptimizedLSTMCell

    def __call__(
        self,
        inputs: jax.Array,
        lengths: jax.Array | None = None,
        initial_state: tuple[jax.Array, jax.Array] | None = None,
        deterministic: bool = True,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Runs the stack over a batch of right-padded sequences.

        Args:
            inputs: [B, T, E], or [T, B, E] where time-major.
            lengths: i32[B], valid steps of each row, from 1 to T; None means T. Past a row's
                length its states are frozen and its outputs zero, and its backward direction
                starts at its own last step.
            initial_state: (h_0, c_0), each [L*D, B, H]: first by layer, then by direction, as torch
                has it; None means zeros.
            deterministic: True turns dropout off; False needs a `dropout` key.

        Returns:
            outputs [B, T, D*H], or [T, B, D*H] where time-major, forward then backward, and
            (h_n, c_n), each [L*D, B, H], the states after each row's last step in its direction.

        Raises:
            UserError: shapes do not fit, or lengths (where their values are known) are not
                within 1 to T.
        """
        outputs, (h_n, c_n) = self._run(inputs, lengths, initial_state, deterministic)
        return outputs, (h_n, c_n)


class GRU(_Stack):
    """Gated recurrent unit (Cho et al. 2014), in the form of `torch.nn.GRU`, cuDNN and Flax.

    The reset gate acts on the state's product, bias included. Attributes as in `LSTM`; recurrent
    dropout acts on the state that enters the gates, not on the state that is carried over.
    """

    spec: ClassVar[CellSpec] = GRU_SPEC
    cell_class: ClassVar[Callable[..., nn.Module]] = nn.GRUCell

    def __call__(
        self,
        inputs: jax.Array,
        lengths: jax.Array | None = None,
        initial_state: jax.Array | None = None,
        deterministic: bool = True,
    ) -> tuple[jax.Array, jax.Array]:
        """Runs the stack; as `LSTM.__call__`, with h_0 as the only state: (outputs, h_n)."""
        states = None if initial_state is None else (initial_state,)
        outputs, (h_n,) = self._run(inputs, lengths, states, deterministic)
        return outputs, h_n


class RNN(_Stack):
    """Plain recurrent network with tanh (Elman 1990), as `torch.nn.RNN`; attributes as `LSTM`."""

    spec: ClassVar[CellSpec] = RNN_SPEC
    cell_class: ClassVar[Callable[..., nn.Module]] = nn.SimpleCell

    def __call__(
        self,
        inputs: jax.Array,
        lengths: jax.Array | None = None,
        initial_state: jax.Array | None = None,
        deterministic: bool = True,
    ) -> tuple[jax.Array, jax.Array]:
        """Runs the stack; as `LSTM.__call__`, with h_0 as the only state: (outputs, h_n)."""
        states = None if initial_state is None else (initial_state,)
        outputs, (h_n,) = self._run(inputs, lengths, states, deterministic)
        return outputs, h_n
