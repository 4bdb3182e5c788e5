"""A classifier's answer for one text."""

import dataclasses
from typing import Any

from lstm_flax.inference.reading import unknown_warning


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer for one text.

    Attributes:
        text: as given.
        label: the most probable label's name.
        probabilities: of every label, by name; they sum to 1. Calibrated on the development part
            of the model's training data.
        unknown: fraction of the text's characters in tokens unknown to the model, from 0 to 1. If
            most are unknown, the answer means little, however confident it is.
        truncated: True if the text is longer than `max_length`, so the model read only part of it.
    """

    text: str
    label: str
    probabilities: dict[str, float]
    unknown: float
    truncated: bool = False

    @property
    def warning(self) -> str | None:
        """The warning for a text that is mostly unknown to the model; None for others."""
        return unknown_warning(self.unknown)

    def to_dict(self) -> dict[str, Any]:
        """Returns label and probabilities, plus `warning` and `truncated` if they apply.

        >>> Prediction("so good", "pos", {"neg": 0.1, "pos": 0.9}, unknown=0.0).to_dict()
        {'label': 'pos', 'probabilities': {'neg': 0.1, 'pos': 0.9}}
        """
        record: dict[str, Any] = {"label": self.label, "probabilities": self.probabilities}
        if self.warning is not None:
            record["warning"] = self.warning
        if self.truncated:
            record["truncated"] = True
        return record
