"""Why a classifier gave its answer: what each word contributed to it; see `explainer.py`."""

import dataclasses
from typing import Any

from lstm_flax.inference.reading import unknown_warning

CHECKED_WORDS = 5
_LARGE_ERROR = 0.1  # completeness error: one review in 30 has a larger one


@dataclasses.dataclass(frozen=True)
class WordContribution:
    """A word of the text, and what it contributed.

    Attributes:
        text: as it stands in the text, before normalisation.
        start: where it begins in the text.
        end: where it ends.
        contribution: to the log-odds of the label; negative where it speaks against it.
        from_ngrams: the part of the contribution that came through n-gram features.
        occlusion: by how much the log-odds fall when the word is deleted from the text; None for
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
    """Why a text has its answer. Log-odds are calibrated, as probabilities are.

    Attributes:
        text: as it was given.
        label: that is explained: the answer, unless another was named.
        probability: of that label.
        log_odds: log(p / (1 - p)) of that label.
        empty_log_odds: the same of no input, where the path begins.
        words: in the order of the text. Of a text too long for the model, the words that it did not
            read contribute through n-grams alone.
        completeness_error: the distance between the sum of all contributions and `log_odds -
            empty_log_odds`, as a part of the latter. What the sum over `steps` points lacks of the
            integral.
        ngram_part: the part of the contributions, each counted without its sign, that came through
            n-gram features.
        steps: points of the path.
        unknown: part of the text's characters in tokens that the model does not know, from 0 to 1.
        truncated: whether the model read a part of the text only.
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
        """Reasons to believe the contributions less, a line each."""
        found = []
        if self.truncated:
            found.append("longer than the model reads: a part of it was left out")
        unknown = unknown_warning(self.unknown)
        if unknown is not None:
            found.append(unknown)
        if self.completeness_error > _LARGE_ERROR:
            found.append(
                f"the contributions are off by {self.completeness_error:.0%} of what they explain: "
                f"take more than {self.steps} steps"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """The attributes and the warnings, as JSON takes them."""
        return dataclasses.asdict(self) | {"warnings": self.warnings}

    def strongest(self, count: int = CHECKED_WORDS) -> list[WordContribution]:
        """The words that contributed most, for or against the label."""
        return sorted(self.words, key=lambda word: -abs(word.contribution))[:count]
