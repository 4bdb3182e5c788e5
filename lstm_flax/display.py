r"""Texts shown so that they can do nothing to a terminal or to the reader's eye.

Labels, file names and texts come from anywhere. A terminal obeys control characters; bidirectional
overrides show text in another order than it is in. Whatever is printed goes through this file.
"""

import json
import logging
import re
from pathlib import Path
from typing import Any

# C0, DEL, C1, line and paragraph separators, marks that turn the direction of text, and lone
# surrogates, which cannot be encoded.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escaped(text: str) -> str:
    r"""The text in one line, with control characters as Python writes them.

    >>> print(escaped("a\x1b[2Jb\x9b\u202e\nc"))
    a\x1b[2Jb\x9b\u202e\nc
    """
    return _UNSAFE.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def escaped_lines(text: str) -> str:
    r"""Several lines, each as `escaped` has it.

    >>> print(escaped_lines("a\nb\x1b"))
    a
    b\x1b
    """
    return "\n".join(map(escaped, text.split("\n")))


def to_json(value: Any) -> str:
    r"""JSON in one line, with letters of every script as they are and control characters escaped.

    >>> print(to_json({"label": "é\x1b\x9b\u202e"}))
    {"label": "é\u001b\u009b\u202e"}

    Raises:
        ValueError: a number is not finite; JSON has no such numbers.
    """
    content = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", content)


class EscapingFormatter(logging.Formatter):
    """Formats messages of the log with control characters escaped, and line breaks of paths too."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, its traceback included."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                escaped(str(value)) if isinstance(value, Path) else value for value in record.args
            )
        return escaped_lines(super().format(record))
