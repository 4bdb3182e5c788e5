"""Running text for a language model: reviews one after another, cut into parallel streams.

An epoch's text is END r1 END r2 ... END: each review between two END tokens, in an order that is a
pure function of (seed, epoch). It is cut into B streams, each read T tokens at a time; the model's
states at the end of one piece of a stream carry over to the next (truncated backpropagation through
time). The backward direction reads the same text from its end.
"""

from collections.abc import Sequence

import numpy as np

from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.text.tokenizer import END_ID
from lstm_flax.types import StreamBatch


def running_text(splits: Sequence[TokenizedSplit], seed: int | None, epoch: int = 0) -> np.ndarray:
    """Joins all reviews of some splits into one text, with END before, between and after them.

    >>> split = TokenizedSplit.from_sequences([np.array([7, 8]), np.array([9])], [0, 0])
    >>> running_text([split], seed=None).tolist()
    [3, 7, 8, 3, 9, 3]

    Args:
        splits: encoded reviews.
        seed: seed of the reviews' order; None keeps their order.
        epoch: from 0; each epoch has its own order.

    Returns:
        u16 or i32[N + 1], where N counts the tokens of all reviews and one END for each.
    """
    sizes = [len(split) for split in splits]
    order = np.arange(sum(sizes))
    if seed is not None:
        # Raw output of a counter-based generator, which numpy keeps stable across versions.
        generator = np.random.Philox(np.random.SeedSequence([seed % 2**64, epoch]))
        order = np.argsort(generator.random_raw(len(order)), kind="stable")
    of_split = np.searchsorted(np.cumsum(sizes), order, side="right")
    in_split = order - np.concatenate([[0], np.cumsum(sizes)])[of_split]
    length = sum(len(split.token_ids) for split in splits) + len(order) + 1
    text = np.full(length, END_ID, splits[0].token_ids.dtype)
    position = 1
    for s, i in zip(of_split.tolist(), in_split.tolist(), strict=True):
        start, end = splits[s].offsets[i : i + 2]
        text[position : position + end - start] = splits[s].token_ids[start:end]
        position += end - start + 1
    return text


def pieces_per_epoch(tokens: int, streams: int, steps: int, pad: bool = False) -> int:
    """Returns how many pieces of T tokens each of B streams has; `pad` includes a partial one.

    >>> pieces_per_epoch(100, streams=4, steps=8), pieces_per_epoch(100, 4, 8, pad=True)
    (3, 4)
    """
    of_piece = streams * steps
    return -(-tokens // of_piece) if pad else tokens // of_piece


class Streams(Sequence[StreamBatch]):
    """The pieces of one text, in order; piece k continues piece k - 1 row by row.

    Args:
        text: i[N + 1], from `running_text`.
        streams: B, rows of every piece.
        steps: T, tokens per row.
        directions: 1 for forward, 2 for forward and backward.
        pad: True fills the text up with masked tokens, so each of the N tokens after the first is
            predicted exactly once; False drops a remainder smaller than one piece.
    """

    def __init__(
        self, text: np.ndarray, streams: int, steps: int, directions: int, pad: bool = False
    ) -> None:
        tokens = len(text) - 1
        self._pieces = pieces_per_epoch(tokens, streams, steps, pad)
        self._steps = steps
        self._length = self._pieces * steps  # of one stream
        self._tokens = min(tokens, streams * self._length)
        filled = streams * self._length + 1
        missing = filled - len(text)
        readings = [text, text[::-1]][:directions]
        if missing > 0:
            end = np.full(missing, END_ID, text.dtype)
            readings = [np.concatenate([reading, end]) for reading in readings]
        self._readings = [reading[:filled] for reading in readings]
        self._starts = np.arange(streams)[:, None] * self._length + np.arange(steps + 1)

    def __len__(self) -> int:
        return self._pieces

    def __getitem__(self, k):  # type: ignore[no-untyped-def]  # an index, as of a list
        if not 0 <= k < self._pieces:
            raise IndexError(k)
        positions = self._starts + k * self._steps
        pieces = np.stack([reading[positions] for reading in self._readings], axis=1)
        pieces = pieces.astype(np.int32)
        mask = np.broadcast_to((positions[:, 1:] <= self._tokens)[:, None], pieces[..., 1:].shape)
        return StreamBatch(pieces[..., :-1], pieces[..., 1:], mask)
