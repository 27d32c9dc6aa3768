"""Image files in folders or inside an uncompressed tar: listed, read, and decoded by the original's rules."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from common.data import cache as image_cache
from common.data.dataset import Images
from common.data.pool import parallel_map
from common.data.preprocess import decode, preprocess
from common.errors import UserError, first_line
from common.io.npz import read_exactly
from common.options import Cache

MAX_BYTES = 1 << 28  # Upper limit on the size of one image file.
BATCH = 256  # Images that a worker process decodes at a time.


class ImageFile(NamedTuple):
    """One image file: `length` bytes (None: all) from `offset` of `path`, or `data`, if it is in memory already.

    `name` is the file's name in the data set.
    """

    name: str
    path: str = ""
    offset: int = 0
    length: int | None = None
    data: bytes | None = None

    def read(self) -> bytes:
        """Return the file's bytes. Raises OSError or ValueError."""
        if self.data is not None:
            return self.data
        with open(self.path, "rb") as file:
            length = os.fstat(file.fileno()).st_size if self.length is None else self.length
            if not 0 <= length <= MAX_BYTES:
                raise ValueError(f"implausible file size of {length} bytes")
            file.seek(self.offset)
            return read_exactly(file, length)


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files as `Images`: decoded, cropped, stretched and resized each time they are asked for.

    Attributes:
        files: the files, in the data set's order.
        crop, size: sides in pixels.
    """

    files: tuple[ImageFile, ...]
    crop: int
    size: int

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the images at `indices`, uint8 [b, size, size, 3]. Raises UserError if a file is broken."""
        return np.stack([self.load(i) for i in np.asarray(indices)])

    def load(self, index: int) -> np.ndarray:
        """Return one image, uint8 [size, size, 3]. Raises UserError if the file is broken."""
        file = self.files[index]
        try:
            return preprocess(decode(file.read()), self.crop, self.size)
        except OSError as error:
            raise UserError(f"cannot read {file.path}: {error.strerror or error}") from None
        except Exception as error:  # Pillow's decoders raise struct.error, IndexError and more.
            reason = first_line(error).split(" <")[0]  # Without "<object>".
            raise UserError(f"{file.name} is broken: {reason}") from None

    def load_valid(self) -> image_cache.Chunk:
        """Load all images that are not broken."""
        images, valid_indices, errors = [], [], []
        for index in range(len(self)):
            try:
                images.append(self.load(index))
                valid_indices.append(index)
            except UserError as error:
                errors.append(str(error))
        stacked = np.stack(images) if images else np.empty((0, self.size, self.size, 3), np.uint8)
        return stacked, valid_indices, errors

    def batches(self) -> Iterator["ImageFiles"]:
        """Split into consecutive parts of BATCH files."""
        for start in range(0, len(self), BATCH):
            yield dataclasses.replace(self, files=self.files[start : start + BATCH])

    def cache_key(self) -> list:
        """Return all that the images depend on, JSON-ready: the sides, and each file's name and fingerprint."""
        fingerprints = {path: fingerprint(path) for path in {file.path for file in self.files}}
        return [self.crop, self.size, [[*file[:4], *fingerprints[file.path]] for file in self.files]]


def open_images(files: ImageFiles, cache: Cache, title: str) -> tuple[Images, np.ndarray]:
    """Return images and their indices in `files`, int64 [n]; from the cache, if enabled, without broken ones."""
    if not cache.enabled:
        return files, np.arange(len(files))
    shape = (len(files), files.size, files.size, 3)
    return image_cache.open_images(
        cache.folder, title, files.cache_key(), shape, lambda: decode_all(files.batches(), len(files))
    )


def decode_all(batches: Iterable[ImageFiles], count: int) -> Iterator[image_cache.Chunk]:
    """Decode `count` images in worker processes; yields one chunk per batch, in order."""
    start = 0
    for images, valid_indices, errors in parallel_map(ImageFiles.load_valid, batches, -(-count // BATCH)):
        yield images, [start + i for i in valid_indices], errors
        start += len(valid_indices) + len(errors)


def fingerprint(path: str | os.PathLike) -> tuple[int, int]:
    """Return size in bytes and modification time in ns, which identify a file's content; (-1, -1) for a broken link."""
    try:
        stat = os.stat(path)
        return stat.st_size, stat.st_mtime_ns
    except OSError:
        return -1, -1


def sorted_entries(folder: pathlib.Path) -> list[os.DirEntry]:
    """Return the entries of `folder`, sorted by name. Raises UserError if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror or error}") from None


def image_files(folder: pathlib.Path, suffix: str) -> list[os.DirEntry]:
    """Return the files of `folder` with this suffix (case-insensitive) that are not hidden, sorted by name.

    Broken links are included, so that they are reported instead of silently missing. Raises UserError if `folder`
    cannot be read.
    """
    return [
        entry
        for entry in sorted_entries(folder)
        if entry.name.lower().endswith(suffix)
        and not entry.name.startswith(".")  # macOS leaves "._name.jpg" next to name.jpg.
        and (os.path.isfile(entry.path) or entry.is_symlink() and not os.path.exists(entry.path))
    ]
