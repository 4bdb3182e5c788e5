"""N-gram weights as evidence for the classes, used as features of a text's tokens.

Each token has the weights of the n-grams that end at it. Zero is neutral: it is the weight of
n-grams in too few training texts. `text/ngrams/fitting.py` fits the weights.
"""

import dataclasses
import functools

import numpy as np

from lstm_flax.text.hashing import mix
from lstm_flax.text.ngrams.sorted_hashes import SortedHashes
from lstm_flax.text.tokenized import TokenizedSplit

KINDS = ("ratios", "regression")
FOLDS = 10
MAX_ORDER = 16  # two texts do not share longer n-grams by chance


@dataclasses.dataclass(frozen=True)
class NgramWeights:
    """N-gram weights, either the same for every text or depending on the text's fold.

    Attributes:
        order: n of the longest n-grams.
        keys: u32[U], ascending hashes of the known n-grams. A few collide: with a million known
            n-grams, one in 4,000 unknown ones is mistaken for a known one.
        tables: f16[K, U + 1, R]: R weights of each n-gram; the last row is zero and serves all
            unknown ones. K is 1, or `FOLDS`: table k was made without the texts of fold k. R is
            1 for two classes (the weight for class 1), else the number of classes.
        groups: u64[g], ascending: the groups of the texts that were counted.
        kind: `ratios` or `regression`, see `text/ngrams/fitting.py`.
    """

    order: int
    keys: np.ndarray
    tables: np.ndarray
    groups: np.ndarray
    kind: str = "ratios"

    def check(self) -> None:
        """Checks that arrays read from a file fit each other; raises `ValueError` if not."""
        if type(self.order) is not int or not 1 <= self.order <= MAX_ORDER:
            raise ValueError(f"n-grams of up to {self.order!r} tokens")
        if self.kind not in KINDS:
            raise ValueError(f"n-gram weights of the unknown kind {self.kind!r}")
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
            raise ValueError("n-gram weights whose arrays do not fit each other")
        if not np.isfinite(self.tables).all() or self.tables[:, -1].any():
            raise ValueError("n-gram weights that are not finite, or not zero where unknown")

    @functools.cached_property
    def _known(self) -> SortedHashes:
        return SortedHashes(self.keys)

    @property
    def size(self) -> int:
        """F, features per token: R for each n-gram length."""
        return int(self.order * self.tables.shape[2])

    def counted_any_of(self, split: TokenizedSplit) -> bool:
        """Returns True if any text of a split is among those that were counted."""
        return bool(np.isin(split.groups, self.groups).any())

    def features(
        self, split: TokenizedSplit, indices: np.ndarray, positions: np.ndarray, valid: np.ndarray
    ) -> np.ndarray:
        """Looks up the weights of the n-grams that end at each token.

        Args:
            split: the encoded texts.
            indices: i64[n], examples of the split.
            positions: i64[n, T], into `split.token_ids`.
            valid: bool[n, T]; where False, features stay zero.

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


def fold_of(groups: np.ndarray) -> np.ndarray:
    """Computes the fold of each text: u64[N] -> i64[N]; equal groups share a fold."""
    return (mix(groups, seed=1) % np.uint64(FOLDS)).astype(np.int64)


def ngram_keys(
    split: TokenizedSplit, starts: np.ndarray, positions: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes the n-grams that end at each position.

    Args:
        split: the encoded texts.
        starts: i64[...], where the text of each position begins; broadcasts with `positions`.
        positions: i64[...], into `split.token_ids`.
        order: n of the longest n-grams.

    Returns:
        u32[..., order] hashes of the n-grams of 1 to `order` tokens, and bool[..., order], True
        where the n-gram lies within its text.
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
    """Applies the finaliser of MurmurHash3 (Appleby): every input bit affects every output bit."""
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))
