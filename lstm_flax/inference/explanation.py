"""Explanations of a classifier's answer: the contribution of each word; see `explainer.py`."""

import dataclasses
from typing import Any

from lstm_flax.inference.reading import unknown_warning

CHECKED_WORDS = 5
_LARGE_ERROR = 0.1  # completeness error: one review in 30 has a larger one


@dataclasses.dataclass(frozen=True)
class WordContribution:
    """A word of the text and its contribution.

    Attributes:
        text: as in the text, before normalisation.
        start: where it begins in the text.
        end: where it ends.
        contribution: to the log-odds of the label; negative if it speaks against the label.
        from_ngrams: the part of the contribution that comes from n-gram features.
        occlusion: how much the log-odds fall when the word is deleted from the text; None for
            words that were not checked.
    """

    text: str
    start: int
    end: int
    contribution: float
    from_ngrams: float
    occlusion: float | None = None


@dataclasses.dataclass(frozen=True)
class Explanation:
    """An explanation of the answer for a text. Log-odds are calibrated, as probabilities are.

    Attributes:
        text: as given.
        label: the label that is explained: the answer, unless another was requested.
        probability: probability of that label.
        log_odds: log(p / (1 - p)) of that label.
        empty_log_odds: the same for an empty input, where the path begins.
        words: in text order. In a text too long for the model, words that it did not read
            contribute only through n-grams.
        completeness_error: the difference between the sum of all contributions and `log_odds -
            empty_log_odds`, as a fraction of the latter: the error of the sum over `steps` points
            as an approximation of the integral.
        ngram_part: fraction of the contributions, each counted without its sign, that comes from
            n-gram features.
        steps: number of points on the path.
        unknown: fraction of the text's characters in tokens unknown to the model, from 0 to 1.
        truncated: True if the model read only part of the text.
    """

    text: str
    label: str
    probability: float
    log_odds: float
    empty_log_odds: float
    words: tuple[WordContribution, ...]
    completeness_error: float
    ngram_part: float
    steps: int
    unknown: float = 0.0
    truncated: bool = False

    @property
    def warnings(self) -> list[str]:
        """Lists reasons to doubt the contributions, one per line."""
        found = []
        if self.truncated:
            found.append("longer than the model reads: part of it was left out")
        unknown = unknown_warning(self.unknown)
        if unknown is not None:
            found.append(unknown)
        if self.completeness_error > _LARGE_ERROR:
            found.append(
                f"the contributions are off by {self.completeness_error:.0%} of what they explain: "
                f"use more than {self.steps} steps"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Returns the attributes and the warnings in a form that JSON accepts."""
        return dataclasses.asdict(self) | {"warnings": self.warnings}

    def strongest(self, count: int = CHECKED_WORDS) -> list[WordContribution]:
        """Returns the words that contributed most, for or against the label."""
        return sorted(self.words, key=lambda word: -abs(word.contribution))[:count]
