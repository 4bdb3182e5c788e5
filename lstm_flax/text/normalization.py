"""Text normalisation, the same in training and in prediction.

The steps, in order:

1. HTML entities (only those closed by a semicolon) and breaks (`<br />`, `<p>`, `<hr>`);
2. C1 control characters, which are windows-1252 punctuation that was decoded as Latin-1;
3. typographic quotes and accents used as apostrophes become straight ones;
4. Unicode NFKC (full-width letters, half-width katakana, ligatures), emoji left as they are;
5. invisible characters are removed, every run of white space becomes one space;
6. optionally lower case.
"""

import functools
import html
import itertools
import re
import unicodedata
from typing import Any

NORMALIZATION_VERSION = 1  # part of every fingerprint: raise it when the result of any step changes

ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# No two runs of spaces stand side by side, or `<` and n spaces would be tried in n^2 ways.
BREAK = re.compile(r"<\s*(?:/\s*)?(?:br|p|hr)\s*(?:/\s*)?>", re.IGNORECASE)
SPACE = re.compile(r"\s+")
# Characters that NFKC would turn into letters although they stand for an emoji: anything followed
# by the emoji variation selector, and the enclosed letters and ideographs (a Japanese "free" sign).
EMOJI = re.compile("(.\ufe0f|[\U0001f100-\U0001f2ff])", re.DOTALL)
# More combining marks in a row than any script writes. All of them are among what is no letter,
# space or ASCII, but for the half-width voiced marks, which are letters and become such marks.
_MANY_MARKS = re.compile("(?:[^\\w\\s\\x00-\\x7f]|[\uff9e\uff9f]){31,}+")


def _windows_1252(code: int) -> str:
    try:
        return bytes([code]).decode("windows-1252")
    except UnicodeDecodeError:  # five codes are unassigned
        return " "


@functools.cache
def character_table() -> dict[int, str | None]:
    """Single characters with a fixed replacement, by code; None removes the character."""
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
    """The character of an HTML entity."""
    return html.unescape(match.group())


def _compose(text: str) -> str:
    """NFKC with emoji left as they are."""
    parts = EMOJI.split(text)
    parts[::2] = [
        unicodedata.normalize("NFKC", _MANY_MARKS.sub(_sort_marks, part)) for part in parts[::2]
    ]
    return "".join(parts)


def _sort_marks(match: re.Match[str]) -> str:
    """Decomposed, each run of combining marks in its canonical order.

    `unicodedata.normalize` would come to the same, but sorts a run in time quadratic in its length.
    """
    decomposed = [c for mark in match.group() for c in unicodedata.normalize("NFKD", mark)]
    runs = itertools.groupby(decomposed, key=lambda c: unicodedata.combining(c) > 0)
    return "".join(
        c for marks, run in runs for c in (sorted(run, key=unicodedata.combining) if marks else run)
    )


def normalize(text: str, lowercase: bool) -> str:
    r"""Normalises one text; empty when nothing visible is left.

    Args:
        text: any string, lone surrogates included.
        lowercase: fold to lower case.

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
    text = " ".join(text.split())  # what `SPACE` says, four times as fast
    return text.lower() if lowercase else text


def normalization_rules(lowercase: bool) -> dict[str, Any]:
    """The steps of `normalize` as plain values, for programs that do not have this package.

    They are applied in this order: `entity` is replaced by what HTML means with it; `break` by a
    space; each code point from first to last of `characters` by its replacement; the text between
    matches of `kept` becomes its `unicode` form; `space` becomes one space, none at the ends; at
    last `lowercase`.

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
