"""The interface of a source of labelled texts."""

from typing import Protocol

from lstm_flax.data.examples import Examples


class Source(Protocol):
    """Labelled texts in one or more splits.

    Attributes:
        splits: names of its splits; always includes `train`.
        cut_by_film: True if development and test parts are cut off its training split by film
            rather than by text.
    """

    splits: tuple[str, ...]
    cut_by_film: bool = False

    def fingerprint(self, split: str) -> str:
        """Returns a string that changes with the split's texts or labels, without parsing them."""

    def load(self, split: str) -> Examples:
        """Loads the examples of one split; reads another split only for its label names."""

    def check_labels(self, split: str) -> None:
        """Raises a `UserError` if a split hides its labels, as some test splits do."""
        return None

    def check_texts(self, split: str) -> None:
        """Raises a `UserError` for mistakes in a split that the user wrote."""
        return None
