"""Batch plans, and the batches themselves.

The plan of an epoch is a pure function of (seed, epoch): every process computes the same plan, and
batch k can be made without the k batches before it.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lstm_flax.config import DataConfig
from lstm_flax.text.encoder import TextEncoder
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.types import PAD_ID, Batch


class PlannedBatch(NamedTuple):
    """The examples and the width of one batch.

    Attributes:
        indices: i64[n], examples of the split, n from 1 to the batch size.
        width: T, tokens of the padded batch.
    """

    indices: np.ndarray
    width: int


class BatchPlan(Sequence[PlannedBatch]):
    """The batches of one epoch, each example exactly once.

    When shuffled, a batch holds examples of one length bucket in random order, and the batches come
    in random order. Examples left over when a bucket is cut into batches fill any room in the last
    batch of the next wider bucket, so an epoch has few partial batches, at most one per bucket.
    The number of batches depends on the lengths alone, not on seed and epoch.

    Unshuffled, for evaluation, the examples are sorted by length, which gives the least padding and
    the fewest batches.

    Args:
        lengths: i[N], untruncated token counts.
        batch_size: B.
        bucket_widths: ascending widths.
        max_length: longest sequence the model sees; no greater than the last width.
        seed: seed of the order.
        epoch: from 0.
        shuffle: False for evaluation order.

    >>> plan = BatchPlan([3, 40, 5, 9], 2, [32, 64], max_length=64, seed=0, epoch=0, shuffle=False)
    >>> [(batch.indices.tolist(), batch.width) for batch in plan]
    [([0, 2], 32), ([3, 1], 64)]
    """

    def __init__(
        self,
        lengths: np.ndarray | Sequence[int],
        batch_size: int,
        bucket_widths: Sequence[int],
        max_length: int,
        seed: int,
        epoch: int,
        shuffle: bool = True,
    ) -> None:
        if batch_size < 1 or max_length < 1 or max_length > bucket_widths[-1]:
            raise ValueError(f"{batch_size=}, {max_length=}, {bucket_widths=}")
        self.seed = seed
        self.epoch = epoch
        lengths = np.minimum(np.asarray(lengths, dtype=np.int64), max_length)
        if len(lengths) and lengths.min() < 1:
            raise ValueError("every example needs a length of at least 1")
        widths = np.asarray(bucket_widths, dtype=np.int64)
        bucket_of = np.searchsorted(widths, lengths)
        if shuffle:
            # Raw output of a counter-based generator, which numpy keeps stable across versions.
            generator = np.random.Philox(np.random.SeedSequence([seed % 2**64, epoch]))
            members = shuffled_members(bucket_of, len(widths), generator)
            _promote_leftovers(members, batch_size)
            planned = _cut(members, widths, batch_size)
            self._batches = [planned[i] for i in _permutation(len(planned), generator)]
        else:
            order = np.argsort(lengths, kind="stable")
            cuts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
            self._batches = [
                PlannedBatch(indices, int(widths[bucket_of[indices[-1]]])) for indices in cuts
            ]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, k):  # type: ignore[no-untyped-def]  # an index or a slice, as of a list
        return self._batches[k]


def _permutation(n: int, generator: np.random.Philox) -> np.ndarray:
    return np.argsort(generator.random_raw(n), kind="stable")


def shuffled_members(
    bucket_of: np.ndarray, buckets: int, generator: np.random.Philox
) -> list[np.ndarray]:
    """Returns each bucket's examples, i64[n], in random order, from the bucket of N examples."""
    order = _permutation(len(bucket_of), generator)
    return [order[bucket_of[order] == b] for b in range(buckets)]


def _promote_leftovers(members: list[np.ndarray], batch_size: int) -> None:
    """Moves the remainder of each bucket to the next used one, if that adds no batch there."""
    used = [b for b, rows in enumerate(members) if len(rows)]
    for bucket, wider in itertools.pairwise(used):
        rest = len(members[bucket]) % batch_size
        room = -len(members[wider]) % batch_size
        if 0 < rest <= room:
            cut = len(members[bucket]) - rest
            # Put in front, so they meet rows of that bucket and not each other at its end.
            members[wider] = np.concatenate([members[bucket][cut:], members[wider]])
            members[bucket] = members[bucket][:cut]


def _cut(members: list[np.ndarray], widths: np.ndarray, batch_size: int) -> list[PlannedBatch]:
    return [
        PlannedBatch(rows[i : i + batch_size], int(width))
        for rows, width in zip(members, widths, strict=True)
        for i in range(0, len(rows), batch_size)
    ]


