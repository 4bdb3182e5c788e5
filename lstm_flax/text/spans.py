"""Maps each character of a normalised text, and each token, to its position in the raw text.

>>> normalized, spans = normalize_with_spans("A<br />fine &amp; sad ﬁlm", lowercase=True)
>>> normalized
'a fine & sad film'
>>> spans[7].tolist(), spans[13].tolist(), spans[14].tolist()  # "&", and both letters of the "fi"
([12, 17], [22, 23], [22, 23])

The steps repeat those of `normalization.normalize` one by one; a test checks that results agree.
"""

import re
import unicodedata
from collections.abc import Callable

import numpy as np

from lstm_flax.text.normalization import BREAK, EMOJI, ENTITY, SPACE, character_table, unescape
from lstm_flax.text.tokenizer import Tokenizer

_Spans = list[tuple[int, int]]


def normalize_with_spans(text: str, lowercase: bool) -> tuple[str, np.ndarray]:
    """Normalises one text and returns where each character comes from.

    Args:
        text: any string.
        lowercase: True folds to lower case.

    Returns:
        The result of `normalize`, and for each of its n characters the part of the raw text that it
        was made from: i64[n, 2], start and end.
    """
    spans: _Spans = [(i, i + 1) for i in range(len(text))]
    text, spans = _substitute(text, spans, ENTITY, unescape)
    text, spans = _substitute(text, spans, BREAK, lambda _: " ")
    if not text.isascii():
        text, spans = _compose(*_translate(text, spans))
    elif not text.isprintable() or "`" in text:
        text, spans = _translate(text, spans)
    text, spans = _substitute(text, spans, SPACE, lambda _: " ")
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    text, spans = text[start:end], spans[start:end]
    if lowercase:
        # One letter may become two. The neighbours may decide which letters, but not how many.
        spans = [span for c, span in zip(text, spans, strict=True) for _ in c.lower()]
        text = text.lower()
    return text, np.array(spans, np.int64).reshape(-1, 2)


def encode_with_spans(tokenizer: Tokenizer, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Encodes one text and returns each token's position in it.

    >>> texts = ["A fine film!", "a fine, fine film"]
    >>> from lstm_flax.text.encoder import TextEncoder
    >>> tokenizer = TextEncoder.fit(texts, [1, 1]).tokenizer
    >>> ids, spans = encode_with_spans(tokenizer, "A  fine&nbsp;film!")
    >>> [("A  fine&nbsp;film!")[start:end] for start, end in spans]
    ['A', 'fine', 'film', '!']

    Args:
        tokenizer: splits the text.
        text: raw.

    Returns:
        The ids i32[n] of `Tokenizer.encode_batch`, and i64[n, 2], start and end of each token in
        the raw text, without the space before it. A token that is only a space has equal start and
        end.
    """
    normalized, spans = normalize_with_spans(text, tokenizer.lowercase)
    ids = tokenizer.encode_batch([text])[0]
    pieces, places = tokenizer.surfaces(normalized)
    if len(pieces) != len(ids):  # nothing is left of the text, so it is one unknown token
        return ids, np.array([[0, len(text)]] * len(ids), np.int64)
    ends = np.cumsum([len(piece) for piece in pieces]) - 1  # the first space is not in the text
    found = np.zeros((len(ids), 2), np.int64)
    for i, (piece, end) in enumerate(zip(pieces, ends, strict=True)):
        start = end - len(piece.lstrip("▁"))
        first = spans[places[min(start, len(places) - 1)], 0]
        found[i] = first, (spans[places[end - 1], 1] if end > start else first)
    return ids, found


def _substitute(
    text: str, spans: _Spans, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]
) -> tuple[str, _Spans]:
    """Applies `pattern.sub`; every character of a replacement gets the span of its match."""
    parts: list[str] = []
    moved: _Spans = []
    done = 0
    for match in pattern.finditer(text):
        start, end = match.span()
        new = replace(match)
        parts += [text[done:start], new]
        moved += spans[done:start] + [(spans[start][0], spans[end - 1][1])] * len(new)
        done = end
    return "".join([*parts, text[done:]]), moved + spans[done:]


def _translate(text: str, spans: _Spans) -> tuple[str, _Spans]:
    """Applies `text.translate` with the normalisation table."""
    table = character_table()
    new = [table.get(ord(c), c) or "" for c in text]
    return "".join(new), [span for part, span in zip(new, spans, strict=True) for _ in part]


def _compose(text: str, spans: _Spans) -> tuple[str, _Spans]:
    """Applies NFKC to all but emoji, one base character and its marks at a time."""
    done, composed = 0, ""
    moved: _Spans = []
    for k, part in enumerate(EMOJI.split(text)):
        of_part = spans[done : done + len(part)]
        done += len(part)
        if k % 2 or not part:
            composed, moved = composed + part, moved + of_part
            continue
        whole = unicodedata.normalize("NFKC", part)
        starts = [i for i, c in enumerate(part) if i == 0 or _starts_cluster(c)]
        new: list[str] = []
        new_spans: _Spans = []
        for start, end in zip(starts, [*starts[1:], len(part)], strict=True):
            cluster = unicodedata.normalize("NFKC", part[start:end])
            new.append(cluster)
            new_spans += [(of_part[start][0], of_part[end - 1][1])] * len(cluster)
        if "".join(new) != whole:  # clusters that combine: only the span of the whole part is known
            new_spans = [(of_part[0][0], of_part[-1][1])] * len(whole)
        composed, moved = composed + whole, moved + new_spans
    return composed, moved


def _starts_cluster(character: str) -> bool:
    """Returns False for marks, and for the vowels and finals that combine in Hangul."""
    if "\u1160" <= character <= "\u11ff" or "\uff9e" <= character <= "\uff9f":
        return False
    decomposed = unicodedata.normalize("NFKD", character)
    return unicodedata.combining(decomposed[0]) == 0
