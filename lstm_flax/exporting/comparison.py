"""Compares the exported folder's own program with the predictor on the same texts."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstm_flax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The answers of both sides for the same N texts.

    >>> both = Comparison(np.array([[0.4, 0.6]]), np.array([[0.6, 0.4]]))
    >>> round(both.largest_difference, 3), both.changed_labels
    (0.2, 1)

    Attributes:
        expected: f[N, C], probabilities from the predictor.
        found: f[N, C], probabilities from the exported program.
    """

    expected: np.ndarray
    found: np.ndarray

    @property
    def largest_difference(self) -> float:
        """The largest difference between two probabilities of the same text and label."""
        return float(np.abs(self.expected - self.found).max())

    @property
    def changed_labels(self) -> int:
        """Number of texts whose most probable label differs."""
        return int((self.expected.argmax(axis=1) != self.found.argmax(axis=1)).sum())

    def accuracies(self, labels: np.ndarray) -> tuple[float, float]:
        """Computes both accuracies from i[N] true labels: the predictor's, the program's."""
        expected, found = (p.argmax(axis=1) == labels for p in (self.expected, self.found))
        return float(expected.mean()), float(found.mean())


def run_exported(folder: Path, texts: Sequence[str], python: str = sys.executable) -> np.ndarray:
    """Computes probabilities f64[N, C] of N texts with the folder's program in a new process.

    Args:
        folder: as `export_model` wrote it.
        texts: none of them empty.
        python: the interpreter; its environment needs only what the program imports.

    Raises:
        UserError: the program failed.
    """
    # Normalisation turns line breaks into spaces, and so does this.
    lines = [text.replace("\r", " ").replace("\n", " ") for text in texts]
    done = subprocess.run(
        [python, "-X", "utf8", str(folder / "run.py")],
        input="\n".join(lines).encode("utf-8", "replace"),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise UserError(
            f"{folder / 'run.py'}: failed ({' '.join(last)}); install what its "
            "requirements.txt names, then try `python run.py --check`"
        )
    answers = [json.loads(line)["probabilities"] for line in done.stdout.splitlines()]
    return np.array([list(answer.values()) for answer in answers])
