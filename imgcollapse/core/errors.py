"""The exceptions that end a command with one line."""

from imgcollapse.core.sanitize import one_line


class UserError(Exception):
    """Bad input, in one line: what is wrong, where, and what to do about it.

    The command line prints it without a traceback and exits with code 2. Whatever names out of
    files are in it, it stays one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class Diverged(UserError):  # noqa: N818
    """A model, or what it draws, is no longer made of numbers, and a second try ended so too.

    Its lineage ends there and other lineages go on; the command exits with code 1.
    """


class Stopped(Exception):  # noqa: N818
    """Asked to stop by a signal: what was done is kept, and the same command goes on.

    The command line exits with code 75 (EX_TEMPFAIL of sysexits.h): put it in the queue again.
    """
