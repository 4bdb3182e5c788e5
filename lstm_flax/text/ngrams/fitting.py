"""Weights of n-grams as evidence for the classes, fitted to the training texts.

`ratios` are naive-Bayes log-count ratios. For an n-gram that n_c training texts of class c and n_o
of the others hold, the ratio of class c is

    log((n_c + 2 p_c) / (n_o + 2 p_o)) - log(p_c / p_o),

p_c and p_o the parts of all texts that are of class c and of the others; with two classes of equal
size it is the log-count ratio of Wang & Manning (2012, section 2.1, binarised counts) before its
normalisation.

`regression` weights are those of a multinomial logistic regression on counts, each times the
n-gram's inverse document frequency and over the root of the text's length: of a text, they sum to
the logits of a linear model. They need no n-gram to be independent of the others, and tell many
classes apart better.

The weights of a *training* text must come from other texts (cross-fitting), or a model would read
the label off them: its n-grams are in its own class once more. The texts are dealt into folds by
group, as a film, and each fold has weights of its own, made without it.
"""

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.special

from lstm_flax.text.ngrams.weights import FOLDS, NgramWeights, fold_of, ngram_keys
from lstm_flax.text.tokenized import TokenizedSplit

MIN_COUNT = 2
STRENGTH = 0.3  # C of the regression; from 0.1 to 1 little changes
_MOST_WEIGHTS = 4_000_000  # of a regression: n-grams times classes, a cap on time and memory


