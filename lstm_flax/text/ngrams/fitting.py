"""Fits n-gram weights, evidence for the classes, to the training texts.

`ratios` are naive-Bayes log-count ratios. For an n-gram found in n_c training texts of class c and
n_o texts of other classes, the ratio of class c is

    log((n_c + 2 p_c) / (n_o + 2 p_o)) - log(p_c / p_o),

where p_c and p_o are the fractions of all texts in class c and in the others. With two classes of
equal size it is the log-count ratio of Wang & Manning (2012, section 2.1, binarised counts) before
its normalisation.

`regression` weights come from a multinomial logistic regression on counts; each is multiplied by
the n-gram's inverse document frequency and divided by the square root of the text's length, so a
text's weights sum to the logits of a linear model. They do not assume independent n-grams, and
separate many classes better.

The weights of a *training* text must come from other texts (cross-fitting); otherwise they would
include the text's own n-grams in its own class, and a model could read the label off them. Texts
are assigned to folds by group, for example by film, and each fold has its own weights, made without
it.
"""

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.special

from lstm_flax.text.ngrams.weights import FOLDS, NgramWeights, fold_of, ngram_keys
from lstm_flax.text.tokenized import TokenizedSplit

MIN_COUNT = 2
STRENGTH = 0.3  # C of the regression; results change little from 0.1 to 1
_MOST_WEIGHTS = 4_000_000  # of a regression: n-grams times classes, to limit time and memory


def fit_ngram_weights(
    split: TokenizedSplit, num_classes: int, order: int, kind: str = "ratios"
) -> tuple[NgramWeights, NgramWeights]:
    """Fits n-gram weights to a training split.

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
        Weights for any other text, and cross-fitted ones for the training texts themselves.
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
    """Counts, for each text, the n-grams that occur in at least `MIN_COUNT` texts.

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
    # Each pair is one number with the key in the high bits, so sorting orders them by key and puts
    # equal pairs side by side.
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
    """Computes naive-Bayes log-count ratios; 0 for n-grams in fewer than `MIN_COUNT` texts.

    Args:
        counts: f32[N, U]; only whether a text contains an n-gram matters, not how often.
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
    """Fits a logistic regression with an L2 penalty, by L-BFGS, and returns its weights.

    For a text of length t with counts k_u, the logit of class c is b_c + sum over u of
    k_u weight_uc / sqrt(t); idf is included in the weights. It minimises
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
    first = 1 if num_classes == 2 else 0  # with two classes, the logit of class 0 is 0
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
    """Selects at most `limit` n-grams: all that occur in more texts than the first one dropped."""
    if len(keys) <= limit:
        return keys, counts
    having = np.bincount(counts.indices, minlength=len(keys))
    kept = having > np.sort(having)[-limit - 1]
    return keys[kept], counts[:, kept]


def _one_hot(labels: np.ndarray, num_classes: int) -> scipy.sparse.csr_matrix:
    """Converts i32[N] to one-hot f32[N, C]."""
    rows = np.arange(len(labels))
    entries = (np.ones(len(labels), np.float32), (rows, labels))
    return scipy.sparse.csr_matrix(entries, shape=(len(labels), num_classes))
