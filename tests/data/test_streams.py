"""Running text in streams: every token read and predicted once, in an order of the epoch's own."""

import numpy as np
import pytest

from lstm_flax.data.streams import Streams, running_text
from lstm_flax.text.tokenized import TokenizedSplit


def test_streams_hold_the_running_text_in_either_direction() -> None:
    text = np.arange(100, 126)  # 25 tokens to predict
    streams = Streams(text, streams=2, steps=4, directions=2)
    assert len(streams) == 3
    pieces = [streams[k] for k in range(3)]
    for direction, reading in enumerate([text, text[::-1]]):
        for row in range(2):
            read = np.concatenate([piece.token_ids[row, direction] for piece in pieces])
            targets = np.concatenate([piece.targets[row, direction] for piece in pieces])
            np.testing.assert_array_equal(read, reading[row * 12 : row * 12 + 12])
            np.testing.assert_array_equal(targets, reading[row * 12 + 1 : row * 12 + 13])
    assert all(piece.target_mask.all() for piece in pieces)


@pytest.mark.parametrize("tokens", [1, 7, 8, 9, 24, 25])
def test_padded_streams_predict_every_token_once(tokens: int) -> None:
    text = np.arange(100, 101 + tokens)
    streams = Streams(text, streams=2, steps=4, directions=2, pad=True)
    for direction, expected in enumerate([text[1:], text[:-1]]):
        seen = [p.targets[:, direction][p.target_mask[:, direction]] for p in streams]
        np.testing.assert_array_equal(np.sort(np.concatenate(seen)), expected)


def test_running_text_depends_on_the_epoch_and_keeps_every_review() -> None:
    splits = [
        TokenizedSplit.from_sequences([np.array([10, 11]), np.array([12])], [0, 1]),
        TokenizedSplit.from_sequences([np.array([20 + i] * i) for i in range(1, 9)], [-1] * 8),
    ]
    texts = [running_text(splits, seed=1, epoch=epoch).tolist() for epoch in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]

    def reviews(text: list[int]) -> list[str]:
        return " ".join(map(str, text)).split(" 3 ")

    plain = running_text(splits, seed=None).tolist()
    assert plain[:6] == [3, 10, 11, 3, 12, 3]
    for text in texts:
        assert text[0] == text[-1] == 3
        assert sorted(text) == sorted(plain)
    assert [10, 11] in [text[i : i + 2] for text in texts for i in range(len(text))]
    assert len(reviews(texts[0])) == len(reviews(plain)) == 10
