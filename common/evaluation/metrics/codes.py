"""What every metric of codes takes: one code per image."""

from typing import NamedTuple

import numpy as np


class NotMeasurable(ValueError):
    """There are too few images, levels or dimensions for a metric; the message says which."""


class Codes(NamedTuple):
    """The codes of n images. Their dimensions are the continuous codes in order and then the category, if any.

    Attributes:
        continuous: float [n, C], C >= 0.
        category: int [n] in [0, num_categories), or None.
        num_categories: K; 0 without a category.
    """

    continuous: np.ndarray
    category: np.ndarray | None = None
    num_categories: int = 0

    @property
    def images(self) -> int:
        """Number of images, n. Raises ValueError if the parts disagree about it."""
        if self.category is not None and len(self.category) != len(self.continuous):
            raise ValueError(f"{len(self.continuous)} continuous codes and {len(self.category)} categories")
        return len(self.continuous)

    @property
    def dimensions(self) -> int:
        """C, or C + 1 with a category."""
        return self.continuous.shape[1] + (self.category is not None)

    @classmethod
    def concatenate(cls, parts: list["Codes"]) -> "Codes":
        """Return the codes of several batches, one after the other."""
        continuous = np.concatenate([part.continuous for part in parts])
        categories = [part.category for part in parts if part.category is not None]
        return cls(continuous, np.concatenate(categories) if categories else None, parts[0].num_categories)

    def take(self, indices: np.ndarray) -> "Codes":
        """Return the codes of the images at int indices [m]."""
        return Codes(
            self.continuous[indices], None if self.category is None else self.category[indices], self.num_categories
        )

    def without_category(self) -> "Codes":
        """Return the continuous codes alone."""
        return Codes(self.continuous)


def check_pairs(codes: Codes, factors: np.ndarray) -> None:
    """Raise ValueError unless `codes` and the factor table [n, f] are of the same images, and there are some."""
    if codes.images != len(factors):
        raise ValueError(f"codes of {codes.images} images and factors of {len(factors)}")
    if len(factors) == 0:
        raise NotMeasurable("there are no images to score")
