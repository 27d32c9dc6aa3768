"""What a data set is to the rest of the code."""

import dataclasses
from typing import Protocol

import numpy as np

from common.data.factors import Factor


class Images(Protocol):
    """Images in memory, on disk or drawn on demand; a numpy array [n, h, w, c] is one."""

    def __len__(self) -> int:
        """The number of images."""

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """The images at int indices [b]: uint8 [b, h, w, c]."""


@dataclasses.dataclass(frozen=True)
class Subset:
    """Some images of another `Images`, by their indices: a view, nothing is copied.

    Attributes:
        images: where they are.
        indices: int64 [n], which they are.
    """

    images: Images
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return self.images[self.indices[indices]]


@dataclasses.dataclass(frozen=True)
class Split:
    """Images with what is known of them.

    Attributes:
        images: uint8 [n, h, w, c] by `Images`.
        factors: int64 [n, f], the level of each factor, or None.
    """

    images: Images
    factors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, start: int, stop: int) -> np.ndarray:
        """Images [start, stop), uint8 [stop - start, h, w, c]."""
        return self.images[np.arange(start, min(stop, len(self)))]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        source: where it came from, in words for people and for `provenance`.
        train, test: its splits; `test` is None where the data set has none.
        factors: what the columns of the splits' factor tables mean.
        label: the factor that counts as the class, or None.
        synthetic: whether this is the built-in stand-in.
    """

    source: str
    train: Split
    test: Split | None = None
    factors: tuple[Factor, ...] = ()
    label: str | None = None
    synthetic: bool = False

    def labels(self, split: Split) -> np.ndarray | None:
        """The class of each image of `split`, int64 [n], or None."""
        if self.label is None or split.factors is None:
            return None
        return split.factors[:, [f.name for f in self.factors].index(self.label)]
