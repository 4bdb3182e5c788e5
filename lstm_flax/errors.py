"""The one exception a user can cause, and how others are quoted in its message."""


class UserError(ValueError):
    """A mistake the user can mend.

    The message is one line that says what was wrong, where, and what to do next. The command line
    prints it without a traceback and exits with status 2.
    """


def one_line(error: BaseException) -> str:
    """What an exception says, as one line of at most 200 characters; its kind if it says nothing.

    >>> one_line(EOFError())
    'EOFError'
    """
    return " ".join(str(error).split())[:200] or type(error).__name__
