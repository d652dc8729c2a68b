"""The one exception that front ends show to a user."""


class NeurratorError(Exception):
    """Something the user can mend.

    ``str(error)`` is one plain sentence: what is wrong, where, and what to do. The command line prints it and exits with code 2;
    the window shows it as a notification.
    """


class Stopped(Exception):
    """The user asked the work in progress to stop."""


def in_words(error: BaseException) -> str:
    """Return what to tell the user of an error: its own sentence where it has one, else its kind, too."""
    return str(error) if isinstance(error, NeurratorError | OSError) else f"{type(error).__name__}: {error}"
