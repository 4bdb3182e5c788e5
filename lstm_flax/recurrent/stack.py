"""Layers and directions of one kind of cell: the base of `LSTM`, `GRU` and `RNN`."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from lstm_flax.errors import UserError
from lstm_flax.recurrent.cells import CellParams, CellSpec, direction_name
from lstm_flax.recurrent.checks import (
    check_attributes,
    check_cells,
    check_parameters,
    checked_inputs,
    checked_state,
)
from lstm_flax.recurrent.implementations.dispatch import choose_implementation, run_layers
from lstm_flax.recurrent.implementations.scan import DirectionStart, to_carry
from lstm_flax.recurrent.implementations.truncation import truncated_layer
from lstm_flax.recurrent.implementations.varying import vary_like
from lstm_flax.recurrent.initializers import orthogonal
from lstm_flax.recurrent.masking import sequence_mask
from lstm_flax.recurrent.merging import merge_directions


class Stack(nn.Module):
    """Layers and directions of one kind of cell. See `LSTM` for the attributes."""

    hidden_size: int
    _: dataclasses.KW_ONLY
    num_layers: int = 1
    bidirectional: bool = False
    direction_merge: str = "concat"
    use_bias: bool = True
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    recurrent_dropout_per_step: bool = False
    truncate_gradient_every: int = 0
    time_major: bool = False
    implementation: str = "scan"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    spec: ClassVar[CellSpec]
    cell_class: ClassVar[Callable[..., nn.Module]]
    unbiased_cell_class: ClassVar[Callable[..., nn.Module]]

    def __post_init__(self) -> None:
        if isinstance(self.parent, int):  # an extra positional argument lands in Flax's own field
            raise UserError(
                f"{self.spec.name}({self.hidden_size}, {self.parent}, ...): give hidden_size alone "
                "by position, num_layers=... and the rest by name; unlike torch, leave out the "
                "size of the inputs"
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
        """Returns outputs and the final states h_n, and c_n for the LSTM, each [L*D, B, H]."""
        check_attributes(self)
        check_cells(self.variables.get("params", {}), self.num_layers, self.bidirectional)
        unbatched = jnp.ndim(inputs) == 2
        x, lengths = checked_inputs(inputs, lengths, self.time_major)
        x = x.astype(self.dtype or jnp.result_type(x.dtype, self.param_dtype))
        if lengths is not None:
            mask = sequence_mask(lengths, x.shape[0]).T[..., None]
            # Nothing in the padding, NaN included, can reach a product.
            x = jnp.where(mask, x, jnp.zeros((), x.dtype))
        states = vary_like(self._initial_states(initial_state, x, unbatched), x)

        recurrent_dropout = 0.0 if deterministic else self.recurrent_dropout
        implementation = choose_implementation(
            self.implementation,
            self.spec.name,
            x.dtype,
            recurrent_dropout > 0.0,
            self._output_size != self.hidden_size,
        )
        layers = range(self.num_layers)
        truncated = 0 < self.truncate_gradient_every < x.shape[0]
        # cuDNN runs all layers in one call, unless something has to happen between them.
        merge = self.direction_merge if self.bidirectional else "concat"
        between = truncated or merge != "concat" or (self.dropout > 0.0 and not deterministic)
        together = implementation == "cudnn" and not between
        finals: list[tuple[jax.Array, ...]] = []
        for block in [layers] if together else [[layer] for layer in layers]:
            if block[0] > 0:
                x = nn.Dropout(self.dropout)(x, deterministic=deterministic)
            cells, starts = self._make_block(block, x, states, recurrent_dropout)
            final: Sequence[tuple[jax.Array, ...]]
            if truncated:
                # A chunk starts from the state at the end of the previous chunk.
                run = functools.partial(run_layers, implementation, has_initial_h=True)
                every = self.truncate_gradient_every
                x, final = truncated_layer(run, x, cells, starts, lengths, every)
            else:
                given = initial_state is not None
                x, final = run_layers(
                    implementation, x, cells, starts, lengths, given, self.bidirectional
                )
            x = merge_directions(x, merge)
            finals.extend(final)

        stacked = tuple(jnp.stack(arrays) for arrays in zip(*finals, strict=True))
        if unbatched:
            return x[:, 0], tuple(array[:, 0] for array in stacked)
        return (x if self.time_major else x.swapaxes(0, 1)), stacked

    @property
    def _output_size(self) -> int:
        """Returns the size of h: P with a projection, else H."""
        return getattr(self, "proj_size", 0) or self.hidden_size

    def _initial_states(
        self, initial_state: tuple[jax.Array, ...] | None, x: jax.Array, unbatched: bool
    ) -> tuple[jax.Array, ...]:
        """Returns h_0, and c_0 for the LSTM, in the loop's dtypes; zeros if not given.

        The state that is carried over (c of the LSTM, h of the GRU) stays float32 or wider.
        """
        wide = jnp.promote_types(x.dtype, jnp.float32)
        dtypes = {"LSTM": (x.dtype, wide), "GRU": (wide,), "RNN": (x.dtype,)}[self.spec.name]
        directions = 2 if self.bidirectional else 1
        sizes = (self._output_size, self.hidden_size)[: len(dtypes)]
        rows = (self.num_layers * directions, x.shape[1])
        if initial_state is None:
            return tuple(
                jnp.zeros((*rows, size), dtype) for size, dtype in zip(sizes, dtypes, strict=True)
            )
        shapes = [(rows[0], size) if unbatched else (*rows, size) for size in sizes]
        given = checked_state(initial_state, self.spec.name, len(dtypes), shapes)
        return tuple(
            state.astype(dtype).reshape(*rows, size)
            for state, dtype, size in zip(given, dtypes, sizes, strict=True)
        )

    def _make_block(
        self,
        layers: Sequence[int],
        x: jax.Array,
        states: tuple[jax.Array, ...],
        recurrent_dropout: float,
    ) -> tuple[list[nn.Module], list[DirectionStart]]:
        """Makes the cells of these layers, in torch's order, and the state each starts from."""
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
                features = directions * self._output_size if inside else x.shape[-1]
                cells.append(self._make_cell(direction_name(layer, direction), features, x, start))
                starts.append(start)
        return cells, starts

    def _draw_recurrent_mask(self, x: jax.Array, rate: float) -> jax.Array | None:
        """Draws a scaled keep mask on h_{t-1}: [B, H], or [T, B, H] with one mask per step."""
        if rate == 0.0:
            return None
        shape: tuple[int, ...] = (x.shape[1], self._output_size)
        if self.recurrent_dropout_per_step:
            shape = (x.shape[0], *shape)
        keep = 1.0 - rate
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, shape)
        return jnp.where(kept, 1.0 / keep, 0.0).astype(x.dtype)

    def _make_cell(
        self, name: str, features: int, x: jax.Array, start: DirectionStart
    ) -> nn.Module:
        """Makes Flax's cell or a variant; its parameters are created here at initialisation."""
        cell_class, options = self._cell_class()
        options.setdefault("recurrent_kernel_init", orthogonal)
        cell = cell_class(
            self.hidden_size,
            kernel_init=nn.initializers.xavier_uniform(),
            dtype=x.dtype,
            param_dtype=self.param_dtype,
            name=name,
            **options,
        )
        params: CellParams = self.get_variable("params", name, {})
        gate = self.spec.gates[0]
        check_parameters(params, name, gate, features, self.hidden_size, self.use_bias)
        if self.is_initializing():
            cell(to_carry(start), jnp.zeros((x.shape[1], features), x.dtype))
            if self.spec.name == "LSTM" and self.use_bias:
                # Flax's cell has one initialiser for all biases. A forget gate that starts open
                # lets gradients through (Gers et al. 2000; Jozefowicz et al. 2015, section 2.2).
                forget = {"hf": {"bias": jnp.ones(self.hidden_size, self.param_dtype)}}
                self.put_variable("params", name, forget)
        return cell

    def _cell_class(self) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
        """Returns the class of the cell and the arguments that only this class takes."""
        return (self.cell_class if self.use_bias else self.unbiased_cell_class), {}
