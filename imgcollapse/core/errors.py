"""The one exception a user is meant to read."""

from imgcollapse.core.text import one_line


class UserError(Exception):
    """Bad input, in one line: what is wrong, where, and what to do about it.

    The command line prints it without a traceback and exits with code 2. Names out of files may be
    in it: whatever they hold, it stays one line that shows what it says.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))