def fit_ngram_weights(
    split: TokenizedSplit, num_classes: int, order: int, kind: str = "ratios"
) -> tuple[NgramWeights, NgramWeights]:
    """Fits the weights of a training split's n-grams.

    >>> texts = [np.array([4, 5]), np.array([6, 5])] * 2
    >>> split = TokenizedSplit.from_sequences(texts, [1, 0] * 2)
    >>> whole, _ = fit_ngram_weights(split, num_classes=2, order=1)
    >>> sorted(whole.tables[0, :-1, 0].astype(float).round(1).tolist())  # of tokens 6, 5 and 4
    [-1.1, 0.0, 1.1]

    Args:
        split: the encoded training texts, with labels and groups.
        num_classes: C.
        order: n of the longest n-grams, at least 1.
        kind: `ratios` or `regression`.

    Returns:
        The weights for any other text, and the cross-fitted ones for the training texts themselves.
    """
    keys, counts = count_ngrams(split, order)
    if kind == "regression":
        keys, counts = _most_frequent(keys, counts, _MOST_WEIGHTS // num_classes)
    folds = fold_of(split.groups)

    def table(rows: np.ndarray) -> np.ndarray:
        if kind == "regression":
            lengths = split.lengths[rows]
            weights = regression(counts[rows], lengths, split.labels[rows], num_classes)
        else:
            weights = log_count_ratios(counts[rows], split.labels[rows], num_classes)
        return np.concatenate([weights, np.zeros((1, weights.shape[1]))]).astype(np.float16)

    whole = table(np.full(len(split), True))
    by_fold = np.stack([table(folds != k) for k in range(FOLDS)])
    groups = np.unique(split.groups)
    return (
        NgramWeights(order, keys, whole[None], groups, kind),
        NgramWeights(order, keys, by_fold, groups, kind),
    )


def count_ngrams(split: TokenizedSplit, order: int) -> tuple[np.ndarray, scipy.sparse.csr_matrix]:
    """Counts, text by text, the n-grams that at least `MIN_COUNT` texts have.

    >>> split = TokenizedSplit.from_sequences([np.array([4, 4, 5]), np.array([4])], [1, 0])
    >>> keys, counts = count_ngrams(split, order=2)
    >>> counts.toarray().tolist()
    [[2.0], [1.0]]

    Args:
        split: N encoded texts.
        order: n of the longest n-grams.

    Returns:
        u32[U] ascending hashes of the n-grams, and their counts f32[N, U].
    """
    lengths = split.lengths
    starts = np.repeat(split.offsets[:-1], lengths)
    keys, exists = ngram_keys(split, starts, np.arange(len(starts)), order)
    # A pair is one number, the key in front, so that sorting them sorts by key and leaves equal
    # pairs side by side.
    text_of = np.repeat(np.arange(len(split), dtype=np.uint64), lengths)
    pairs = np.concatenate(
        [
            (keys[there, n].astype(np.uint64) << np.uint64(32)) | text_of[there]
            for n, there in enumerate(exists.T)
        ]
    )
    pairs, times = np.unique(pairs, return_counts=True)
    texts = (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    unique, column, having = np.unique(
        (pairs >> np.uint64(32)).astype(np.uint32), return_inverse=True, return_counts=True
    )
    is_known = having >= MIN_COUNT
    kept = is_known[column]
    column = (np.cumsum(is_known) - 1)[column[kept]]
    entries = (times[kept].astype(np.float32), (texts[kept], column))
    return unique[is_known], scipy.sparse.csr_matrix(
        entries, shape=(len(split), int(is_known.sum()))
    )


def log_count_ratios(
    counts: scipy.sparse.csr_matrix, labels: np.ndarray, num_classes: int
) -> np.ndarray:
    """Naive-Bayes log-count ratios; 0 for an n-gram that fewer than `MIN_COUNT` texts hold.

    Args:
        counts: f32[N, U]; what counts is whether a text holds an n-gram, not how often.
        labels: i32[N].
        num_classes: C.

    Returns:
        f64[U, R]; R is 1 for two classes (the ratio of class 1), else C.
    """
    having = counts.astype(bool).astype(np.float32)
    by_class = (_one_hot(labels, num_classes).T @ having).toarray()
    sizes = np.bincount(labels, minlength=num_classes).astype(np.float32)
    classes = range(1, 2) if num_classes == 2 else range(num_classes)
    total, weights = by_class.sum(axis=0), np.zeros((counts.shape[1], len(classes)))
    for column, c in enumerate(classes):
        part = np.clip(sizes[c] / max(sizes.sum(), 1), 1e-6, 1 - 1e-6)
        ratio = np.log((by_class[c] + 2 * part) / (total - by_class[c] + 2 * (1 - part)))
        ratio -= np.log(part / (1 - part))
        weights[:, column] = np.where(total >= MIN_COUNT, ratio, 0)
    return weights


def regression(
    counts: scipy.sparse.csr_matrix, lengths: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
    """The weights of a logistic regression with an L2 penalty, by L-BFGS.

    Of a text of length t with counts k_u, the logit of class c is b_c + sum over u of
    k_u weight_uc / sqrt(t); idf is taken into the weights. What is minimised is
    `STRENGTH` * (sum of cross-entropies) + |weights / idf|^2 / 2.

    Args:
        counts: f32[N, U].
        lengths: i64[N], tokens of each text.
        labels: i32[N].
        num_classes: C.

    Returns:
        f64[U, R]; R is 1 for two classes (the log-odds of class 1), else C.
    """
    number, known = counts.shape
    having = np.bincount(counts.indices, minlength=known)
    idf = np.log((1 + number) / (1 + having)) + 1
    by_length = scipy.sparse.diags(1 / np.sqrt(np.maximum(lengths, 1)))
    inputs = (by_length @ counts.astype(np.float64) @ scipy.sparse.diags(idf)).tocsr()
    transposed = inputs.T.tocsr()
    first = 1 if num_classes == 2 else 0  # class 0 of two has the logit 0
    targets = _one_hot(labels, num_classes).toarray()[:, first:]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = np.split(flat.reshape(known + 1, -1), [known])
        logits = inputs @ weights + bias
        if first:
            cross_entropy = np.logaddexp(0, logits).sum() - (targets * logits).sum()
            errors = scipy.special.expit(logits) - targets
        else:
            cross_entropy = scipy.special.logsumexp(logits, axis=1).sum() - (targets * logits).sum()
            errors = scipy.special.softmax(logits, axis=1) - targets
        gradient = np.concatenate([transposed @ errors, errors.sum(axis=0, keepdims=True)])
        gradient *= STRENGTH
        gradient[:-1] += weights
        return STRENGTH * cross_entropy + np.square(weights).sum() / 2, gradient.ravel()

    found = scipy.optimize.minimize(
        loss,
        np.zeros((known + 1) * targets.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 100, "maxcor": 5, "ftol": 1e-6, "gtol": 1e-3},
    )
    weights: np.ndarray = found.x.reshape(known + 1, -1)[:-1] * idf[:, None]
    return weights


def _most_frequent(
    keys: np.ndarray, counts: scipy.sparse.csr_matrix, limit: int
) -> tuple[np.ndarray, scipy.sparse.csr_matrix]:
    """At most `limit` n-grams: those that more texts have than the first that is left out."""
    if len(keys) <= limit:
        return keys, counts
    having = np.bincount(counts.indices, minlength=len(keys))
    kept = having > np.sort(having)[-limit - 1]
    return keys[kept], counts[:, kept]


def _one_hot(labels: np.ndarray, num_classes: int) -> scipy.sparse.csr_matrix:
    """i32[N] -> f32[N, C]."""
    rows = np.arange(len(labels))
    entries = (np.ones(len(labels), np.float32), (rows, labels))
    return scipy.sparse.csr_matrix(entries, shape=(len(labels), num_classes))
