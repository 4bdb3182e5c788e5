"""Naive-Bayes log-count ratios: the weight of each n-gram of a text as evidence for a class.

For an n-gram that n_c training texts of class c and n_o of the others hold, the ratio of class c is

    log((n_c + 2 p_c) / (n_o + 2 p_o)) - log(p_c / p_o),

p_c and p_o the parts of all texts that are of class c and of the others; with two classes of equal
size it is the log-count ratio of Wang & Manning (2012, section 2.1, binarised counts) before its
normalisation. Zero says nothing: an n-gram that fewer than `MIN_COUNT` texts hold has that.

The ratios of a *training* text must come from other texts (cross-fitting), or a model would read
the label off them: its n-grams are in its own class once more. The texts are dealt into folds by
group, as a film, and each fold has ratios of its own, made without it.
"""

import dataclasses
import functools

import numpy as np

from lstm_flax.text.hashing import mix
from lstm_flax.text.sorted_hashes import SortedHashes
from lstm_flax.text.tokenized import TokenizedSplit

MIN_COUNT = 2
FOLDS = 10
MAX_ORDER = 16  # longer n-grams than any two texts share by chance


@dataclasses.dataclass(frozen=True)
class NgramRatios:
    """Log ratios by n-gram, for every text alike or by the text's fold.

    Attributes:
        order: n of the longest n-grams.
        keys: u32[U], ascending hashes of the known n-grams. A few collide: with a million known,
            an unknown one in 4,000 is taken for another.
        tables: f16[K, U + 1, R]: R ratios of each n-gram, zero in the last row, which stands for
            all unknown ones. K is 1, or `FOLDS`: table k was made without the texts of fold k. R is
            1 for two classes (the ratio of class 1), else the number of classes.
        groups: u64[g], ascending: the groups of the texts that were counted.
    """

    order: int
    keys: np.ndarray
    tables: np.ndarray
    groups: np.ndarray

    def check(self) -> None:
        """Makes sure that arrays read from a file fit each other; `ValueError` if not."""
        if type(self.order) is not int or not 1 <= self.order <= MAX_ORDER:
            raise ValueError(f"n-grams of up to {self.order!r} tokens")
        known = self.keys.size
        fits = (
            (self.keys.dtype, self.tables.dtype, self.groups.dtype)
            == (np.uint32, np.float16, np.uint64)
            and self.keys.shape == (known,)
            and self.tables.ndim == 3
            and self.tables.shape[:2] == (1, known + 1)
            and self.groups.ndim == 1
        )
        if not fits or (self.keys[1:] <= self.keys[:-1]).any():
            raise ValueError("n-gram ratios whose arrays do not fit each other")
        if not np.isfinite(self.tables).all() or self.tables[:, -1].any():
            raise ValueError("n-gram ratios that are not finite, or not zero where unknown")

    @functools.cached_property
    def _known(self) -> SortedHashes:
        return SortedHashes(self.keys)

    @property
    def size(self) -> int:
        """F, features a token: R for each length of n-gram."""
        return int(self.order * self.tables.shape[2])

    def counted_any_of(self, split: TokenizedSplit) -> bool:
        """True if any text of a split is among those that were counted."""
        return bool(np.isin(split.groups, self.groups).any())

    def features(
        self, split: TokenizedSplit, indices: np.ndarray, positions: np.ndarray, valid: np.ndarray
    ) -> np.ndarray:
        """The ratios of the n-grams that end at each token.

        Args:
            split: the encoded texts.
            indices: i64[n], examples of the split.
            positions: i64[n, T], into `split.token_ids`.
            valid: bool[n, T]; what is False stays zero.

        Returns:
            f32[n, T, size].
        """
        keys, exists = ngram_keys(split, split.offsets[indices][:, None], positions, self.order)
        unknown = len(self.keys)
        if unknown == 0:
            return np.zeros((*positions.shape, self.size), np.float32)
        rows = self._known.positions(keys)
        rows = np.where(exists & valid[..., None] & (self.keys[rows] == keys), rows, unknown)
        if len(self.tables) == 1:
            found = self.tables[0][rows]
        else:
            found = self.tables[fold_of(split.groups[indices])[:, None, None], rows]
        return found.reshape(*positions.shape, self.size).astype(np.float32)


