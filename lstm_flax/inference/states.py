"""States of a classifier's recurrent layers at each token of a text."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_flax.checkpoints.restore import TrainedModel
from lstm_flax.errors import UserError
from lstm_flax.inference.reading import Token, read_text
from lstm_flax.models.classifier import CELLS, TextClassifier
from lstm_flax.models.inputs import input_vectors
from lstm_flax.recurrent.cells import direction_name
from lstm_flax.recurrent.gates import Inside, look_inside
from lstm_flax.recurrent.merging import merge_directions
from lstm_flax.types import Batch


@dataclasses.dataclass(frozen=True)
class DirectionStates:
    """One direction of one layer.

    Attributes:
        layer: from 0.
        direction: `forward` or `backward`.
        outputs: h_t, f32[T, H].
        cell: c_t, f32[T, H]; None except for the LSTM.
        gates: by letter, f32[T, H]: `i f g o` of the LSTM, `r z n` of the GRU, none for the RNN.
            The candidates `g` and `n` are from -1 to 1, the others from 0 (closed) to 1 (open).
    """

    layer: int
    direction: str
    outputs: np.ndarray
    cell: np.ndarray | None
    gates: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class States:
    """The states of all layers over one text.

    Attributes:
        text: as given.
        tokens: the T tokens that the model reads, with their positions in the text.
        outputs: outputs of the last layer, f32[T, D*H], forward then backward, before merging.
        directions: all directions, layer by layer from the first, forward then backward.
    """

    text: str
    tokens: tuple[Token, ...]
    outputs: np.ndarray
    directions: tuple[DirectionStates, ...]


class StateReader:
    """Reads the states of one classifier, layer by layer, with the implementation that it runs.

    Args:
        trained: a restored classifier.

    Raises:
        UserError: the classifier is hierarchical.
    """

    def __init__(self, trained: TrainedModel) -> None:
        assert isinstance(trained.model, TextClassifier)
        if trained.model.hierarchy != "none":
            raise UserError(
                f"{trained.path}: reads sentence by sentence (model.hierarchy), so its states "
                "are not those of one sequence of tokens; name a run without a hierarchy"
            )
        self._metadata = trained.metadata
        self._model = model = trained.model
        self._params = jax.device_put(trained.params, jax.devices()[0])

        def read(params: Any, batch: Batch) -> list[tuple[jax.Array, list[Inside]]]:
            embedded, mapped = input_vectors(params, batch)
            x = (embedded + mapped).astype(model.dtype)
            layers = []
            for layer in range(model.num_layers):
                outputs, inside = _read_layer(model, params["recurrent"], layer, x, batch.lengths)
                layers.append((outputs, inside))
                merge = model.direction_merge if model.bidirectional else "concat"
                x = merge_directions(outputs, merge)
            return layers

        self._read = jax.jit(read)

    def read(self, text: str) -> States:
        """Returns the states over one text, not empty; see `Predictor.states`."""
        reading = read_text(text, self._metadata.encoder, self._metadata.config.data)
        size, hidden = len(reading.kept), self._model.hidden_size
        kind: Any = CELLS[self._model.cell]
        gates = [gate for gate in kind.spec.gates if gate]
        directions = []
        for layer, (outputs, inside) in enumerate(self._read(self._params, reading.batch)):
            rows = np.asarray(outputs[0, :size], np.float32)
            for direction, part in enumerate(inside):
                directions.append(
                    DirectionStates(
                        layer,
                        ("forward", "backward")[direction],
                        rows[:, direction * hidden : (direction + 1) * hidden],
                        None if part.cell is None else np.asarray(part.cell[0, :size]),
                        {gate: np.asarray(part.gates[gate][0, :size]) for gate in gates},
                    )
                )
        tokens = tuple(reading.tokens[i] for i in reading.kept)
        return States(text, tokens, rows, tuple(directions))


def _read_layer(
    model: TextClassifier, params: Any, layer: int, x: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, list[Inside]]:
    """Returns outputs [B, T, D*H] of one layer, not merged, and each direction's inner values."""
    recurrent: Any = CELLS[model.cell](
        model.hidden_size,
        bidirectional=model.bidirectional,
        implementation=model.implementation,
        dtype=model.dtype,
    )
    cells = [params[direction_name(layer, d)] for d in range(2 if model.bidirectional else 1)]
    own = {direction_name(0, d): cell for d, cell in enumerate(cells)}
    outputs, _ = recurrent.apply({"params": own}, x, lengths)
    parts = jnp.split(outputs, len(cells), axis=-1)
    inside = [
        look_inside(recurrent.spec, cell, x, part, lengths, reverse=d == 1)
        for d, (cell, part) in enumerate(zip(cells, parts, strict=True))
    ]
    return outputs, inside
