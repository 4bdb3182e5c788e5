"""Encoded texts as one ragged array."""

from collections.abc import Sequence

import numpy as np


class TokenizedSplit(Sequence[np.ndarray]):
    """The encoded examples of one split; item i is the i32[n] of all its token ids.

    Attributes:
        token_ids: u16 or i32[sum of lengths], every example's ids one after another.
        offsets: i64[N + 1], where each example starts.
        labels: i32[N]; -1 for no label.
        groups: u64[N], equal for texts that belong together, for example reviews of one film.
        lengths: i64[N], token counts before any truncation.
    """

    def __init__(
        self, token_ids: np.ndarray, offsets: np.ndarray, labels: np.ndarray, groups: np.ndarray
    ) -> None:
        self.token_ids = token_ids
        self.offsets = offsets
        self.labels = labels
        self.groups = groups
        self.lengths: np.ndarray = np.diff(offsets)

    @classmethod
    def from_sequences(
        cls, sequences: Sequence[np.ndarray], labels: Sequence[int] | np.ndarray
    ) -> "TokenizedSplit":
        """Makes a split in memory with each example as a separate group.

        >>> split = TokenizedSplit.from_sequences([np.array([4, 5]), np.array([6])], [1, 0])
        >>> split[0].tolist(), split.lengths.tolist()
        ([4, 5], [2, 1])
        """
        token_ids, offsets = flatten(sequences, np.dtype(np.int32))
        groups = np.arange(len(labels), dtype=np.uint64)
        return cls(token_ids, offsets, np.asarray(labels, dtype=np.int32), groups)

    @classmethod
    def concatenate(cls, parts: Sequence["TokenizedSplit"]) -> "TokenizedSplit":
        """Joins the examples of all parts (at least one) in order, as a split in memory.

        >>> ends = [TokenizedSplit.from_sequences([np.array(ids)], [1]) for ids in ([4, 5], [6])]
        >>> [ids.tolist() for ids in TokenizedSplit.concatenate(ends)]
        [[4, 5], [6]]
        """
        starts = np.cumsum([0] + [len(part.token_ids) for part in parts])
        offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
        return cls(
            np.concatenate([part.token_ids for part in parts]),
            np.concatenate([*offsets, starts[-1:]]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.groups for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]  # Sequence also types slices
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        ids = self.token_ids[self.offsets[i] : self.offsets[i + 1]]
        return np.asarray(ids, dtype=np.int32)


def flatten(sequences: Sequence[np.ndarray], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Flattens N sequences of ids into one array of ids and i64[N + 1] offsets."""
    offsets = np.zeros(len(sequences) + 1, dtype=np.int64)
    np.cumsum([len(s) for s in sequences], out=offsets[1:])
    token_ids = np.empty(offsets[-1], dtype=dtype)
    for i, sequence in enumerate(sequences):
        token_ids[offsets[i] : offsets[i + 1]] = sequence
    return token_ids, offsets
