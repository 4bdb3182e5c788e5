"""The one exception a user can cause, and words for its message."""

from collections.abc import Sequence


class UserError(ValueError):
    """A mistake the user can mend.

    The message is one line that says what was wrong, where, and what to do next. The command line
    prints it without a traceback and exits with status 2.
    """


def some(items: Sequence[str], limit: int = 8, separator: str = ", ") -> str:
    """The first few items, and how many more there are.

    >>> some(["a", "b", "c", "d"], limit=2)
    'a, b and 2 more'
    """
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return separator.join(items[:limit]) + more


def one_line(error: BaseException) -> str:
    """The message of an exception in one line of at most 200 characters; its kind if empty.

    >>> one_line(EOFError())
    'EOFError'
    """
    return " ".join(str(error).split())[:200] or type(error).__name__
