"""Control characters of labels, names and texts: shown, never obeyed."""

import json
import logging
from pathlib import Path

import pytest

from lstm_flax.display import EscapingFormatter, escaped, escaped_lines, to_json

HOSTILE = ["\x1b]0;title\x07", "\x9b2J", "\u202egpj.exe", "\u2066a\u2069", "a\rb", "\x7f", "\ud800"]
HARMLESS = ["é", "漢字", "👩‍👩‍👧‍👦", "שלום", "a\u00a0b", "naïve — text"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_escaped(text: str) -> None:
    assert escaped(text).isprintable()
    line = to_json({"label": text})
    assert line.isprintable()
    assert json.loads(line) == {"label": text}
    formatter = EscapingFormatter("%(message)s")
    record = logging.LogRecord("a", logging.INFO, "", 0, "%s", (text,), None)
    assert formatter.format(record).isprintable()
    record = logging.LogRecord("a", logging.INFO, "", 0, "%s", (Path(text + "\n"),), None)
    assert formatter.format(record).isprintable()


@pytest.mark.parametrize("text", HARMLESS)
def test_letters_of_every_script_stay(text: str) -> None:
    assert escaped(text) == text
    assert to_json(text) == f'"{text}"'


def test_lines_stay_where_they_are_meant_and_numbers_that_json_has_not_are_refused() -> None:
    assert escaped("a\nb") == "a\\nb"
    assert escaped_lines("a\nb\x1b") == "a\nb\\x1b"
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"accuracy": float("nan")})
