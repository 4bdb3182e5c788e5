"""Mistakes in tables: collected row by row, then reported at once."""

from collections.abc import Sequence
from typing import NamedTuple

from lstm_flax.errors import some


class Mistake(NamedTuple):
    """A mistake in one row, or from one line on."""

    where: str
    what: str
    advice: str


class UnreadableError(Exception):
    """A mistake after which the rest of the file cannot be read."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake)
        self.mistake = mistake


def all_of(mistakes: Sequence[Mistake]) -> str:
    """Formats mistakes in one line: the first in full, the next few briefly, and the count."""
    first, *others = mistakes
    report = f"{first.where}: {first.what}; {first.advice}"
    if others:
        report += f"; wrong too: {some([f'{m.where}: {m.what}' for m in others], 5, '; ')}"
    return report


def some_names(names: Sequence[str]) -> str:
    """Formats the first few names, quoted and shortened, for a one-line message."""
    return some([repr(name[:40]) for name in names])
