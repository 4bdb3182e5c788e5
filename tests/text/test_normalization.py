import random
import string
import time
import unicodedata

import pytest

from lstm_flax.text.hashing import text_hash
from lstm_flax.text.normalization import normalize


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("one<br /><br />two<BR>three< br/ >four</p><p>five", "one two three four five"),
        (
            "&quot;R&amp;D&quot; &#39;x&#39; AT&T; &unknown; 3 &lt; 4",
            "\"R&D\" 'x' AT&T; &unknown; 3 < 4",
        ),
        ("\u2018don\u2019t\u2019 \u201cfine\u201d don\u00b4t `so'", "'don't' \"fine\" don't 'so'"),
        ("\x93quoted\x94 it\x92s \x96 wait\x85 caf\xe9", '"quoted" it\'s – wait... café'),
        ("a\x00b\tc\r\nd\x1fe\x7ff\u2028g\u3000h", "a b c d e f g h"),
        ("zero\u200bwidth\ufeff\u00ad \u202eleft", "zerowidth left"),
        ("ｶﾞﾝﾀﾞﾑ！ＡＢＣ　１２３", "ガンダム!ABC 123"),
        ("这部电影很好。太棒了！", "这部电影很好。太棒了!"),
        ("e\u0301te\u0301", "été"),
        ("\ud83d broken", "\ufffd broken"),
        (" \u200b<br /> &nbsp; ", ""),
        ("", ""),
    ],
)
def test_each_step(raw, expected):
    assert normalize(raw, lowercase=False) == expected


@pytest.mark.parametrize(
    "emoji", ["👩‍👩‍👧‍👦", "ℹ️", "™️", "❤️‍🔥", "👍🏽", "🇩🇪", "🆓", "🈚", "1️⃣", "🏴‍☠️"]
)
def test_emoji_sequences_stay_whole(emoji):
    assert normalize(f"ﬁne {emoji} film", lowercase=False) == f"fine {emoji} film"


def test_lower_case_folds_beyond_ascii():
    assert normalize("ÄRGER Film ΣΑΝ", lowercase=True) == "ärger film σαν"


def test_any_string_gives_one_clean_line():
    rng = random.Random(0)
    alphabet = (
        [chr(c) for c in range(0x180)]
        + list("\u200d\ufe0f\u2028漢字😀ﾊﾟ\ud800")
        + ["<br />", "&#150;"]
    )
    for _ in range(500):
        text = "".join(rng.choices(alphabet, k=rng.randrange(40)))
        line = normalize(text, lowercase=False)
        line.encode("utf-8")
        assert line == line.strip()
        assert "  " not in line
        assert not set(line) & {chr(c) for c in [*range(0x20), *range(0x7F, 0xA0)]}


def test_hash_is_of_the_normalised_text_and_fixed_for_ever():
    assert text_hash("A  <br />Fine film") == text_hash("a fine FILM")
    assert text_hash("a fine film") != text_hash("a fine film.")
    # The committed film table depends on this value.
    assert text_hash("a fine film") == 0xFA121A357DA93742
    texts = {"".join(random.Random(i).choices(string.ascii_lowercase, k=9)) for i in range(2000)}
    assert len({text_hash(text) for text in texts}) == len(texts)


MARKS = [
    chr(code)
    for code in range(0x20000)
    if not 0xD800 <= code < 0xE000
    and unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])
]


def test_long_runs_of_combining_marks_become_what_nfkc_says():
    rng = random.Random(0)
    signs = MARKS + list("aéかﾊ가각！。漢🎬")
    for _ in range(300):
        text = "".join(rng.choices(signs, k=rng.randint(1, 120)))
        # The steps before and after NFKC change none of these characters.
        assert normalize(f"ñ{text}", lowercase=False) == unicodedata.normalize("NFKC", f"ñ{text}")


@pytest.mark.parametrize(
    "text",
    [
        "<" + " " * 200_000 + "x",
        "<br" + "\n" * 200_000 + "x",
        "< / " * 250_000,
        "a" + "\u0301\u0323" * 500_000,
        "か" + "\uff9e\u0301" * 500_000,
        "&" * 1_000_000,
        "x\ufe0f" * 500_000,
    ],
    ids=["tag of spaces", "break", "tags", "accents", "voiced marks", "entities", "emoji"],
)
def test_time_is_linear_in_the_text_whatever_it_is(text):
    start = time.process_time()
    normalize(text, lowercase=True)
    assert time.process_time() - start < 5  # a second or less; with n^2 steps, minutes
