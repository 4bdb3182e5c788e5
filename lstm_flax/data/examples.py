"""A sequence of labelled texts with the names of its labels."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from lstm_flax.errors import UserError, some
from lstm_flax.types import LONGEST_LABEL, TextExample

_MANY = 20  # different numbers that may be ratings


@dataclasses.dataclass(frozen=True)
class Examples(Sequence[TextExample]):
    """Labelled texts, held by column.

    Attributes:
        texts: as the source gives them.
        labels: i32[N], indices into `label_names`; -1 for no label.
        ids: unique within the split; for a text from a file, the file and the line.
        label_names: of the whole data set, C of them.
        groups: u64[N], equal for texts that belong together, as those of one film; None where
            nobody asked.

    >>> examples = Examples(["fine", "dull"], np.array([1, 0]), ["a:1", "a:2"], ("neg", "pos"))
    >>> examples[0]
    TextExample(text='fine', label=1, id='a:1')
    """

    texts: Sequence[str]
    labels: np.ndarray
    ids: Sequence[str]
    label_names: tuple[str, ...]
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]  # Sequence types slices as well
        if isinstance(i, slice):
            return [self[k] for k in range(len(self))[i]]
        return TextExample(self.texts[i], int(self.labels[i]), self.ids[i])

    def select(self, indices: np.ndarray) -> "Examples":
        """The examples at these positions, in their order."""
        return dataclasses.replace(
            self,
            texts=[self.texts[i] for i in indices],
            labels=self.labels[indices],
            ids=[self.ids[i] for i in indices],
            groups=None if self.groups is None else self.groups[indices],
        )


def sorted_label_names(labels: set[str]) -> tuple[str, ...]:
    """Label names in order: as numbers where all of them are, else by code point.

    Equal numbers, written in two ways, go by code point too: the order of a set is chance.

    >>> sorted_label_names({"10", "9", "-1", "09"})
    ('-1', '09', '9', '10')
    """
    try:
        return tuple(sorted(labels, key=lambda name: (int(name), name)))
    except ValueError:
        return tuple(sorted(labels))


def are_label_names(names: Any) -> bool:
    """True if a value that anyone may have written is a list of different names of labels.

    >>> are_label_names(["neg", "pos"]), are_label_names(["neg", "neg"]), are_label_names("ab")
    (True, False, False)
    """
    return (
        isinstance(names, list)
        and all(isinstance(name, str) and len(name) <= LONGEST_LABEL for name in names)
        and len(names) == len(set(names)) > 0
    )


def are_measurements(label_names: Sequence[str], examples: int) -> bool:
    """True if labels are many different numbers, as for regression, rather than names of classes.

    Numbers of classes follow each other without large gaps, and come again.

    >>> are_measurements(["1.5", "2", "3.25"], 4), are_measurements(["1", "2", "3", "4.5"], 40)
    (True, False)
    >>> are_measurements([str(i) for i in range(77)], 5_000)
    False

    Args:
        label_names: the different labels.
        examples: the number of all examples.
    """
    try:
        numbers = [float(name) for name in label_names]
    except ValueError:
        return False
    different, often = len(numbers), 2 * len(numbers) > examples
    if not all(number.is_integer() for number in numbers):
        return different > _MANY or (different > 2 and often)
    return different > _MANY and (often or 2 * different < max(numbers) - min(numbers) + 1)


def check_texts(texts: Sequence[str]) -> None:
    """Raises a `UserError` that names the first of some texts that is empty, or no text."""
    for index, text in enumerate(texts):
        check_text(text, index)


def check_text(text: Any, index: int) -> None:
    """Raises a `UserError` if a text is empty or no text."""
    if not isinstance(text, str):
        shown = "" if isinstance(text, bytes | bytearray) else f" ({text!s:.40})"
        advice = "; decode it" if isinstance(text, bytes | bytearray) else ""
        raise UserError(f"texts[{index}] is {type(text).__name__}{shown}, not a string{advice}")
    if not text.strip():
        raise UserError(f"texts[{index}] is empty; leave it out")


def column_of(values: Any, what: str, name: str = "texts") -> Iterable[Any]:
    """Texts or labels that a caller gave: a list, an array, a column of a table, a generator.

    >>> [str(text) for text in column_of(np.array(["fine", "dull"]), "predict")]
    ['fine', 'dull']

    Args:
        values: what was given.
        what: the call, for messages.
        name: of the values, likewise.

    Raises:
        UserError: it is something else that can be iterated over all the same: a text, bytes, a
            whole table, a dict, a set.
    """
    if isinstance(values, str | bytes | bytearray):
        raise UserError(f"{what} takes a list of {name}; write {what}([text])")
    if hasattr(values, "columns") and not callable(values.columns):
        columns = [repr(str(column)[:40]) for column in values.columns]
        raise UserError(
            f"{what} takes one column of {name}, not a {type(values).__name__} of {some(columns)}; "
            f"write {what}(frame[NAME])"
        )
    if isinstance(values, Mapping):
        raise UserError(
            f"{what} takes a list of {name}, not a {type(values).__name__} of "
            f"{some([repr(key) for key in values])}; name the column of {name}"
        )
    if isinstance(values, Set) or not isinstance(values, Iterable):
        order = ", which has no order" if isinstance(values, Set) else ""
        raise UserError(f"{what} takes a list of {name}, not {type(values).__name__}{order}")
    dimensions = getattr(values, "ndim", 1)
    if dimensions != 1:
        raise UserError(
            f"{what} takes one column of {name}, not an array of {dimensions} dimensions"
        )
    return values
