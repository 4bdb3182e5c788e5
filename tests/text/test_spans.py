"""Where tokens stand in the raw text: the same normalisation, with the places kept."""

import random

import numpy as np
import pytest

from lstm_flax.config import TokenizerConfig
from lstm_flax.text.normalization import normalize
from lstm_flax.text.spans import encode_with_spans, normalize_with_spans
from lstm_flax.text.tokenizer import Tokenizer

PIECES = [
    *"aB éé1１ΑΣİﬁ`“”\u200b\u00ad\ud800\ufe0f😀🇺🇸가각ㄱｶﾞ\t\n\x85\x00.,'-中映",
    "e\u0301", "\u1100\u1161\u11a8", "<br />", "<br/>", "&amp;", "&#65;", "&nbsp;", "☺\ufe0f",
    "fine",
]  # fmt: skip
TEXTS = ["a fine film, isn't it", "a dull film - not fine", "fine & dull 1 2", "映画 in 中"]


def random_texts(count: int) -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices(PIECES, k=rng.randint(0, 14))) for _ in range(count)]


@pytest.mark.parametrize("lowercase", [False, True])
def test_the_text_is_that_of_normalisation(lowercase: bool) -> None:
    for text in random_texts(3000):
        normalized, spans = normalize_with_spans(text, lowercase)
        assert normalized == normalize(text, lowercase)
        assert spans.shape == (len(normalized), 2)
        assert (spans[:, 0] < spans[:, 1]).all()
        assert (np.diff(spans[:, 0]) >= 0).all()
        assert spans.size == 0 or spans.max() <= len(text)


def test_letters_that_nothing_changes_stand_in_their_own_place() -> None:
    text = "x <br /> &lt;b “q” ﬁn\u0301e\u0301 İZ"
    normalized, spans = normalize_with_spans(text, lowercase=True)
    assert normalized == 'x <b "q" fińé i̇z'
    assert [text[a:b] for a, b in spans[:4]] == ["x", " <br /> ", "&lt;", "b"]
    assert [text[a:b] for a, b in spans[-7:]] == ["ﬁ", "n\u0301", "e\u0301", " ", "İ", "İ", "Z"]


@pytest.mark.parametrize("kind", ["word", "unigram", "bpe", "char"])
def test_tokens_of_every_tokenizer_stand_where_they_are(kind: str) -> None:
    config = TokenizerConfig(kind=kind, vocab_size=31 if kind == "unigram" else 45, num_threads=1)
    tokenizer = Tokenizer.train(TEXTS * 20, config, lowercase=True)
    for text in [*TEXTS, *random_texts(300)]:
        ids, spans = encode_with_spans(tokenizer, text)
        assert ids.tolist() == tokenizer.encode_batch([text])[0].tolist()
        assert (spans[:, 0] <= spans[:, 1]).all()
        assert (np.diff(spans[:, 0]) >= 0).all()
        assert spans.max() <= len(text)
    text = "A  FINE<br />film, isn't it"
    _, spans = encode_with_spans(tokenizer, text)
    assert "".join(text[a:b] for a, b in spans) == "AFINEfilm,isn'tit"


def test_a_text_of_which_nothing_is_left_is_one_unknown_token() -> None:
    config = TokenizerConfig(kind="word", vocab_size=100, num_threads=1)
    tokenizer = Tokenizer.train(TEXTS, config)
    ids, spans = encode_with_spans(tokenizer, "\u200b\u200b")
    assert (len(ids), spans.tolist()) == (1, [[0, 2]])
