"""Which examples make which batch, and the batches themselves.

The plan of an epoch is a pure function of (seed, epoch): every process computes the same one, and
batch k can be made without the k batches before it.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstm_flax.text.ngrams import NgramRatios
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.types import PAD_ID, Batch


class PlannedBatch(NamedTuple):
    """What one batch is made of.

    Attributes:
        indices: i64[n], examples of the split, n from 1 to the batch size.
        width: T, tokens of the padded batch.
    """

    indices: np.ndarray
    width: int


class BatchPlan(Sequence[PlannedBatch]):
    """The batches of one epoch, each example exactly once.

    Shuffled, a batch holds examples of one length bucket in random order, and the batches come in
    random order. Examples left over when a bucket is cut into batches fill up the next wider
    bucket's last batch where there is room, so an epoch has few partial batches, at most one a
    bucket. Their number depends on the lengths alone, not on seed and epoch.

    Unshuffled, for evaluation, the examples are sorted by length: the least padding, and the fewest
    batches.

    Args:
        lengths: i[N], untruncated token counts.
        batch_size: B.
        bucket_widths: ascending widths.
        max_length: longest sequence the model sees; no greater than the last width.
        seed: of the order.
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
        lengths = np.minimum(np.asarray(lengths, dtype=np.int64), max_length)
        if len(lengths) and lengths.min() < 1:
            raise ValueError("every example needs a length of at least 1")
        widths = np.asarray(bucket_widths, dtype=np.int64)
        bucket_of = np.searchsorted(widths, lengths)
        if shuffle:
            # Raw output of a counter-based generator: numpy keeps its stream between versions.
            generator = np.random.Philox(np.random.SeedSequence([seed % 2**64, epoch]))
            members = _shuffled_members(bucket_of, len(widths), generator)
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


def _shuffled_members(
    bucket_of: np.ndarray, buckets: int, generator: np.random.Philox
) -> list[np.ndarray]:
    order = _permutation(len(bucket_of), generator)
    return [order[bucket_of[order] == b] for b in range(buckets)]


def _promote_leftovers(members: list[np.ndarray], batch_size: int) -> None:
    """Moves the rest of each bucket into the next used one, where that adds no batch there."""
    used = [b for b, rows in enumerate(members) if len(rows)]
    for bucket, wider in itertools.pairwise(used):
        rest = len(members[bucket]) % batch_size
        room = -len(members[wider]) % batch_size
        if 0 < rest <= room:
            cut = len(members[bucket]) - rest
            # In front, so that they meet rows of that bucket rather than each other at its end.
            members[wider] = np.concatenate([members[bucket][cut:], members[wider]])
            members[bucket] = members[bucket][:cut]


def _cut(members: list[np.ndarray], widths: np.ndarray, batch_size: int) -> list[PlannedBatch]:
    return [
        PlannedBatch(rows[i : i + batch_size], int(width))
        for rows, width in zip(members, widths, strict=True)
        for i in range(0, len(rows), batch_size)
    ]


def _head_length(max_length: int, truncation: str) -> int:
    if truncation == "head":
        return max_length
    if truncation == "head_tail":
        return (max_length + 1) // 2
    raise ValueError(f"{truncation=}: choose head or head_tail")


def make_batch(
    split: TokenizedSplit,
    indices: np.ndarray | Sequence[int],
    width: int,
    batch_size: int,
    max_length: int,
    truncation: str,
    ngrams: NgramRatios | None = None,
) -> Batch:
    """Gathers, truncates and pads.

    Args:
        split: encoded examples.
        indices: i[n], n from 0 to `batch_size`.
        width: T, at least the longest truncated length.
        batch_size: B; rows past n are filled up with masked rows of length 1.
        max_length: tokens kept of a text.
        truncation: which ones: `head`, or `head_tail`: half from either end, the odd one from the
            head.
        ngrams: for a model that takes n-gram features; those of a cut text are the whole text's.

    Returns:
        The batch, of numpy arrays.
    """
    indices = np.asarray(indices, dtype=np.int64)
    rows = len(indices)
    if rows > batch_size:
        raise ValueError(f"{rows} examples do not fit in a batch of {batch_size}")
    full = split.lengths[indices]
    kept = np.minimum(full, max_length)
    if rows and kept.max() > width:
        raise ValueError(f"a sequence of {kept.max()} tokens does not fit in width {width}")

    # Position t of a row comes from token t of its text, or, in the tail of a cut one, from as far
    # before the end of the text as t lies before the end of the row.
    steps = np.arange(width)
    in_tail = steps >= _head_length(max_length, truncation)
    source = split.offsets[indices, None] + steps + in_tail * (full - kept)[:, None]
    valid = steps < kept[:, None]
    token_ids = np.full((batch_size, width), PAD_ID, dtype=np.int32)
    token_ids[:rows][valid] = split.token_ids[source[valid]]

    lengths = np.ones(batch_size, dtype=np.int32)
    lengths[:rows] = kept
    labels = np.zeros(batch_size, dtype=np.int32)
    labels[:rows] = split.labels[indices]
    features = None
    if ngrams is not None:
        features = np.zeros((batch_size, width, ngrams.size), np.float32)
        features[:rows] = ngrams.features(split, indices, source, valid)
    return Batch(token_ids, lengths, labels, np.arange(batch_size) < rows, features)


def plan_unlabelled(
    plan: BatchPlan,
    lengths: np.ndarray,
    rows: int,
    bucket_widths: Sequence[int],
    max_length: int,
    seed: int,
    epoch: int,
) -> list[np.ndarray]:
    """Unlabelled texts to go along with each batch of an epoch.

    A batch takes texts of its own bucket, where there are any, in an order that depends on seed and
    epoch alone; when a bucket's texts are used up, they come again.

    Args:
        plan: of the labelled texts.
        lengths: i[N], untruncated token counts of the unlabelled texts.
        rows: of unlabelled text in a batch.
        bucket_widths: as the plan's.
        max_length: likewise.
        seed: likewise.
        epoch: likewise.

    Returns:
        For each batch i64[n] indices, n being `rows` or, where its bucket holds no text, 0.
    """
    bucket_of = np.searchsorted(bucket_widths, np.minimum(lengths, max_length))
    generator = np.random.Philox(np.random.SeedSequence([seed % 2**64, epoch, 1]))
    members = _shuffled_members(bucket_of, len(bucket_widths), generator)
    taken = [0] * len(bucket_widths)
    chosen = []
    for planned in plan:
        bucket = list(bucket_widths).index(planned.width)
        there = members[bucket]
        places = taken[bucket] + np.arange(rows if len(there) else 0)
        chosen.append(there[places % max(len(there), 1)])
        taken[bucket] += rows
    return chosen


def stack_batches(labelled: Batch, unlabelled: Batch) -> Batch:
    """The rows of two batches of one width, the second's without their labels."""
    hidden = unlabelled._replace(labels=np.full_like(unlabelled.labels, -1))
    return Batch(
        *(
            None if a is None else np.concatenate([a, b])
            for a, b in zip(labelled, hidden, strict=True)
        )
    )
