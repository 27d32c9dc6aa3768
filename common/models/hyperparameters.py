"""Hyper-parameters of a system as a frozen dataclass, from which its flags, their checks and their help follow.

Does not import TensorFlow.
"""

import dataclasses

from common.errors import UserError
from common.fields import described as hyperparameter
from common.fields import flag_of, require_ranges, type_of, with_default

__all__ = ["Hyperparameters", "flag_of", "hyperparameter", "type_of", "with_default"]


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """Base of every system's hyper-parameters. Subclasses declare fields with `hyperparameter`.

    Raises:
        UserError: a value is not of its field's type or range, or values contradict each other.
    """

    def __post_init__(self):
        require_ranges(self)
        conflict = self.conflict()
        if conflict:
            raise UserError(conflict)

    def conflict(self) -> str | None:
        """Return an error message if values contradict each other, else None."""
        return None
