"""The text encoder as one thing: what its files hold, and what they do not."""

import numpy as np
import pytest

from lstm_flax.errors import UserError
from lstm_flax.text.encoder import TextEncoder
from tests.conftest import templated_texts

RECORDS = templated_texts(60, seed=4)
TEXTS = [record["text"] for record in RECORDS]
LABELS = np.array([record["label"] == "pos" for record in RECORDS], np.int32)


def features(encoder: TextEncoder) -> np.ndarray | None:
    split = encoder.encode_split(TEXTS[:1])
    positions = np.arange(len(split[0]))[None]
    return encoder.token_features(split, np.array([0]), positions, np.ones_like(positions, bool))


@pytest.mark.smoke
def test_files_hold_the_whole_encoder() -> None:
    encoder = TextEncoder.fit(TEXTS, LABELS, ngram_order=2)
    again = TextEncoder.from_files(encoder.to_files())
    assert (again.vocab_size, again.num_token_features) == (encoder.vocab_size, 2)
    for a, b in zip(again.encode(TEXTS), encoder.encode(TEXTS), strict=True):
        np.testing.assert_array_equal(a, b)
    expected = features(encoder)
    assert expected is not None
    assert np.abs(expected).max() > 0
    np.testing.assert_array_equal(features(again), expected)
    assert again.to_files() == encoder.to_files()


def test_a_damaged_file_is_refused_by_its_name() -> None:
    files = TextEncoder.fit(TEXTS, LABELS, ngram_order=2).to_files()
    for name in ("tokenizer.model", "ngram_ratios.npz"):
        damaged = files | {name: files[name][:-1] + bytes([files[name][-1] ^ 1])}
        with pytest.raises(UserError, match=name):
            TextEncoder.from_files(damaged)


def test_one_label_per_text_and_no_text_in_place_of_a_list() -> None:
    encoder = TextEncoder.fit(TEXTS, LABELS)
    with pytest.raises(UserError, match="2 texts and 1 labels"):
        encoder.encode_split(["fine", "dull"], [1])
    with pytest.raises(UserError, match="a single text; give a list"):
        encoder.encode_split("fine")
