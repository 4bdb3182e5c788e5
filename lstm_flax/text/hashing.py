"""Hashes that depend on neither the platform nor the process."""

import hashlib
from collections.abc import Sequence

import numpy as np

from lstm_flax.text.normalization import normalize

_MASK = (1 << 64) - 1


def text_hash(text: str) -> int:
    """Hashes the normalised, lower-cased text to 64 bits: equal texts have equal hashes.

    Splits and the film table rely on it being independent of the platform and the process.
    """
    data = normalize(text, lowercase=True).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def text_hashes(texts: Sequence[str]) -> np.ndarray:
    """Computes `text_hash` of each text, u64[N]."""
    return np.fromiter(map(text_hash, texts), dtype=np.uint64, count=len(texts))


def mix(values: np.ndarray, seed: int) -> np.ndarray:
    """Scrambles each u64 with the finaliser of SplitMix64, in numpy.

    Reference: Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    step = 0x9E3779B97F4A7C15
    offset = (_mix_one((seed * step + step) & _MASK)) & _MASK
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) * np.uint64(step) + np.uint64(offset)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _mix_one(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
