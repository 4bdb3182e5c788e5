"""The one exception a user can cause."""


class UserError(ValueError):
    """A mistake the user can mend.

    The message is one line that says what was wrong, where, and what to do next. The command line
    prints it without a traceback and exits with status 2.
    """
