r"""Escapes text that could control a terminal or mislead a reader.

Labels, file names and texts come from anywhere. Terminals obey control characters; bidirectional
overrides change the displayed order of text. Everything printed goes through this module.
"""

import copy
import json
import logging
import re
from pathlib import Path
from typing import Any

# C0, DEL, C1, line and paragraph separators, marks that change the direction of text, and lone
# surrogates, which cannot be encoded.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escaped(text: str) -> str:
    r"""Returns the text in one line, with control characters escaped as in Python.

    >>> print(escaped("a\x1b[2Jb\x9b\u202e\nc"))
    a\x1b[2Jb\x9b\u202e\nc
    """
    return _UNSAFE.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def escaped_lines(text: str) -> str:
    r"""Escapes several lines, each as in `escaped`.

    >>> print(escaped_lines("a\nb\x1b"))
    a
    b\x1b
    """
    return "\n".join(map(escaped, text.split("\n")))


def to_json(value: Any) -> str:
    r"""Formats JSON in one line, with control characters escaped but letters of all scripts kept.

    >>> print(to_json({"label": "é\x1b\x9b\u202e"}))
    {"label": "é\u001b\u009b\u202e"}

    Raises:
        ValueError: a number is not finite, which JSON cannot represent.
    """
    content = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", content)


class EscapingFormatter(logging.Formatter):
    """Formats log messages with control characters escaped, and line breaks in paths too."""

    def format(self, record: logging.LogRecord) -> str:
        """Formats the message, including its traceback."""
        if isinstance(record.args, tuple):
            values = (escaped(str(v)) if isinstance(v, Path) else v for v in record.args)
            record = copy.copy(record)  # other handlers get the arguments as they were
            record.args = tuple(values)
        return escaped_lines(super().format(record))
