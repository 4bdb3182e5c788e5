"""Text normalisation, identical in training and in prediction.

The steps, in order:

1. HTML entities (only those closed by a semicolon) and breaks (`<br />`, `<p>`, `<hr>`);
2. C1 control characters, which are windows-1252 punctuation wrongly decoded as Latin-1;
3. typographic quotes, and accents used as apostrophes, become straight quotes;
4. Unicode NFKC (full-width letters, half-width katakana, ligatures), except for emoji;
5. invisible characters are removed, and every run of white space becomes one space;
6. optionally, lower case.
"""

import functools
import html
import itertools
import re
import unicodedata
from typing import Any

NORMALIZATION_VERSION = 1  # part of every fingerprint: increase it when any step's result changes

ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# Two runs of spaces never stand side by side; otherwise `<` and n spaces would take n^2 attempts.
BREAK = re.compile(r"<\s*(?:/\s*)?(?:br|p|hr)\s*(?:/\s*)?>", re.IGNORECASE)
SPACE = re.compile(r"\s+")
# Characters that NFKC would turn into letters although they represent an emoji: any character
# followed by the emoji variation selector, and the enclosed letters and ideographs (such as a
# Japanese "free" sign).
EMOJI = re.compile("(.\ufe0f|[\U0001f100-\U0001f2ff])", re.DOTALL)
# More combining marks in a row than any script uses. All are outside letters, spaces and ASCII,
# except the half-width voiced marks, which are letters that become such marks.
_MANY_MARKS = re.compile("(?:[^\\w\\s\\x00-\\x7f]|[\uff9e\uff9f]){31,}+")


def _windows_1252(code: int) -> str:
    try:
        return bytes([code]).decode("windows-1252")
    except UnicodeDecodeError:  # five codes are unassigned
        return " "


@functools.cache
def character_table() -> dict[int, str | None]:
    """Maps single characters to fixed replacements, by code point; None removes the character."""
    table: dict[int, str | None] = {}
    table.update(dict.fromkeys(range(32), " "))  # C0 controls, tab and newline included
    table[0x7F] = " "
    table.update({code: _windows_1252(code) for code in range(0x80, 0xA0)})
    # NFKC would make "don´t" into "don ́t", so the accents are mapped before it.
    table.update({ord(c): "'" for c in "\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4`\x91\x92"})
    table.update({ord(c): '"' for c in "\u201c\u201d\u201e\u201f\u2033\x84\x93\x94"})
    # Zero-width space, soft hyphen, byte-order mark, direction marks. The zero-width joiner (emoji)
    # and non-joiner (Persian, Indic scripts) carry meaning and stay.
    invisible = [0x00AD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF]
    invisible += [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    table.update(dict.fromkeys(invisible))
    table.update(dict.fromkeys(range(55296, 57344), "�"))  # not encodable in UTF-8
    return table


def unescape(match: re.Match[str]) -> str:
    """Returns the character of an HTML entity."""
    return html.unescape(match.group())


def _compose(text: str) -> str:
    """Applies NFKC to all but emoji."""
    parts = EMOJI.split(text)
    parts[::2] = [
        unicodedata.normalize("NFKC", _MANY_MARKS.sub(_sort_marks, part)) for part in parts[::2]
    ]
    return "".join(parts)


def _sort_marks(match: re.Match[str]) -> str:
    """Decomposes the text and puts each run of combining marks in canonical order.

    `unicodedata.normalize` gives the same result, but its sorting takes quadratic time in the
    length of a run.
    """
    decomposed = [c for mark in match.group() for c in unicodedata.normalize("NFKD", mark)]
    runs = itertools.groupby(decomposed, key=lambda c: unicodedata.combining(c) > 0)
    return "".join(
        c for marks, run in runs for c in (sorted(run, key=unicodedata.combining) if marks else run)
    )


def normalize(text: str, lowercase: bool) -> str:
    r"""Normalises one text; the result is empty if nothing visible remains.

    Args:
        text: any string, lone surrogates included.
        lowercase: True folds to lower case.

    Returns:
        One line without leading, trailing or double spaces.

    >>> normalize("A <br /><br />“fine” film &amp; more\x85", lowercase=True)
    'a "fine" film & more...'
    """
    if "&" in text:
        text = ENTITY.sub(unescape, text)
    if "<" in text:
        text = BREAK.sub(" ", text)
    if not text.isascii():
        text = _compose(text.translate(character_table()))
    elif not text.isprintable() or "`" in text:
        text = text.translate(character_table())
    text = " ".join(text.split())  # same result as `SPACE`, four times as fast
    return text.lower() if lowercase else text


def normalization_rules(lowercase: bool) -> dict[str, Any]:
    """Returns the steps of `normalize` as plain values, for programs without this package.

    Apply them in this order: replace `entity` by its HTML meaning; replace `break` by a space;
    in each range (first, last, replacement) of `characters`, replace every code point by the
    replacement; convert the text between matches of `kept` to its `unicode` form; collapse `space`
    to one space, with none at the ends; finally apply `lowercase`.

    >>> rules = normalization_rules(lowercase=True)
    >>> rules["unicode"], rules["characters"][0]
    ('NFKC', (0, 31, ' '))
    """
    runs: list[tuple[int, int, str]] = []
    for code, replacement in sorted(character_table().items()):
        if runs and runs[-1][1:] == (code - 1, replacement or ""):
            runs[-1] = (runs[-1][0], code, replacement or "")
        else:
            runs.append((code, code, replacement or ""))
    return {
        "version": NORMALIZATION_VERSION,
        "entity": ENTITY.pattern,
        "break": f"(?i){BREAK.pattern}",
        "characters": runs,
        "kept": f"(?s){EMOJI.pattern}",
        "unicode": "NFKC",
        "space": SPACE.pattern,
        "lowercase": lowercase,
    }
