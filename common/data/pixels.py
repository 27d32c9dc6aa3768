"""The range of pixels: from stored uint8 to the networks' values and back. Works on numpy arrays and tensors."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class PixelRange:
    """The ranges of stored pixels and of the networks' values.

    Attributes:
        highest: stored pixels are integers from 0 to this.
        low: the networks' values are from this, 0 or -1, to 1.
    """

    highest: int
    low: float

    def to_network(self, pixels: Any) -> Any:
        """Map stored pixels, as floats of any shape, to the networks' values."""
        divisor = self.highest / (1.0 - self.low)
        scaled = pixels if divisor == 1.0 else pixels / divisor
        return scaled + self.low if self.low else scaled

    def to_unit(self, values: Any) -> Any:
        """Map the networks' values, floats of any shape, to [0, 1]."""
        return (values + 1.0) / 2.0 if self.low < 0.0 else values

    def from_unit(self, values: Any) -> Any:
        """Map values in [0, 1], floats of any shape, to the networks'."""
        return values * 2.0 - 1.0 if self.low < 0.0 else values

    def to_uint8(self, values: np.ndarray) -> np.ndarray:
        """Map the networks' values, of any shape, to uint8 [0, 255]. Values outside of the range are clipped."""
        return np.rint(self.to_unit(np.asarray(values, np.float64)).clip(0.0, 1.0) * 255.0).astype(np.uint8)


RANGES = {
    "unit": PixelRange(highest=255, low=0.0),
    "tanh": PixelRange(highest=255, low=-1.0),
    "binary": PixelRange(highest=1, low=0.0),
    "signed": PixelRange(highest=1, low=-1.0),
}
