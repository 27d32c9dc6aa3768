"""Errors that are reported as one line instead of a stack trace."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can correct: one line says what is wrong and what to do. The scripts exit with 2."""

    exit_code = 2

    def __init__(self, message: str):
        super().__init__(printable(message))


class Diverged(UserError):
    """A loss or a variable is not finite. The scripts exit with 1."""

    exit_code = 1


class Stuck(Exception):
    """A run is unlikely to succeed: it should start again, with other initial weights."""


class Interrupted(UserError):
    """A signal ended training; the state is saved. The scripts exit with 128 + its number."""

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + number


def printable(text: str) -> str:
    """Escape control characters: file names are untrusted, and a message is one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its class if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ": did you mean X?" for the nearest of the known words, or nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f": did you mean {near[0]}?" if near else ""
