import dataclasses
import random
import time

import numpy as np
import pytest

from lstm_flax.config import TokenizerConfig
from lstm_flax.errors import UserError
from lstm_flax.text.normalization import normalize
from lstm_flax.text.tokenizer import Tokenizer
from lstm_flax.types import PAD_ID

WORDS = [
    "the",
    "film",
    "was",
    "great",
    "terrible",
    "plot",
    "acting",
    "moving",
    "dull",
    "brilliant",
    "boring",
    "don't",
    "well-made",
    "7/10",
]


def make_texts(count, seed=0):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(3, 30))) + "." for _ in range(count)]


@pytest.fixture(scope="module", params=["unigram", "bpe", "word", "char"])
def tokenizer(request):
    size = {"unigram": 40, "bpe": 60, "word": 21, "char": 200}[request.param]
    return Tokenizer.train(make_texts(200), TokenizerConfig(kind=request.param, vocab_size=size))


def test_encodes_and_decodes_back(tokenizer):
    for text in make_texts(20, seed=1):
        (ids,) = tokenizer.encode_batch([text])
        assert ids.dtype == np.int32
        assert ids.min() >= 4
        assert ids.max() < tokenizer.vocab_size
        back = tokenizer.decode(ids)
        assert back.replace(" ", "") == text.replace(" ", "")
        assert "".join(tokenizer.pieces(ids)).replace("▁", " ").strip() == back


@pytest.mark.smoke
def test_bytes_hold_the_whole_tokenizer(tokenizer):
    copy = Tokenizer.from_bytes(tokenizer.to_bytes())
    texts = make_texts(20, seed=2)
    for a, b in zip(copy.encode_batch(texts), tokenizer.encode_batch(texts), strict=True):
        np.testing.assert_array_equal(a, b)
    assert copy.fingerprint == tokenizer.fingerprint
    assert (copy.kind, copy.lowercase) == (tokenizer.kind, tokenizer.lowercase)


def test_nothing_is_ever_empty_or_padding(tokenizer):
    odd = ["", "  \n", "<br />", "\u200b", "漢字", "👩‍👩‍👧", "\ud800", "a" * 10_000, "<pad><s></s>"]
    for ids in tokenizer.encode_batch(odd):
        assert len(ids) > 0
        assert PAD_ID not in ids
        assert not {2, 3} & set(ids.tolist())
    assert tokenizer.encode_batch([""])[0].tolist() == [1]
    assert tokenizer.encode_batch([]) == []


def test_encoding_normalises_as_training_did():
    texts = [text.upper() for text in make_texts(100)]
    config = TokenizerConfig(vocab_size=40)
    lower = Tokenizer.from_bytes(Tokenizer.train(texts, config, lowercase=True).to_bytes())
    a, b = lower.encode_batch(["THE FILM<br />was\u00a0GREAT", "the film was great"])
    np.testing.assert_array_equal(a, b)
    upper = Tokenizer.train(texts, config)
    assert upper.fingerprint != lower.fingerprint
    assert 1 in upper.encode_batch(["the film was great"])[0]


def test_same_pieces_whenever_trained(tokenizer):
    config = TokenizerConfig(kind=tokenizer.kind, vocab_size=max(tokenizer.vocab_size, 8))
    assert Tokenizer.train(make_texts(200), config).fingerprint == tokenizer.fingerprint


def test_fingerprint_ignores_how_the_model_was_trained(tokenizer):
    # The thread count stands in the model file; with one more of no effect the pieces stay.
    other = Tokenizer(tokenizer.kind, tokenizer.lowercase, tokenizer.model + b"")
    assert other.fingerprint == tokenizer.fingerprint
    assert Tokenizer(tokenizer.kind, True, tokenizer.model).fingerprint != tokenizer.fingerprint