def fit_ngram_ratios(
    split: TokenizedSplit, num_classes: int, order: int
) -> tuple[NgramRatios, NgramRatios]:
    """Counts the n-grams of a training split.

    Args:
        split: the encoded training texts, with labels and groups.
        num_classes: C.
        order: n of the longest n-grams, at least 1.

    Returns:
        The ratios for any other text, and the cross-fitted ones for the training texts themselves.
    """
    lengths = split.lengths
    starts = np.repeat(split.offsets[:-1], lengths)
    keys, exists = ngram_keys(split, starts, np.arange(len(starts)), order)
    # Each n-gram once a text: a pair is one number, the key in front, so that sorting them sorts
    # by key and leaves equal pairs side by side.
    text_of = np.repeat(np.arange(len(split), dtype=np.uint64), lengths)
    pairs = np.concatenate(
        [
            (keys[there, n].astype(np.uint64) << np.uint64(32)) | text_of[there]
            for n, there in enumerate(exists.T)
        ]
    )
    pairs.sort()
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]
    pair_keys, texts = (pairs >> np.uint64(32)).astype(np.uint32), pairs & np.uint64(0xFFFFFFFF)
    is_first = np.append(True, pair_keys[1:] != pair_keys[:-1])
    number = np.cumsum(is_first) - 1
    frequent = np.diff(np.append(np.flatnonzero(is_first), len(pairs))) >= MIN_COUNT
    unique = pair_keys[is_first][frequent]
    kept = frequent[number]
    row = (np.cumsum(frequent) - 1)[number[kept]]
    texts = texts[kept].astype(np.int64)
    # Counts of (fold, class, n-gram), then those of the other folds together.
    cell = (fold_of(split.groups)[texts] * num_classes + split.labels[texts]) * len(unique) + row
    counts = np.bincount(cell, minlength=FOLDS * num_classes * len(unique)).astype(np.float32)
    counts = counts.reshape(FOLDS, num_classes, len(unique))
    sizes = np.zeros((FOLDS, num_classes), np.float32)
    np.add.at(sizes, (fold_of(split.groups), split.labels), 1)
    totals, total_sizes = counts.sum(axis=0), sizes.sum(axis=0)
    whole = _ratios(totals, total_sizes)
    folds = [_ratios(totals - counts[k], total_sizes - sizes[k]) for k in range(FOLDS)]
    groups = np.unique(split.groups)
    return (
        NgramRatios(order, unique, whole[None], groups),
        NgramRatios(order, unique, np.stack(folds), groups),
    )


def _ratios(counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """f32[C, U] counts and f32[C] sizes of the classes -> f16[U + 1, R], the last row zero."""
    classes = range(1, 2) if len(sizes) == 2 else range(len(sizes))
    total, table = counts.sum(axis=0), np.zeros((counts.shape[1] + 1, len(classes)), np.float16)
    for column, c in enumerate(classes):
        part = np.clip(sizes[c] / max(sizes.sum(), 1), 1e-6, 1 - 1e-6)
        ratio = np.log((counts[c] + 2 * part) / (total - counts[c] + 2 * (1 - part)))
        ratio -= np.log(part / (1 - part))
        table[:-1, column] = np.where(total >= MIN_COUNT, ratio, 0)
    return table


def fold_of(groups: np.ndarray) -> np.ndarray:
    """The fold of each text: u64[N] -> i64[N], equal groups in one fold."""
    return (mix(groups, seed=1) % np.uint64(FOLDS)).astype(np.int64)


def ngram_keys(
    split: TokenizedSplit, starts: np.ndarray, positions: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the n-grams that end at each position.

    Args:
        split: the encoded texts.
        starts: i64[...], where the text of each position begins; broadcasts with `positions`.
        positions: i64[...], into `split.token_ids`.
        order: n of the longest n-grams.

    Returns:
        u32[..., order] hashes of the n-grams of 1 to `order` tokens, and bool[..., order]: whether
        they lie within their text.
    """
    last = len(split.token_ids) - 1
    key = np.zeros(positions.shape, np.uint32)
    keys, exists = [], []
    for n in range(order):
        at = positions - n
        token = split.token_ids[np.clip(at, 0, last)].astype(np.uint32)
        key = _scramble(key * np.uint32(0x9E3779B1) + token + np.uint32(n + 1))
        keys.append(key)
        exists.append(at >= starts)
    return np.stack(keys, axis=-1), np.stack(exists, axis=-1)


def _scramble(h: np.ndarray) -> np.ndarray:
    """The finaliser of MurmurHash3 (Appleby): every input bit moves every output bit."""
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))
