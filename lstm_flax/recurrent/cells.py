"""The three cells as tables: gates and parameter names.

>>> LSTM_SPEC.gates
('i', 'f', 'g', 'o')

Parameters are named as in Flax's own cells. With x the input and h the state, per gate:

    LSTM  `LSTMCell`    ii if ig io: kernel          hi hf hg ho: kernel, bias
    GRU   `GRUCell`     ir iz in:    kernel, bias    hr hz: kernel      hn: kernel, bias
    RNN   `SimpleCell`  i:           kernel, bias    h: kernel

The gates are in the order of torch.nn and cuDNN, so joined kernels `[E, G*H]` and `[H, G*H]`
(G gates) are torch's `weight_ih` and `weight_hh`, transposed.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

CellParams = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class CellSpec:
    """The facts about a cell that the implementations need.

    >>> GRU_SPEC.gates, GRU_SPEC.state_biases
    (('r', 'z', 'n'), ('n',))

    Attributes:
        name: `LSTM`, `GRU` or `RNN`.
        gates: one letter per gate, in torch's order; the RNN's only gate has an empty name.
        input_biases: gates with a bias on the input's product.
        state_biases: gates with a bias on the state's product.
    """

    name: str
    gates: tuple[str, ...]
    input_biases: tuple[str, ...]
    state_biases: tuple[str, ...]


LSTM_SPEC = CellSpec("LSTM", ("i", "f", "g", "o"), (), ("i", "f", "g", "o"))
# The reset gate multiplies the bias of `hn`, so it cannot be folded into the input's bias.
GRU_SPEC = CellSpec("GRU", ("r", "z", "n"), ("r", "z", "n"), ("n",))
RNN_SPEC = CellSpec("RNN", ("",), ("",), ())


def direction_name(layer: int, direction: int) -> str:
    """Returns the name of one direction's parameters in the stack.

    >>> direction_name(0, 1)
    'layers_0_backward'
    """
    return f"layers_{layer}_{('forward', 'backward')[direction]}"


def layer_of(name: str) -> int:
    """Returns the layer number in a name made by `direction_name`.

    >>> layer_of("layers_3_backward")
    3
    """
    return int(name.split("_")[1])
