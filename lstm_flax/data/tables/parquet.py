"""Parquet tables, if pyarrow is installed."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from lstm_flax.data.tables.mistakes import Mistake, UnreadableError
from lstm_flax.data.tables.table import Record, Table
from lstm_flax.errors import UserError, one_line


def arrow(path: Path) -> ModuleType:
    """Returns the module pyarrow with its Parquet part loaded.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            f"{path}: Parquet needs pyarrow; pip install pyarrow, or save the table as .csv"
        ) from error
    return pyarrow


def open_parquet(path: Path) -> Any:
    """Opens the file with pyarrow.

    Raises:
        UnreadableError: it cannot be read, or is not Parquet.
        UserError: pyarrow is not installed.
    """
    pyarrow = arrow(path)
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise UnreadableError(_damaged(path, error)) from error


def read_parquet(path: Path) -> Table:
    """Reads a Parquet table; its rows are counted from 1."""
    file = open_parquet(path)
    header = tuple(file.schema_arrow.names)
    rows = _rows(path, file, header)
    return Table(str(path), header, str(path), rows, types=list(file.schema_arrow.types))


def _rows(path: Path, file: Any, header: tuple[str, ...]) -> Iterator[Record]:
    number = 0
    try:
        for batch in file.iter_batches():
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield Record(f"{path}: row {number}", header, values)
    # Text that is not UTF-8, and dates that Python cannot hold.
    except (OSError, ValueError, OverflowError, arrow(path).ArrowException) as error:
        raise UnreadableError(_damaged(path, error)) from error


def _damaged(path: Path, error: BaseException) -> Mistake:
    return Mistake(str(path), f"cannot be read as Parquet ({one_line(error)})", "copy it again")
