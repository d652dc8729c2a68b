"""The one exception that front ends show to a user."""


class NeurratorError(Exception):
    """Something the user can mend.

    ``str(error)`` is one plain sentence: what is wrong, where, and what to do. The command line prints it and exits with code 2;
    the window shows it as a notification.
    """


class Stopped(Exception):
    """The user asked the work in progress to stop."""
