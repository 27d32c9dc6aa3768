"""Dataclass fields that carry their help and range: flags, their checks and --help follow from them.

Does not import TensorFlow.
"""

import dataclasses
import math
import types
import typing
from typing import Any

from common.errors import UserError


def described(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: int | None = None,
    choices: tuple[str, ...] = (),
    flag: str | None = None,
    metavar: str | None = None,
    common: bool = False,
    alias: str = "",
    bare: Any = None,
) -> Any:
    """Declare a dataclass field together with its help text and its range.

    Args:
        default: its default.
        help: its help text, which begins with a noun or a verb.
        minimum: the least value; of a tuple, of each of its members.
        above: a value that it must exceed.
        below: a value that it must not reach.
        choices: the texts that it may be.
        flag: its flag, if that is not `--` and the name of the field; `--no-x` for a bool that is true by default.
        metavar: what --help shows for the value.
        common: whether --help shows it; --help-all shows all.
        alias: another name of its flag, which fits some systems better.
        bare: the value of its flag without a value; None if that is an error.
    """
    limits = {"minimum": minimum, "above": above, "below": below, "choices": choices}
    shown = {"help": help, "flag": flag, "metavar": metavar, "common": common, "alias": alias, "bare": bare}
    return dataclasses.field(default=default, metadata={**limits, **shown})


def with_default(base: type, name: str, default: Any) -> Any:
    """Declare the field `name` of the dataclass `base` again, with another default."""
    return dataclasses.field(default=default, metadata=base.__dataclass_fields__[name].metadata)


def flag_of(field: dataclasses.Field | str) -> str:
    """Return the flag of a field, or of the field of that name, as it is typed."""
    name = field if isinstance(field, str) else field.name
    own = None if isinstance(field, str) else field.metadata.get("flag")
    return own or "--" + name.replace("_", "-")


def type_of(field: dataclasses.Field) -> Any:
    """Return the type of a field's values, without None."""
    kinds = typing.get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)
    return next(kind for kind in kinds if kind is not type(None))


def require_ranges(instance: Any) -> None:
    """Raise UserError, naming the flag, unless each field of a dataclass has its type and range."""
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        wanted = _unmet_condition(field, value) if field.metadata else None
        if wanted:
            raise UserError(f"{flag_of(field)} must be {wanted}, got {value}")


def _unmet_condition(field: dataclasses.Field, value: Any) -> str | None:
    """Return what `value` should be, or None if it is."""
    kind, limits = type_of(field), field.metadata
    if value is None and isinstance(field.type, types.UnionType):
        return None
    if limits["choices"]:
        allowed = value in limits["choices"] or field.metadata["bare"] is not None and isinstance(value, bool)
        return None if allowed else f"one of {', '.join(limits['choices'])}"
    if kind is bool:
        return None if isinstance(value, bool) else "true or false"
    values: Any = value if typing.get_origin(kind) is tuple else (value,)
    kind = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
    if kind not in (int, float):
        return None
    for number in values:
        if isinstance(number, bool) or not isinstance(number, int if kind is int else (int, float)):
            return "a whole number" if kind is int else "a number"
        if not math.isfinite(number):
            return "finite"
        if limits["minimum"] is not None and number < limits["minimum"]:
            return f"at least {limits['minimum']:g}"
        if limits["above"] is not None and number <= limits["above"]:
            return f"above {limits['above']:g}"
        if limits["below"] is not None and number >= limits["below"]:
            return f"below {limits['below']}"
    return None
