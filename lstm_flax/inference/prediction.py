"""A classifier's answer for one text."""

import dataclasses
from typing import Any

from lstm_flax.inference.reading import unknown_warning


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer for one text.

    Attributes:
        text: as it was given.
        label: the most probable label's name.
        probabilities: of every label, by name; they sum to 1. Calibrated on the development part
            of the data that the model was trained on.
        unknown: part of the text's characters in tokens that the model does not know, from 0 to 1.
            The answer for a text of mostly unknown tokens says little, however sure it is.
        truncated: whether the text is longer than `max_length`: the model read a part of it.
    """

    text: str
    label: str
    probabilities: dict[str, float]
    unknown: float
    truncated: bool = False

    @property
    def warning(self) -> str | None:
        """The warning for a text that the model mostly does not know."""
        return unknown_warning(self.unknown)

    def to_dict(self) -> dict[str, Any]:
        """Label and probabilities, `warning` and `truncated` where they say something.

        >>> Prediction("so good", "pos", {"neg": 0.1, "pos": 0.9}, unknown=0.0).to_dict()
        {'label': 'pos', 'probabilities': {'neg': 0.1, 'pos': 0.9}}
        """
        record: dict[str, Any] = {"label": self.label, "probabilities": self.probabilities}
        if self.warning is not None:
            record["warning"] = self.warning
        if self.truncated:
            record["truncated"] = True
        return record
