"""A table as it is read: a header, and records one after the other."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lstm_flax.data.tables.mistakes import Mistake


class Record(NamedTuple):
    """One row.

    Attributes:
        where: the file and the line it starts on, or its number.
        names: of its columns; those of a JSON object are its own.
        values: one a column: texts, or what JSON and Parquet hold.
    """

    where: str
    names: tuple[str, ...]
    values: Sequence[Any]

    def value(self, name: str) -> Any:
        """The value of the first column of this name.

        >>> Record("a.csv:2", ("text", "label"), ("fine", "pos")).value("label")
        'pos'
        """
        return self.values[self.names.index(name)]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that can be read once.

    Attributes:
        name: of its file, for messages.
        header: names of its columns; None where each record names its own, as JSON objects do.
        header_at: the place of the header.
        records: to be read once; mistakes stand where their rows do.
        separator: of its columns, if it is delimited text.
        types: of its columns as pyarrow has them, if it is Parquet.
    """

    name: str
    header: tuple[str, ...] | None
    header_at: str
    records: Iterator[Record | Mistake]
    separator: str | None = None
    types: Sequence[Any] | None = None
