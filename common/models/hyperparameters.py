"""Hyper-parameters of a system as a frozen dataclass, from which its flags, their checks and their help follow.

Does not import TensorFlow.
"""

import dataclasses
import math
import types
import typing
from typing import Any

from common.errors import UserError


def hyperparameter(
    default, help: str, *, minimum: float | None = None, above: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """A dataclass field with its help text and its range: at least `minimum`, above `above`, or one of `choices`."""
    metadata = {"help": help, "minimum": minimum, "above": above, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def with_default(base: type, name: str, default) -> Any:
    """The field `name` of the dataclass `base`, with another default."""
    return dataclasses.field(default=default, metadata=base.__dataclass_fields__[name].metadata)


def flag_of(name: str) -> str:
    """The flag of a field, as it is typed."""
    return "--" + name.replace("_", "-")


def type_of(field: dataclasses.Field) -> type:
    """The type of a field's values, without None."""
    kinds = typing.get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)
    return next(kind for kind in kinds if kind is not type(None))


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """Base of every system's hyper-parameters. Subclasses declare fields with `hyperparameter`.

    Raises:
        UserError: a value is not of its field's type or range, or values contradict each other.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            wanted = _unmet_condition(field, getattr(self, field.name))
            if wanted:
                raise UserError(f"{flag_of(field.name)} must be {wanted}, got {getattr(self, field.name)}")
        conflict = self.conflict()
        if conflict:
            raise UserError(conflict)

    def conflict(self) -> str | None:
        """An error message if values contradict each other, else None."""
        return None


def _unmet_condition(field: dataclasses.Field, value) -> str | None:
    """What `value` should be, or None if it is."""
    kind, limits = type_of(field), field.metadata
    if value is None and isinstance(field.type, types.UnionType):
        return None
    if limits["choices"]:
        return None if value in limits["choices"] else f"one of {', '.join(limits['choices'])}"
    if kind is bool:
        return None if isinstance(value, bool) else "true or false"
    article = "a whole number" if kind is int else "a number"
    if (
        isinstance(value, bool)
        or not isinstance(value, int if kind is int else (int, float))
        or not math.isfinite(value)
    ):
        return article
    if limits["minimum"] is not None and value < limits["minimum"]:
        return f"at least {limits['minimum']:g}"
    if limits["above"] is not None and value <= limits["above"]:
        return f"above {limits['above']:g}"
    return None
