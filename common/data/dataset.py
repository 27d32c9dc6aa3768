"""The Dataset interface: images, splits and ground-truth factors."""

import dataclasses
from types import ModuleType
from typing import ClassVar, Protocol

import numpy as np

from common.data.preprocess import preprocess


@dataclasses.dataclass(frozen=True)
class Factor:
    """One ground-truth factor of variation, the meaning of one column of a table of levels.

    Attributes:
        name: the factor's name, as its data set spells it ("orientation", "Eyeglasses").
        values: what each level means: a number in `unit`, or a label. Level k is `values[k]`.
        unit: the unit of numeric values ("deg", "px"), or "".
    """

    name: str
    values: tuple
    unit: str = ""

    @property
    def levels(self) -> int:
        """The number of values of this factor."""
        return len(self.values)


class Images(Protocol):
    """Images in memory, on disk or drawn on demand. A numpy array [n, h, w, c] is one."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        """Return the images at int indices [b]: uint8 [b, h, w, c]."""
        ...


@dataclasses.dataclass(frozen=True)
class Subset:
    """A view of the images at `indices`, int64 [n], of other images. Nothing is copied."""

    images: Images
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return self.images[self.indices[indices]]


@dataclasses.dataclass(frozen=True)
class SyntheticImages:
    """Images drawn on demand, cropped, stretched and resized as the real ones are.

    What is cropped takes a millisecond to draw, a third of a training step of narrow networks. So it is kept in memory,
    up to `KEPT` bytes.

    Attributes:
        module: a module of `common.data.synthetic`.
        start, stop: its images [start, stop) are taken.
        crop, size: sides in pixels, as in `preprocess`; None leaves the images as they are.
    """

    module: ModuleType
    start: int
    stop: int
    crop: int | None = None
    size: int | None = None
    _kept: dict[int, np.ndarray] = dataclasses.field(default_factory=dict, init=False, repr=False, compare=False)

    KEPT: ClassVar[int] = 1 << 30

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        indices = np.asarray(indices) + self.start
        if self.crop is None or self.size is None:
            return self.module.images(indices)
        wanted = indices.tolist()
        images = {index: self._kept[index] for index in wanted if index in self._kept}
        new = [index for index in dict.fromkeys(wanted) if index not in images]
        drawn = self.module.images(np.array(new, np.int64))
        for index, image in zip(new, drawn, strict=True):
            images[index] = preprocess(image, self.crop, self.size)
            if len(self._kept) * images[index].nbytes < self.KEPT:
                self._kept[index] = images[index]
        return np.stack([images[index] for index in wanted])


@dataclasses.dataclass(frozen=True)
class Split:
    """Images and their factor labels.

    Attributes:
        images: uint8 [n, h, w, c].
        factors: int64 [n, f], the level of each factor of the data set, from 0; None if unknown.
    """

    images: Images
    factors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, start: int, stop: int) -> np.ndarray:
        """Return images [start, stop), uint8 [stop - start, h, w, c]."""
        return self.images[np.arange(start, min(stop, len(self)))]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        source: where it comes from, for messages and run.json.
        train, test: its splits; `test` is None if the data set has none.
        factors: the meaning of the columns of the splits' factor tables.
        label: the name of the factor that is the class, or None.
        synthetic: whether this is synthetic data.
        unused: names of files that lie there and are not used.
        broken: names of images that are left out because they cannot be used.
    """

    source: str
    train: Split
    test: Split | None = None
    factors: tuple[Factor, ...] = ()
    label: str | None = None
    synthetic: bool = False
    unused: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def classes(self) -> Factor | None:
        """The factor that is the class, or None."""
        return next((factor for factor in self.factors if factor.name == self.label), None)

    def labels(self, split: Split) -> np.ndarray | None:
        """Return the class of each image of `split`, int64 [n], or None."""
        if self.label is None or split.factors is None:
            return None
        return split.factors[:, [f.name for f in self.factors].index(self.label)]
