"""Image files as `Images`: in folders or inside an uncompressed tar, decoded on demand by the original's rules."""

import dataclasses
import os
import pathlib
from typing import NamedTuple

import numpy as np

from common.data.preprocess import decode, preprocess
from common.errors import UserError, first_line

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
        except (
            Exception
        ) as error:  # Damaged bytes make Pillow's decoders fail in many ways (struct.error, IndexError, ...).
            raise UserError(f"{item.name} is broken: {_line(error)}") from None

    def identity(self) -> list:
        """What the images are a function of, JSON-ready: each file's name, size and time of change, and the sides."""
        stamps = {path: stamp(path) for path in {item.path for item in self.items}}
        return [
            self.crop,
            self.size,
            [[item.name, item.offset, item.length, *stamps[item.path]] for item in self.items],
        ]


def stamp(path: str | os.PathLike) -> tuple[int, int]:
    """Size in bytes and time of change in ns, by which a changed file is known; (-1, -1) for a link that leads nowhere."""
    try:
        stat = os.stat(path)
        return stat.st_size, stat.st_mtime_ns
    except OSError:
        return -1, -1


def _read(item: Item) -> bytes:
    with open(item.path, "rb") as file:
        length = os.fstat(file.fileno()).st_size if item.length is None else item.length
        if not 0 <= length <= MAX_BYTES:
            raise ValueError(f"{length} bytes are no image file's size")
        file.seek(item.offset)
        data = file.read(length)
    if len(data) < length:
        raise ValueError("it ends early")
    return data


def _line(error: Exception) -> str:
    """The first line of an error's text without the "<object>" that Pillow appends, or its name where it has no text."""
    return first_line(error).split(" <")[0]


def listing(folder: pathlib.Path) -> list[os.DirEntry]:
    """The entries of `folder`, sorted by name. Raises UserError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror or error}") from None


def image_files(folder: pathlib.Path, endings: tuple[str, ...]) -> list[os.DirEntry]:
    """The image files in `folder`, sorted: names that end so and are not hidden, case aside.

    Links that lead nowhere are among them, so that they are reported as broken instead of silently missing.
    Raises UserError where the folder cannot be read.
    """
    return [
        entry
        for entry in listing(folder)
        if entry.name.lower().endswith(endings)
        and not entry.name.startswith(".")  # macOS leaves "._name.jpg" beside name.jpg.
        and (os.path.isfile(entry.path) or entry.is_symlink() and not os.path.exists(entry.path))
    ]
