"""Opens a table file according to its suffix."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from lstm_flax.data.tables.delimited import read_csv, read_tsv
from lstm_flax.data.tables.json_records import read_json, read_jsonl
from lstm_flax.data.tables.lines import plain_suffix, read_lines, require_file
from lstm_flax.data.tables.parquet import read_parquet
from lstm_flax.data.tables.table import Table
from lstm_flax.errors import UserError

_Reader = Callable[[str, Iterator[tuple[int, str]], Collection[str]], Table]
_READERS: dict[str, _Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
}
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_OTHERS = (".feather", ".arrow", ".pkl", ".pickle", ".zip", ".tar", ".zst", ".7z", ".sqlite", ".db")


def is_table(path: Path) -> bool:
    """Returns True if the file name is that of a table, even one that cannot be read here.

    >>> [is_table(Path(name)) for name in ("a.csv.gz", "a.xlsx", "a.txt", "reviews")]
    [True, True, False, False]
    """
    return plain_suffix(path) in (*_READERS, ".parquet", *_SPREADSHEETS, *_OTHERS)


def open_table(path: Path, wanted: Collection[str] = ()) -> Table:
    """Opens a table; for delimited text and Parquet, reads the header.

    Args:
        path: `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.json`, optionally followed by `.gz`, `.bz2`
            or `.xz`, or `.parquet`.
        wanted: names of columns that it should have; they help to find the separator.

    Raises:
        UserError: the suffix is not one of these, pyarrow is not installed, or it is a pipe or
            device.
        UnreadableError: the header cannot be read.
    """
    require_file(path)
    suffix = plain_suffix(path)
    if path.suffix.lower() == ".parquet":
        return read_parquet(path)
    if suffix in _READERS:
        return _READERS[suffix](str(path), read_lines(path), wanted)
    if suffix in _SPREADSHEETS:
        raise UserError(f"{path}: a spreadsheet; save the sheet as CSV in UTF-8 and name that file")
    known = ", ".join((*_READERS, ".parquet"))
    raise UserError(
        f"{path}: cannot tell the format from the name; it must end in one of {known} (.gz, .bz2 "
        "or .xz may follow, but for .parquet), or be a folder with a folder of texts per class"
    )
