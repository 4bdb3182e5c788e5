"""Turns lines of text into records, for `lstm-flax predict`."""

import codecs
import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from lstm_flax.data.tables.reading import is_table
from lstm_flax.errors import UserError, one_line

T = TypeVar("T")

_CHUNK = 4096  # the most lines answered together: enough to batch by length, few enough to hold
_PATIENCE = 0.02  # seconds to wait for another line before answering those at hand


class Predicts(Protocol):
    """The part of `Predictor` that is used here."""

    def predict(self, texts: Sequence[str]) -> Sequence[Any]:
        """Returns one answer per text, in order."""


def open_lines(path: Path) -> BinaryIO:
    """Opens a file of plain text, one text per line.

    Raises:
        UserError: it cannot be read, is a table, whose rows are not texts, or is not text at all.
    """
    if is_table(path):
        raise UserError(
            f"{path}: this takes plain text, one text per line, not a table; save its text column "
            "alone as .txt"
        )
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(path.open("rb"))
            start = file.peek()
            stack.pop_all()
    except OSError as error:
        raise _cannot_read(str(path), error) from None
    if b"\r" in start.rstrip(b"\r") and b"\n" not in start:
        file.close()
        raise UserError(
            f"{path}: its lines end in a carriage return alone, and would be taken for one text; "
            "save it with the line ends of Unix or Windows"
        )
    if b"\0" in start:
        file.close()
        raise UserError(f"{path}: not plain text (it contains NUL bytes); save it as text in UTF-8")
    return file


def reading(lines: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yields the same lines; if reading fails, the error names the source.

    Raises:
        UserError: they cannot be read to the end.
    """
    try:
        yield from lines
    except OSError as error:
        raise _cannot_read(name, error) from error


def _cannot_read(name: str, error: OSError) -> UserError:
    return UserError(f"{name}: {error.strerror or one_line(error)}; name a readable file")


def predict_lines(
    predictor: Predicts, lines: Iterable[bytes], unit: str = "line"
) -> Iterator[list[dict[str, Any]]]:
    """Yields one record per line, in order.

    A line without text gets an `error` instead of a label; an answer for a text that is mostly
    unknown to the model has a `warning`.

    A line that comes alone is answered at once; lines that come fast are answered up to 4,096
    together.

    Args:
        predictor: a `Predictor`.
        lines: UTF-8 texts; read on a thread, not far ahead.
        unit: what messages call each line; lines are counted from 1.

    Yields:
        The records of lines that were answered together.
    """
    number = 0
    for chunk in chunks_at_hand(lines):
        if number == 0:
            chunk[0] = chunk[0].removeprefix(codecs.BOM_UTF8)
        records = [read_line(line, f"{unit} {number + i}") for i, line in enumerate(chunk, start=1)]
        number += len(chunk)
        good = [record for record in records if "error" not in record]
        answers = predictor.predict([record["text"] for record in good])
        for record, answer in zip(good, answers, strict=True):
            record |= answer.to_dict()
        yield records


def read_line(line: bytes, where: str) -> dict[str, Any]:
    r"""Returns a line's text as `text`, or the reason why it has none as `error`.

    >>> read_line(b"fine\n", "line 1"), read_line(b"\n", "line 2")["error"]
    ({'text': 'fine'}, 'line 2 is empty; leave it out')
    """
    line = line.rstrip(b"\r\n")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        reason = f"{where} is not UTF-8 (byte {error.start}); save it as UTF-8"
        return {"text": line.decode("utf-8", errors="replace"), "error": reason}
    if "\0" in text:
        return {"text": text, "error": f"{where} holds a NUL byte; give plain text in UTF-8"}
    if not text.strip():
        return {"text": text, "error": f"{where} is empty; leave it out"}
    return {"text": text}


def chunks_at_hand(lines: Iterable[T]) -> Iterator[list[T]]:
    """Groups lines or records as they come, never waiting for more while holding any.

    Raises:
        Exception: whatever reading the lines raises.
    """
    arrived: queue.Queue[T | None] = queue.Queue(_CHUNK)
    failures: list[Exception] = []

    def read() -> None:
        try:
            for line in lines:
                arrived.put(line)
        except Exception as error:
            failures.append(error)
        arrived.put(None)

    # A daemon: nothing can interrupt its read of standard input when the program ends early.
    threading.Thread(target=read, daemon=True).start()
    while True:
        line = arrived.get()
        chunk: list[T] = []
        while line is not None:
            chunk.append(line)
            if len(chunk) == _CHUNK:
                break
            try:
                line = arrived.get(timeout=_PATIENCE)
            except queue.Empty:
                break
        if chunk:
            yield chunk
        if line is None:
            break
    if failures:
        raise failures[0]
