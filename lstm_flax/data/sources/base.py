"""The interface of a source of labelled texts."""

from typing import Protocol

from lstm_flax.data.examples import Examples


class Source(Protocol):
    """Labelled texts in one or more splits.

    Attributes:
        splits: names of the splits it brings along; `train` always.
        cut_by_film: whether development and test parts are cut off its training split by film
            rather than by text.
    """

    splits: tuple[str, ...]
    cut_by_film: bool = False

    def fingerprint(self, split: str) -> str:
        """A text that changes whenever the split's texts or labels do, found without them all."""

    def load(self, split: str) -> Examples:
        """The examples of one split; opens no other one, but for the names of the labels."""

    def check_labels(self, split: str) -> None:
        """Raises a `UserError` where a split hides its labels, as some test splits do."""
        return None

    def check_texts(self, split: str) -> None:
        """Raises a `UserError` for mistakes in a split that the user wrote."""
        return None