class Batcher:
    """The batches of one split: gathered, truncated, padded, with the encoder's token features.

    >>> split = TokenizedSplit.from_sequences([np.array([5, 6, 7]), np.array([8])], [1, 0])
    >>> batcher = Batcher(split, batch_size=2, bucket_widths=(4,), max_length=4)
    >>> batch = batcher.make([0, 1], width=4)
    >>> batch.token_ids.tolist(), batch.lengths.tolist()
    ([[5, 6, 7, 0], [8, 0, 0, 0]], [3, 1])

    Args:
        split: encoded examples.
        encoder: computes the token features; None for batches without them.
        batch_size: B.
        bucket_widths: ascending widths.
        max_length: number of tokens kept of a text; no greater than the last width.
        truncation: which tokens to keep: `head`, or `head_tail` for half from each end, an odd one
            from the head. The features of a truncated text are those of the whole text.

    Raises:
        ValueError: the sizes contradict each other.
    """

    def __init__(
        self,
        split: TokenizedSplit,
        encoder: TextEncoder | None = None,
        *,
        batch_size: int = DataConfig.batch_size,
        bucket_widths: Sequence[int] = DataConfig.bucket_widths,
        max_length: int = DataConfig.max_length,
        truncation: str = DataConfig.truncation,
    ) -> None:
        if truncation not in ("head", "head_tail"):
            raise ValueError(f"{truncation=}: choose head or head_tail")
        self.split = split
        self.batch_size = batch_size
        self.bucket_widths = tuple(bucket_widths)
        self.max_length = max_length
        self.truncation = truncation
        self._encoder = encoder
        self._head = max_length if truncation == "head" else (max_length + 1) // 2
        self._epoch: tuple[tuple[int, int], BatchPlan] | None = None

    @classmethod
    def from_config(
        cls,
        split: TokenizedSplit,
        encoder: TextEncoder | None,
        data: DataConfig,
        batch_size: int | None = None,
    ) -> "Batcher":
        """Makes a batcher from the configuration; `batch_size` overrides its value."""
        return cls(
            split,
            encoder,
            batch_size=batch_size or data.batch_size,
            bucket_widths=data.bucket_widths,
            max_length=data.max_length,
            truncation=data.truncation,
        )

    def plan(self, seed: int, epoch: int) -> BatchPlan:
        """Returns the shuffled plan of an epoch; the last one requested is cached."""
        if self._epoch is None or self._epoch[0] != (seed, epoch):
            self._epoch = ((seed, epoch), self._plan(seed, epoch, shuffle=True))
        return self._epoch[1]

    def evaluation_plan(self) -> BatchPlan:
        """Returns the plan for evaluation, sorted by length."""
        return self._plan(0, 0, shuffle=False)

    def _plan(self, seed: int, epoch: int, shuffle: bool) -> BatchPlan:
        return BatchPlan(
            self.split.lengths,
            self.batch_size,
            self.bucket_widths,
            self.max_length,
            seed,
            epoch,
            shuffle,
        )

    def epoch(self, seed: int = 0, epoch: int = 0) -> Iterator[Batch]:
        """Yields the batches of an epoch, in order, as numpy arrays."""
        for indices, width in self.plan(seed, epoch):
            yield self.make(indices, width)

    def kept(self, index: int) -> np.ndarray:
        """Returns the positions, in its text, of an example's kept tokens: i64[n].

        >>> split = TokenizedSplit.from_sequences([np.array([5, 6, 7, 8, 9])], [1])
        >>> Batcher(split, bucket_widths=(3,), max_length=3, truncation="head_tail").kept(0)
        array([0, 1, 4])
        """
        full = int(self.split.lengths[index])
        steps = np.arange(min(full, self.max_length))
        return steps + (steps >= self._head) * (full - len(steps))

    def make(
        self, indices: np.ndarray | Sequence[int], width: int, rows: slice | None = None
    ) -> Batch:
        """Gathers, truncates and pads the given examples.

        Args:
            indices: i[n], n from 0 to B; rows past n become masked rows of length 1.
            width: T, at least the longest truncated length.
            rows: the rows to read; all others become filler rows without an example. None reads
                all.

        Returns:
            The batch, as numpy arrays.

        Raises:
            ValueError: the examples do not fit.
        """
        indices = np.asarray(indices, dtype=np.int64)
        if len(indices) > self.batch_size:
            raise ValueError(f"{len(indices)} examples do not fit in a batch of {self.batch_size}")
        start, stop, _ = (rows or slice(None)).indices(self.batch_size)
        here = slice(start, max(start, min(stop, len(indices))))
        indices = indices[here]
        full = self.split.lengths[indices]
        kept = np.minimum(full, self.max_length)
        if len(kept) and kept.max() > width:
            raise ValueError(f"a sequence of {kept.max()} tokens does not fit in width {width}")

        # Position t of a row holds token t of its text. In the tail of a truncated text, it holds
        # the token that is as far from the end of the text as t is from the end of the row.
        steps = np.arange(width)
        in_tail = steps >= self._head
        source = self.split.offsets[indices, None] + steps + in_tail * (full - kept)[:, None]
        valid = steps < kept[:, None]
        token_ids = np.full((self.batch_size, width), PAD_ID, dtype=np.int32)
        token_ids[here][valid] = self.split.token_ids[source[valid]]

        lengths = np.ones(self.batch_size, dtype=np.int32)
        lengths[here] = kept
        labels = np.zeros(self.batch_size, dtype=np.int32)
        labels[here] = self.split.labels[indices]
        features = None
        if self._encoder is not None and self._encoder.num_token_features:
            features = np.zeros(
                (self.batch_size, width, self._encoder.num_token_features), np.float32
            )
            features[here] = self._encoder.token_features(self.split, indices, source, valid)
        example_mask = np.zeros(self.batch_size, dtype=bool)
        example_mask[here] = True
        return Batch(token_ids, lengths, labels, example_mask, features)
