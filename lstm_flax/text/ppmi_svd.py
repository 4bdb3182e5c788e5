"""PPMI-SVD embeddings: token vectors from co-occurrence counts, to initialise an embedding.

Truncated singular value decomposition of the positive pointwise mutual information of tokens and
their neighbours (Levy & Goldberg 2014, section 3). The distance weights, the smoothed context
distribution and the square root of the singular values follow Levy, Goldberg & Dagan (2015, section
3).
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from lstm_flax.errors import UserError
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import END_ID

WINDOW = 5  # neighbours on each side; one at distance d has weight (WINDOW + 1 - d) / WINDOW
MAX_CONTEXTS = 10_000  # the most frequent tokens are the contexts
SMOOTHING = 0.75  # exponent of the context distribution
DEVIATION = 0.3  # standard deviation of the vectors' entries


def fit_word_vectors(splits: Sequence[TokenizedSplit], vocab_size: int, size: int) -> np.ndarray:
    """Computes vectors of all tokens.

    Args:
        splits: the encoded texts to learn from.
        vocab_size: V.
        size: E, below V.

    Raises:
        UserError: no token has a neighbour, for example because all texts are single words.

    Returns:
        f32[V, E] with deviation `DEVIATION` over the tokens that occur; zero for the rest.
    """
    # Texts one after another, separated by a gap as wide as the window.
    gap = np.full(WINDOW, END_ID, np.int32)
    tokens = np.concatenate([part for split in splits for text in split for part in (text, gap)])
    counts = np.bincount(tokens, minlength=vocab_size)
    counts[: END_ID + 1] = 0
    contexts = np.argsort(-counts, kind="stable")[: min(MAX_CONTEXTS, np.count_nonzero(counts))]
    column = np.full(vocab_size, -1, np.int32)
    column[contexts] = np.arange(len(contexts))
    pairs = _count_pairs(tokens, column, (vocab_size, len(contexts)))
    if pairs.nnz == 0:
        raise UserError(
            "config.model.embedding_init = 'cooccurrence': the training texts are single words, "
            "which have no neighbours; set it to normal"
        )
    left, values = _largest_singular(_positive_information(pairs), size)
    vectors = np.zeros((vocab_size, size), np.float32)
    vectors[:, : len(values)] = left * np.sqrt(values)
    vectors[counts == 0] = 0
    return vectors * (DEVIATION / vectors[counts > 0].std())


def _count_pairs(
    tokens: np.ndarray, column: np.ndarray, shape: tuple[int, int]
) -> scipy.sparse.csr_array:
    """Counts (token, context) pairs within the window, weighted, in either order."""
    total = scipy.sparse.csr_array(shape, dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        weight = np.float32((WINDOW + 1 - distance) / WINDOW)
        near, far = tokens[:-distance], tokens[distance:]
        for row, context in ((near, far), (far, near)):
            kept = (column[context] >= 0) & (row > END_ID)
            cells = (row[kept], column[context[kept]])
            ones = np.full(len(cells[0]), weight)
            total = total + scipy.sparse.coo_array((ones, cells), shape).tocsr()
    return total


def _positive_information(pairs: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Replaces each count by max(0, log(p(context | token) / p(context)))."""
    of_context = np.asarray(pairs.sum(axis=0)) ** SMOOTHING
    of_context /= of_context.sum()
    of_token = np.asarray(pairs.sum(axis=1))
    pairs = pairs.tocoo()
    row, context = pairs.coords
    information = np.log(pairs.data / (of_token[row] * of_context[context]))
    positive = information > 0
    cells = (row[positive], context[positive])
    return scipy.sparse.csr_array((information[positive].astype(np.float32), cells), pairs.shape)


def _largest_singular(matrix: scipy.sparse.csr_array, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Approximates the k = `rank` largest singular values f32[k] and left vectors f32[V, k].

    Uses subspace iteration from random vectors (Halko, Martinsson & Tropp 2011, algorithm 4.4): it
    takes a third of the time of scipy's `svds`, and the last digits do not matter here.
    """
    transposed = matrix.T.tocsr()
    columns = min(rank + 16, min(matrix.shape))
    random = np.random.default_rng(0).standard_normal((matrix.shape[1], columns))
    basis = random.astype(np.float32)
    for _ in range(3):
        image, _ = np.linalg.qr(matrix @ basis)
        basis, _ = np.linalg.qr(transposed @ image)
    left, values, _ = np.linalg.svd(matrix @ basis, full_matrices=False)
    return left[:, :rank], values[:rank]
