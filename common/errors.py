"""The errors that are answered with one line instead of a stack trace, and what others say in one line."""


class UserError(Exception):
    """Something that the user can put right: one line that says what is wrong and what to do. The scripts print it and exit with 2."""

    exit_code = 2

    def __init__(self, message: str):
        # What a file, or the name of one, puts into it becomes neither a second line nor a command to the terminal.
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


class Diverged(UserError):
    """Training arrived at a loss or a variable that is not finite; the scripts exit with 1."""

    exit_code = 1


class Interrupted(UserError):
    """A signal ended training after a whole step, which was saved; the scripts exit with 128 + its number."""

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + number


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
