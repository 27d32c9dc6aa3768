"""Image files as `Images`: in folders or inside an uncompressed tar, decoded on demand by the original's rules."""

import dataclasses
import os
import pathlib
from typing import NamedTuple

import numpy as np

from common.data.pixels import decode, preprocess
from common.errors import UserError

MAX_BYTES = 1 << 28  # Of one image file.


class Item(NamedTuple):
    """One image file: `name` as the data set has it, and `length` bytes (all, where None) from `offset` of `path`."""

    name: str
    path: str
    offset: int = 0
    length: int | None = None


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Images decoded, cropped to `crop`, stretched and resized to `size` each time they are asked for.

    Attributes:
        items: the files, in the data set's order.
        crop, size: sides in pixels.
    """

    items: tuple[Item, ...]
    crop: int
    size: int

    def __len__(self) -> int:
        return len(self.items)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image."""
        return (self.size, self.size, 3)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """The images at `indices`, uint8 [b, size, size, 3]. Raises UserError naming a broken file."""
        return np.stack([self.load(i) for i in np.asarray(indices)])

    def load(self, index: int) -> np.ndarray:
        """One image, uint8 [size, size, 3]. Raises UserError naming the file where it is broken."""
        item = self.items[index]
        try:
            return preprocess(decode(_read(item)), self.crop, self.size)
        except OSError as error:
            raise UserError(f"cannot read {item.path}: {error.strerror or error}") from None
        except ValueError as error:
            raise UserError(f"{item.name} is broken: {error}") from None

    def identity(self) -> list:
        """What the images are a function of, JSON-ready: each file's name, size and time of change, and the sides."""
        stats = {path: os.stat(path) for path in {item.path for item in self.items}}
        return [self.crop, self.size,
                [[item.name, item.offset, item.length, stats[item.path].st_size, stats[item.path].st_mtime_ns] for item in self.items]]


def _read(item: Item) -> bytes:
    with open(item.path, "rb") as file:
        file.seek(item.offset)
        data = file.read(MAX_BYTES + 1 if item.length is None else item.length)
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    return data


def listing(folder: pathlib.Path) -> list[os.DirEntry]:
    """The entries of `folder`, sorted by name. Raises UserError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror or error}") from None
