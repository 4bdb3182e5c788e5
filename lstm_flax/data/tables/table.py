"""A table being read: a header, and records one after another."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lstm_flax.data.tables.mistakes import Mistake


class Record(NamedTuple):
    """One row.

    Attributes:
        where: the file and the line it starts on, or its number.
        names: names of its columns; a JSON object has its own.
        values: one per column: strings, or any values from JSON and Parquet.
    """

    where: str
    names: tuple[str, ...]
    values: Sequence[Any]

    def value(self, name: str) -> Any:
        """Returns the value of the first column with this name.

        >>> Record("a.csv:2", ("text", "label"), ("fine", "pos")).value("label")
        'pos'
        """
        return self.values[self.names.index(name)]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that can be read once.

    Attributes:
        name: name of its file, for messages.
        header: names of its columns; None if each record has its own, like JSON objects.
        header_at: the position of the header.
        records: can be iterated over once; mistakes appear where their rows are.
        separator: its column separator, for delimited text.
        types: the pyarrow types of its columns, for Parquet.
    """

    name: str
    header: tuple[str, ...] | None
    header_at: str
    records: Iterator[Record | Mistake]
    separator: str | None = None
    types: Sequence[Any] | None = None
