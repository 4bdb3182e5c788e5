"""Tables of JSON objects: one per line (.jsonl), or an array of them (.json)."""

import json
from collections.abc import Collection, Iterator
from typing import Any

from lstm_flax.data.tables.mistakes import Mistake, UnreadableError
from lstm_flax.data.tables.table import Record, Table
from lstm_flax.untrusted import is_deep

_ADVICE = "write an array of objects, or one object a line"
_DEEP = ("lists or objects nested too deeply", "leave that column out")


def read_jsonl(name: str, lines: Iterator[tuple[int, str]], wanted: Collection[str] = ()) -> Table:
    """Reads a table of one object per line; empty lines are skipped.

    Args:
        name: name of the file, for messages.
        lines: numbered lines.
        wanted: unused.
    """
    records = (_line_record(line, f"{name}:{number}") for number, line in lines if line.strip())
    return Table(name, None, name, records)


def read_json(name: str, lines: Iterator[tuple[int, str]], wanted: Collection[str] = ()) -> Table:
    """Reads an array of objects, or one object per line, which some programs also name `.json`.

    Args:
        name: name of the file, for messages.
        lines: numbered lines.
        wanted: unused.

    Raises:
        UnreadableError: it is neither.
    """
    numbered = list(lines)
    whole = "".join(line for _, line in numbered)
    if not whole.strip():
        return Table(name, None, name, iter(()))
    try:
        value = json.loads(whole)
    except (ValueError, RecursionError) as error:
        if whole.lstrip().startswith("{"):  # several objects, one per line
            return read_jsonl(name, iter(numbered))
        raise UnreadableError(Mistake(name, f"not JSON ({error})", _ADVICE)) from error
    if isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values()):
        return Table(name, None, name, iter([_record(value, name)]))
    if not isinstance(value, list):
        if is_deep(value):
            raise UnreadableError(Mistake(name, *_DEEP))
        what = f"not an array of objects, but {shown(value)}"
        raise UnreadableError(Mistake(name, what, _ADVICE))
    records = (_record(item, f"{name}: item {i}") for i, item in enumerate(value, start=1))
    return Table(name, None, name, records)


def shown(value: object) -> str:
    """Formats a value as JSON, shortened, for messages."""
    return json.dumps(value, ensure_ascii=False, default=str)[:60]


def _line_record(line: str, where: str) -> Record | Mistake:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Mistake(where, f"not JSON ({error})", "write one object a line")
    return _record(value, where)


def _record(value: Any, where: str) -> Record | Mistake:
    if not isinstance(value, dict):
        return Mistake(where, "not a JSON object", "write one object a line")
    if is_deep(value):
        return Mistake(where, *_DEEP)
    return Record(where, tuple(value), tuple(value.values()))
