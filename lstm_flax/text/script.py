"""Scripts without spaces between words, such as Chinese and Thai, which are read by characters."""

import re
from collections.abc import Sequence

# Words keep inner apostrophes and hyphens ("don't", "well-made"); any other sign stands alone.
WORD = re.compile(r"\w+(?:['\-]\w+)*|[^\w\s]")
# Thai, Lao, Myanmar and Khmer; kana; ideographs. (Korean has spaces.)
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
_LETTER = re.compile(r"\w")


def has_no_spaces(texts: Sequence[str]) -> bool:
    """Returns True if most letters of some texts are in scripts without spaces between words.

    >>> has_no_spaces(["这部电影很好", "very good"]), has_no_spaces(["一 film"])
    (False, False)
    >>> has_no_spaces(["这部电影非常好看", "很 good"])
    True
    """
    letters = sum(len(_LETTER.findall(text)) for text in texts)
    without = sum(len(_WITHOUT_SPACES.findall(text)) for text in texts)
    return 2 * without > letters


def words_of(text: str) -> list[str]:
    """Splits a text into words and punctuation marks, like the `word` tokenizer.

    >>> words_of("don't stop!")
    ["don't", 'stop', '!']
    """
    return WORD.findall(text)
