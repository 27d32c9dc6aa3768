"""The one exception that stands for the user's mistake."""


class UserError(Exception):
    """Something that the user can put right: one line that says what is wrong and what to do. The scripts print it and exit with 2."""
