"""The exception for user mistakes, and helpers for its message."""

from collections.abc import Sequence


class UserError(ValueError):
    """A mistake that the user can fix.

    The message is one line that says what was wrong, where, and what to do next. The command line
    prints it without a traceback and exits with status 2.
    """


def some(items: Sequence[str], limit: int = 8, separator: str = ", ") -> str:
    """Lists the first few items, and how many more there are.

    >>> some(["a", "b", "c", "d"], limit=2)
    'a, b and 2 more'
    """
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return separator.join(items[:limit]) + more


def one_line(error: BaseException) -> str:
    """Formats an exception's message in one line of at most 200 characters; its type if empty.

    >>> one_line(EOFError())
    'EOFError'
    """
    try:
        words = str(error).split()
    except Exception:  # a program given as a configuration may raise anything
        words = []
    return " ".join(words)[:200] or type(error).__name__
