"""Joins the words and punctuation marks of the `word` tokenizer into normally spaced text."""

from collections.abc import Sequence

_NO_SPACE_BEFORE = frozenset(".,;:!?)]}%/")
_NO_SPACE_AFTER = frozenset("([{$#/")
_REPEATED = frozenset("-*~_=")
_QUOTED_WORDS = 12  # a lone apostrophe opens a quotation only if another follows within so many


def join_words(words: Sequence[str], start: str = "") -> str:
    r"""Joins words with spaces, except around punctuation that attaches to a word.

    Quotation marks alternate between opening and closing. Lost spacing cannot be restored:
    "1995. 3 stars" becomes "1995.3 stars", because "8.5" must stay whole.

    >>> join_words('it was , as " they " said , 8 . 5 / 10 ( or so ) . . .'.split())
    'it was, as "they" said, 8.5/10 (or so)...'

    Args:
        words: as split by the tokenizer, none of them empty.
        start: text that they continue; it is not changed.

    Returns:
        The text, `start` included.
    """
    text = start
    is_open = {'"': start.count('"') % 2 == 1, "'": False}
    just_opened = is_open['"'] and start.endswith('"')
    for index, word in enumerate(words):
        if word in is_open:
            closes = is_open[word]
            soon = words[index + 1 : index + 1 + _QUOTED_WORDS]
            lone = word == "'" and not closes and "'" not in soon  # as in "the actors' faces"
            clings = closes or lone or just_opened
            is_open[word] = just_opened = not (closes or lone)
        else:
            clings = just_opened or _clings(text, word)
            just_opened = False
        text += word if clings or not text else f" {word}"
    return text


def _clings(text: str, word: str) -> bool:
    """Returns True if a word other than a quotation mark follows a text without a space."""
    if not text:
        return True
    last = text[-1]
    in_number = text[-2:-1].isdigit() and word[0].isdigit()
    in_number = in_number and (last in ".:" or (last == "," and len(word) == 3))
    return (
        word in _NO_SPACE_BEFORE
        or last in _NO_SPACE_AFTER
        or (word == last and word in _REPEATED)
        or in_number
    )
