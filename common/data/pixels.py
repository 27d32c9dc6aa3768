"""The range of pixels: from stored uint8 to the networks' values and back. Works on numpy arrays and tensors."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class PixelRange:
    """How stored pixels p become the networks' values x = p / divisor - offset.

    Attributes:
        divisor, offset: see above.
        low, high: the range of x, which is also that of the generator's output.
    """

    divisor: float
    offset: float
    low: float
    high: float = 1.0

    def to_network(self, pixels: Any) -> Any:
        """Map stored pixels, as floats of any shape, to the networks' values."""
        scaled = pixels if self.divisor == 1.0 else pixels / self.divisor
        return scaled - self.offset if self.offset else scaled

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
    "unit": PixelRange(divisor=255.0, offset=0.0, low=0.0),
    "tanh": PixelRange(divisor=127.5, offset=1.0, low=-1.0),
    "binary": PixelRange(divisor=1.0, offset=0.0, low=0.0),
}
