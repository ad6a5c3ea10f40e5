"""The one exception a user is meant to read."""


class UserError(Exception):
    """Bad input, in one line: what is wrong, where, and what to do about it.

    The command line prints it without a traceback and exits with code 2.
    """
