"""Statistics and likely mistakes of a data set, for a check before training."""

import dataclasses
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from lstm_flax.data.examples import Examples
from lstm_flax.data.tables.mistakes import some_names
from lstm_flax.text.hashing import text_hash
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import UNKNOWN_ID

_EDGES = (0, 16, 32, 64, 128, 256, 512, 1024, 2048)


@dataclasses.dataclass(frozen=True)
class SplitStatistics:
    """Statistics of one split.

    Attributes:
        examples: N.
        label_counts: examples of each label, by name; unlabelled ones are left out.
        length_quantiles: tokens of the shortest text, of the median, of the 90th percentile, and of
            the longest.
        length_histogram: pairs of a bound and the number of texts up to it and above the previous
            bound; the last bound is the longest text's length.
        max_length: number of a text's tokens that the model sees.
        unknown_rate: fraction of the tokens that the tokenizer does not know.
        cut_texts: fraction of the texts longer than `max_length`.
        cut_tokens: fraction of the tokens that `max_length` cuts off.
        duplicates: texts that occurred earlier in the same split.
    """

    examples: int
    label_counts: dict[str, int]
    length_quantiles: tuple[int, int, int, int]
    length_histogram: dict[int, int]
    max_length: int
    unknown_rate: float
    cut_texts: float
    cut_tokens: float
    duplicates: int

    def summary(self, name: str) -> str:
        """Formats the statistics for people, with a histogram of lengths.

        Args:
            name: name of the split.
        """
        labels = ", ".join(f"{label} {count:,}" for label, count in self.label_counts.items())
        shortest, median, most, longest = self.length_quantiles
        lines = [
            f"{name}: {self.examples:,} texts; {labels}; {self.duplicates:,} duplicates",
            f"  tokens: {shortest} to {longest}, median {median}, nine in ten up to {most}; "
            f"{self.unknown_rate:.3%} unknown",
            f"  max_length {self.max_length:,} cuts {self.cut_texts:.1%} of the texts, "
            f"{self.cut_tokens:.1%} of the tokens",
        ]
        largest = max(self.length_histogram.values())
        for bound, count in self.length_histogram.items():
            lines.append(f"  up to {bound:>6,} {'█' * round(40 * count / largest)} {count:,}")
        return "\n".join(lines)


def describe_split(
    split: TokenizedSplit, texts: Sequence[str], label_names: Sequence[str], max_length: int
) -> SplitStatistics:
    """Computes the statistics of one split.

    Args:
        split: encoded, N examples.
        texts: the N raw texts.
        label_names: C names.
        max_length: number of a text's tokens that the model sees.
    """
    lengths, tokens = split.lengths, int(split.lengths.sum())
    labels = split.labels[split.labels >= 0]
    counts = np.bincount(labels, minlength=len(label_names))
    quantiles = np.quantile(lengths, [0, 0.5, 0.9, 1], method="inverted_cdf")
    longest = int(lengths.max())
    bounds = [*(edge for edge in _EDGES if edge < longest), longest]
    histogram = np.histogram(lengths, bins=[bound + 0.5 for bound in bounds])[0]
    return SplitStatistics(
        examples=len(split),
        label_counts=dict(zip(label_names, map(int, counts), strict=True)),
        length_quantiles=tuple(int(q) for q in quantiles),  # type: ignore[arg-type]  # four
        length_histogram={b: int(n) for b, n in zip(bounds[1:], histogram, strict=True)},
        max_length=max_length,
        unknown_rate=int(np.count_nonzero(split.token_ids[:tokens] == UNKNOWN_ID)) / tokens,
        cut_texts=float(np.mean(lengths > max_length)),
        cut_tokens=float(np.maximum(lengths - max_length, 0).sum() / tokens),
        duplicates=len(texts) - len(_hashes(texts)),
    )


def count_shared_texts(splits: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], int]:
    """Counts the distinct texts (normalised, lower case) that two splits share.

    >>> count_shared_texts({"train": ["Fine!", "Dull."], "test": ["fine!"]})
    {('train', 'test'): 1}
    """
    hashes = {name: _hashes(texts) for name, texts in splits.items()}
    names = list(hashes)
    return {(a, b): len(hashes[a] & hashes[b]) for i, a in enumerate(names) for b in names[i + 1 :]}


def find_leaks(shared: Mapping[tuple[str, str], int]) -> list[str]:
    """Lists the splits whose scores are inflated because they share texts with the training part.

    Args:
        shared: from `count_shared_texts`.

    >>> find_leaks({("train", "test"): 3, ("train", "unsupervised"): 5})
    ['3 texts of test are training texts too: its score is inflated']
    """
    return [
        f"{count:,} texts of {other} are training texts too: its score is inflated"
        for (split, other), count in shared.items()
        if split == "train" and other in ("development", "test") and count
    ]


def find_doubts(splits: Mapping[str, Examples]) -> list[str]:
    """Lists likely mistakes in the labels, one sentence each.

    Reports labels with a single text, splits without one of the labels, labels that differ only in
    case or space, and equal texts (normalised, in lower case) with different labels.

    Args:
        splits: splits of one data set; unlabelled texts are ignored.
    """
    names = next(iter(splits.values())).label_names
    labelled = {name: part for name, part in splits.items() if (part.labels >= 0).any()}
    counts = {
        name: np.bincount(part.labels[part.labels >= 0], minlength=len(names))
        for name, part in labelled.items()
    }
    doubts = []
    single = [names[i] for i in np.flatnonzero(sum(counts.values()) == 1)]
    if single:
        doubts.append(f"labels of one text alone: {some_names(single)}; add texts, or correct them")
    for split, count in counts.items():
        if absent := [names[i] for i in np.flatnonzero(count == 0)]:
            what = "learnt" if split == "train" else "scored"
            doubts.append(
                f"labels of no {split} text: {some_names(absent)}; they are not {what} there"
            )
    spellings = defaultdict(list)
    for name in names:
        spellings[unicodedata.normalize("NFKC", " ".join(name.split()).casefold())].append(name)
    for alike in spellings.values():
        if len(alike) > 1:
            doubts.append(
                f"the labels {some_names(alike)} differ only by case, space or Unicode form; write "
                "them alike if they are one"
            )
    return doubts + _contradictions(labelled)


def _contradictions(splits: Mapping[str, Examples]) -> list[str]:
    given = defaultdict(set)
    first: dict[int, str] = {}
    for part in splits.values():
        for text, label in zip(part.texts, part.labels, strict=True):
            if label >= 0:
                hashed = text_hash(text)
                given[hashed].add(part.label_names[label])
                first.setdefault(hashed, text)
    found = [hashed for hashed, labels in given.items() if len(labels) > 1]
    if not found:
        return []
    text, labels = first[found[0]], some_names(sorted(given[found[0]]))
    shown = repr(text if len(text) <= 60 else text[:60] + "...")
    return [f"equal texts have different labels ({len(found):,}), such as {shown}: {labels}"]


def _hashes(texts: Sequence[str]) -> set[int]:
    return {text_hash(text) for text in texts}
