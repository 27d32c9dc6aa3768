"""The one exception that stands for the user's mistake, and what others say in one line."""


class UserError(Exception):
    """Something that the user can put right: one line that says what is wrong and what to do. The scripts print it and exit with 2."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
