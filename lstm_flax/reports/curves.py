"""Reads the learning curves of a run from its log."""

import dataclasses
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from lstm_flax.untrusted import parse_json, read_lines


@dataclasses.dataclass(frozen=True)
class Curves:
    """Numbers of `log.jsonl` by step.

    Attributes:
        loss: f64[N, 2], step and training loss.
        training: f64[N, 2], step and training accuracy at an epoch's end.
        development: f64[N, 3], step, loss and accuracy of the development part.
    """

    loss: np.ndarray
    training: np.ndarray
    development: np.ndarray


_LARGEST = 2**53  # whole numbers up to here are exact in a float64
_CURVES = {
    "loss": ("train", ("step", "loss")),
    "training": ("epoch", ("step", "train_accuracy")),
    "development": ("epoch", ("step", "development_loss", "development_accuracy")),
}


def read_curves(path: Path) -> Curves:
    r"""Reads a log; invalid lines are skipped, and a missing log has no curves.

    It uses no more memory than the file has bytes, since the log may come from someone else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "log.jsonl")
    ...     _ = path.write_text('{"event": "train", "step": 50, "loss": 0.5}\n')
    ...     read_curves(path).loss.tolist()
    [[50.0, 0.5]]
    """
    found = {name: array("d") for name in _CURVES}
    try:
        for line in read_lines(path):
            if not (values := _object(line)):
                continue
            for name, (event, fields) in _CURVES.items():
                numbers = [values[field] for field in fields if _is_number(values.get(field))]
                if values.get("event") == event and len(numbers) == len(fields):
                    found[name].extend(numbers)
    except OSError:
        pass
    return Curves(
        **{
            name: np.array(found[name]).reshape(-1, len(fields))
            for name, (_, fields) in _CURVES.items()
        }
    )


def _object(line: str) -> dict[str, Any]:
    if not line.startswith("{"):  # as every line of a log does; of others there may be millions
        return {}
    try:
        values = parse_json(line.encode())
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _is_number(value: Any) -> bool:
    """Returns True for a number that can be drawn; no run has larger ones."""
    return type(value) in (int, float) and abs(value) < _LARGEST
