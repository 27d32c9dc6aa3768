"""A dataclass field as an argument of argparse: its flag, its type and its help. Does not import TensorFlow."""

import argparse
import dataclasses
import functools
import pathlib
import re
import typing
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from common import surroundings
from common.errors import UserError, did_you_mean
from common.fields import flag_of, type_of

_METAVARS = {int: "N", float: "X", str: "TEXT", pathlib.Path: "PATH"}


class Flag(NamedTuple):
    """One flag: its name as typed, the type of its values, its default, and what --help says."""

    flag: str
    kind: Any
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    common: bool = False
    negatable: bool = False
    alias: str = ""
    bare: Any = None

    def add(self, parser: argparse._ArgumentGroup, shown: bool) -> None:
        """Add it to a parser; `shown` says whether help lists it."""
        text = argparse.SUPPRESS if not shown else (self.help + self._default()).replace("%", "%%")
        options: dict[str, Any] = {"dest": self.flag, "default": argparse.SUPPRESS, "help": text}
        if self.kind is bool and self.negatable:
            options["action"] = argparse.BooleanOptionalAction
        elif self.kind is bool:
            options["action"] = "store_false" if self.flag.startswith("--no-") else "store_true"
        else:
            kind, options["nargs"] = _values_of(self.kind)
            options["type"] = functools.partial(_convert, kind, self.choices)
            if self.bare is not None:
                options |= {"nargs": "?", "const": self.bare}
            options["metavar"] = self.metavar or (f"{{{','.join(self.choices)}}}" if self.choices else _METAVARS[kind])
        parser.add_argument(self.flag, *filter(None, [self.alias]), **options)

    def _default(self) -> str:
        if self.kind is bool and self.negatable:
            return " (default: on)" if self.default else " (default: off)"
        if self.kind is bool or self.bare is not None or self.default in (None, (), "") or "(default" in self.help:
            return ""
        values = self.default if isinstance(self.default, tuple) else (self.default,)
        if all(value is None for value in values):
            return ""
        return f" (default: {' '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in values)})"


def _values_of(kind: Any) -> tuple[Any, str | int | None]:
    """Return the type of a single value, and argparse's `nargs`."""
    if typing.get_origin(kind) is not tuple:
        return kind, None
    members = typing.get_args(kind)
    return members[0], "+" if members[-1] is Ellipsis else len(members)


def _convert(kind: Any, choices: Sequence[str], text: str) -> Any:
    if choices and text not in choices:
        raise argparse.ArgumentTypeError(
            f"must be {'one of ' * (len(choices) > 1)}{', '.join(choices)}, got {text!r}{did_you_mean(text, choices)}"
        )
    if kind is pathlib.Path:
        return surroundings.path(text)
    try:
        return getattr(kind, "parse", kind)(text)
    except ValueError:
        wanted = {int: "a whole number", float: "a number"}[kind]
        raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}") from None


def flags_of(kind: type, defaults: Any = None, names: Collection[str] = (), negatable: bool = False) -> list[Flag]:
    """Return a flag for each field of a dataclass, or for those of `names`; defaults are those of an object."""
    flags = []
    for field in dataclasses.fields(kind):
        if not field.metadata or (names and field.name not in names):
            continue
        default = getattr(defaults, field.name) if defaults is not None else field.default
        data, positive = field.metadata, negatable and type_of(field) is bool
        text = (flag_of(field), type_of(field), default, data["help"])
        shown = (data["metavar"], data["common"], positive, data["alias"], data["bare"])
        flags.append(Flag(*text, data["choices"], *shown))
    return flags


class Parser(argparse.ArgumentParser):
    """A parser whose errors are UserErrors, in this project's words."""

    def error(self, message: str) -> typing.NoReturn:
        """Raise UserError."""
        message = re.sub(r"^argument (--[\w-]+)[^:]*: ", r"\1 ", message)
        for theirs, ours in (
            (r"expected one argument", "needs a value"),
            (r"expected (at least one|\d+) arguments?", r"needs \1 value(s)"),
            (r"ignored explicit argument", "takes no value, got"),
        ):
            message = re.sub(theirs, ours, message)
        raise UserError(message)