def test_word_kind_splits_punctuation_off_first():
    tokenizer = Tokenizer.train(make_texts(200), TokenizerConfig(kind="word", vocab_size=21))
    pieces = tokenizer.pieces(tokenizer.encode_batch(["great.film/don't well-made"])[0])
    assert pieces == ["▁great", "▁.", "▁film", "▁/", "▁don't", "▁well-made"]


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char"])
def test_rare_digits_and_recurring_emoji_are_known_and_rare_letters_are_not(kind):
    texts = [*make_texts(400), *["😀 9 #"] * 6, "☃ once", "é twice é"]
    config = TokenizerConfig(kind=kind, vocab_size=45, character_coverage=0.98)
    tokenizer = Tokenizer.train(texts, config)
    assert 1 not in tokenizer.encode_batch(["😀 9 #"])[0]
    for rare in "☃é":
        assert 1 in tokenizer.encode_batch([rare])[0]
    everything = dataclasses.replace(config, character_coverage=1.0)
    assert 1 not in Tokenizer.train(texts, everything).encode_batch(["☃é"])[0]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_too_large_a_vocabulary_names_the_largest(kind):
    texts = make_texts(200)
    with pytest.raises(UserError, match=r"9000: .*vocab_size=\d+ or fewer") as caught:
        Tokenizer.train(texts, TokenizerConfig(kind=kind, vocab_size=9000))
    assert "\n" not in str(caught.value)
    largest = int(str(caught.value).split("vocab_size=")[1].split()[0])
    trained = Tokenizer.train(texts, TokenizerConfig(kind=kind, vocab_size=largest))
    assert trained.vocab_size == largest


@pytest.mark.parametrize("kind", ["word", "char"])
def test_the_vocabulary_of_words_and_characters_is_a_limit(kind):
    small = Tokenizer.train(["one two", "two three"], TokenizerConfig(kind=kind, vocab_size=900))
    assert small.vocab_size < 20
    assert len(small.encode_batch(["three two"])[0]) > 1


def test_too_small_a_vocabulary_says_what_is_needed():
    with pytest.raises(UserError, match="characters and special pieces"):
        Tokenizer.train(make_texts(50), TokenizerConfig(vocab_size=8))


def test_no_text_at_all():
    with pytest.raises(UserError, match="no text to learn from"):
        Tokenizer.train(["", " <br /> "], TokenizerConfig(vocab_size=20))


def test_sampling_caps_the_texts_the_same_way_each_time():
    texts = make_texts(300)
    config = TokenizerConfig(vocab_size=40, max_training_texts=50)
    first = Tokenizer.train(iter(texts), config)
    assert Tokenizer.train(texts, config).fingerprint == first.fingerprint
    full = dataclasses.replace(config, max_training_texts=300)
    assert Tokenizer.train(texts, full).fingerprint != first.fingerprint


def test_long_text_without_spaces_is_neither_lost_nor_fatal():
    rng = random.Random(0)
    text = "".join(rng.choices("电影很好看演员不错剧情无聊", k=100_000))
    for kind in ("unigram", "bpe"):
        tokenizer = Tokenizer.train([text], TokenizerConfig(kind=kind, vocab_size=40))
        (ids,) = tokenizer.encode_batch([text])
        assert tokenizer.decode(ids) == text == normalize(text, lowercase=False)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[5:], lambda b: b"", lambda b: b[:40] + b"x" + b[41:]]
)
def test_damaged_bytes_are_refused(tokenizer, damage):
    with pytest.raises(UserError, match="tokenizer cannot be read"):
        Tokenizer.from_bytes(damage(tokenizer.to_bytes()))


@pytest.mark.parametrize("kind", ["unigram", "word"])
def test_no_sign_hides_a_text_from_training(kind):
    hidden = [f"{text} \u2585" for text in make_texts(200)]
    config = TokenizerConfig(kind=kind, vocab_size={"unigram": 40, "word": 21}[kind])
    pieces = Tokenizer.train(hidden, config).pieces(range(16))
    assert "▁film" in pieces


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["<" + " " * 10**7 + "x", "x" * 10**7, "a\u0301\u0323" * 3_000_000]
)
def test_a_line_of_ten_megabytes_is_encoded_in_seconds(tokenizer, text):
    start = time.process_time()
    (ids,) = tokenizer.encode_batch([text])
    assert len(ids)
    assert time.process_time() - start < 60
