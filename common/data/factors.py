"""Ground-truth factors of variation, in the one form that every factor-labelled data set offers.

A data set with known factors is a table `int64 [n, f]`: row i holds, for each of its f factors, the level (0-based) that image i
was made with. A `Factor` says what the levels of one column mean. Metrics need only the table; pictures and reports need the names.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Factor:
    """One factor of variation.

    Attributes:
        name: the factor's name, as its data set spells it ("orientation", "Eyeglasses").
        values: what each level stands for: a number in `unit`, or a label. Its length is the number of levels.
        unit: the unit of numeric values ("deg", "px"), "" where there is none.
    """

    name: str
    values: tuple
    unit: str = ""

    @property
    def levels(self) -> int:
        """The number of values that this factor takes."""
        return len(self.values)
