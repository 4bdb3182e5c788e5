"""Pages: whatever stands in a text stays text, nothing leaves the page, and it stays small."""

import base64
import dataclasses
import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from lstm_flax.inference.explanation import Explanation, WordContribution
from lstm_flax.inference.predictor import Predictor
from lstm_flax.inference.states import States
from lstm_flax.reports.explanation_page import explanation_page
from lstm_flax.reports.heat_map import colours, heat_map
from lstm_flax.reports.page import markup, page

EVIL = [
    "<script>alert(1)</script> superb",
    '"><img src=x onerror=alert(1)> dull',
    "' onmouseover='alert(1)",
    "film \u202egnp.exe\u202c \u2066moving",
    "nul \0 here \x1b[31m and half \ud800 of a pair",
    "</style><style>@import url(http://evil.example)</style>",
    "&lt;script&gt; &#60;b&#62; %3Cscript%3E",
    "שלום superb עולם \u200f!",
]
LABELS = ("</bdi><script>neg", "pos'\"\u202e $x^$")
VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Parses strictly: elements nest, and those that are allowed are counted."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: dict[str, int] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(content)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] = self.elements.get(tag, 0) + 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data


def check_closed(content: str) -> Page:
    """Makes sure that a page holds nothing that runs or asks for anything."""
    parsed = Page(content)
    assert not set(parsed.elements) & {
        "script", "iframe", "object", "embed", "link", "base", "form", "audio", "video", "svg",
    }  # fmt: skip
    for tag, name, value in parsed.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in {"href", "srcset", "action", "style"}
        if name == "src":
            assert value.startswith("data:image/"), value[:60]
    assert "default-src 'none'" in content
    style = "".join(re.findall(r"<style>(.*?)</style>", content, re.DOTALL))
    assert content.count("<style") == 1
    assert "url(" not in style
    assert "@import" not in style
    # Outside pictures and text there is no address at all.
    assert "http" not in re.sub(r">[^<]*<", "><", style)
    return parsed


@pytest.fixture(scope="module")
def evil(ngram_predictor: Predictor) -> tuple[list[Explanation], list[States]]:
    explanations = ngram_predictor.explain(EVIL)
    named = [
        dataclasses.replace(explanation, label=LABELS[i % 2])
        for i, explanation in enumerate(explanations)
    ]
    return named, [ngram_predictor.states(text) for text in EVIL]


def test_no_text_can_become_markup(evil: tuple[list[Explanation], list[States]]) -> None:
    content = explanation_page(*evil, title="<b>Why")
    content.encode("utf-8")
    parsed = check_closed(content)
    assert not set(content) & set("\0\x1b\u202e\u202c\u2066")
    assert parsed.elements["section"] == len(EVIL)
    assert "<script>alert(1)</script> superb" in parsed.text
    assert "</style><style>@import" in parsed.text
    assert "&lt;script&gt; &#60;b&#62; %3Cscript%3E" in parsed.text
    assert "שלום superb עולם \u200f!" in parsed.text
    assert "<b>Why" in parsed.text


def test_a_page_of_two_hundred_reviews_stays_small(
    evil: tuple[list[Explanation], list[States]],
) -> None:
    rng = np.random.default_rng(0)
    explanation, states = evil[0][0], evil[1][0]
    words, text = [], ""
    for _ in range(400):  # as many as the packaged model reads of a review
        word = "".join(rng.choice(list("abcdefgh"), rng.integers(2, 9)))
        words.append(WordContribution(word, len(text), len(text) + len(word), rng.normal(), 0.1))
        text += word + " "
    many = dataclasses.replace(explanation, text=text, words=tuple(words))
    tokens = tuple(states.tokens[0] for _ in words)
    wide = rng.normal(size=(400, 64)).astype(np.float32)
    direction = dataclasses.replace(
        states.directions[0], outputs=wide, cell=wide, gates=dict.fromkeys("ifgo", np.abs(wide))
    )
    long = dataclasses.replace(states, tokens=tokens, directions=(direction, direction))
    content = explanation_page([many] * 200, [long] * 200)
    assert len(content.encode()) < 5e6


def test_without_words_or_states_there_is_a_page() -> None:
    nothing = Explanation("", "x", 0.5, 0.0, 0.0, (), 0.0, 0.0, 1)
    check_closed(explanation_page([nothing]))
    check_closed(page("t", markup(None)))


@pytest.mark.parametrize("signed", [False, True])
def test_a_heat_map_is_the_array(signed: bool) -> None:
    palette = colours(signed)
    levels = np.random.default_rng(0).integers(0, 15, (4, 7))
    address = heat_map(levels / 7 - 1 if signed else levels / 14, signed)
    png = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    chunks, at = {}, 8
    while at < len(png):
        (size,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        data = png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            kind + data
        )
        chunks[kind] = data
        at += 12 + size
    assert struct.unpack(">IIBB", chunks[b"IHDR"][:10]) == (7, 4, 4, 3)
    assert np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3).tolist() == [
        list(colour) for colour in palette
    ]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(4, -1)[:, 1:]
    found = np.stack([rows >> 4, rows & 15], axis=-1).reshape(4, -1)[:, :7]
    np.testing.assert_array_equal(found, levels)


def test_a_browser_opens_the_page_and_asks_for_nothing(
    evil: tuple[list[Explanation], list[States]], tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no headless browser (chromium or google-chrome) is installed")
    path = tmp_path / "why.html"
    path.write_text(explanation_page(*evil), encoding="utf-8")
    run = subprocess.run(
        [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
            f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={tmp_path / 'net.json'}",
            path.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    check_closed(run.stdout)
    assert "evil.example" not in (tmp_path / "net.json").read_text()
