"""A sequence of labelled texts with the names of its labels."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from lstm_flax.errors import UserError, some
from lstm_flax.types import LONGEST_LABEL, TextExample

_MANY = 20  # this many different numbers may be ratings


@dataclasses.dataclass(frozen=True)
class Examples(Sequence[TextExample]):
    """Labelled texts, held by column.

    Attributes:
        texts: as the source gives them.
        labels: i32[N], indices into `label_names`; -1 for no label.
        ids: unique within the split; for a text from a file, the file and the line.
        label_names: C names, for the whole data set.
        groups: u64[N], equal for texts that belong together, for example reviews of one film; None
            if not requested.

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

    def __getitem__(self, i):  # type: ignore[no-untyped-def]  # Sequence also types slices
        if isinstance(i, slice):
            return [self[k] for k in range(len(self))[i]]
        return TextExample(self.texts[i], int(self.labels[i]), self.ids[i])

    def select(self, indices: np.ndarray) -> "Examples":
        """Returns the examples at these positions, in the given order."""
        return dataclasses.replace(
            self,
            texts=[self.texts[i] for i in indices],
            labels=self.labels[indices],
            ids=[self.ids[i] for i in indices],
            groups=None if self.groups is None else self.groups[indices],
        )


def sorted_label_names(labels: set[str]) -> tuple[str, ...]:
    """Sorts label names: numerically if all are numbers, else by code point.

    Equal numbers written differently are ordered by code point, because set order is arbitrary.

    >>> sorted_label_names({"10", "9", "-1", "09"})
    ('-1', '09', '9', '10')
    """
    try:
        return tuple(sorted(labels, key=lambda name: (int(name), name)))
    except ValueError:
        return tuple(sorted(labels))


def are_label_names(names: Any) -> bool:
    """Returns True if an untrusted value is a list of distinct label names.

    >>> are_label_names(["neg", "pos"]), are_label_names(["neg", "neg"]), are_label_names("ab")
    (True, False, False)
    """
    return (
        isinstance(names, list)
        and all(isinstance(name, str) and len(name) <= LONGEST_LABEL for name in names)
        and len(names) == len(set(names)) > 0
    )


def are_measurements(label_names: Sequence[str], examples: int) -> bool:
    """Returns True if labels are many different numbers, as in regression, rather than class names.

    Class numbers are consecutive without large gaps, and each occurs repeatedly.

    >>> are_measurements(["1.5", "2", "3.25"], 4), are_measurements(["1", "2", "3", "4.5"], 40)
    (True, False)
    >>> are_measurements([str(i) for i in range(77)], 5_000)
    False

    Args:
        label_names: the distinct labels.
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
    """Raises a `UserError` for the first text that is empty or not a string."""
    for index, text in enumerate(texts):
        check_text(text, index)


def check_text(text: Any, index: int) -> None:
    """Raises a `UserError` if a text is empty or not a string."""
    if not isinstance(text, str):
        shown = "" if isinstance(text, bytes | bytearray) else f" ({text!s:.40})"
        advice = "; decode it" if isinstance(text, bytes | bytearray) else ""
        raise UserError(f"texts[{index}] is {type(text).__name__}{shown}, not a string{advice}")
    if not text.strip():
        raise UserError(f"texts[{index}] is empty; leave it out")


def column_of(values: Any, what: str, name: str = "texts") -> Iterable[Any]:
    """Checks texts or labels from a caller: a list, an array, a table column, a generator.

    >>> [str(text) for text in column_of(np.array(["fine", "dull"]), "predict")]
    ['fine', 'dull']

    Args:
        values: the given values.
        what: name of the call, for messages.
        name: name of the values, for messages.

    Raises:
        UserError: it is some other iterable: a string, bytes, a whole table, a dict, a set.
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
