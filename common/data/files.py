"""Image files, wherever they lie: read, decoded by the original's rules, and cached."""

import dataclasses
import errno
import logging
import os
from collections.abc import Iterable, Iterator

import numpy as np

from common.data import cache as image_cache
from common.data.dataset import Images
from common.data.entries import Entry, shorten
from common.data.pool import parallel_map
from common.data.preprocess import decode, preprocess
from common.errors import UserError, first_line
from common.options import Cache

BATCH = 256  # Images that a worker process decodes at a time.

logger = logging.getLogger(__name__)


class Unreadable(UserError):
    """A file could not be read, which says nothing of what is in it: it is not left out as a broken one is."""


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files as `Images`: decoded, cropped, stretched and resized each time they are asked for.

    Attributes:
        entries: the files, in the data set's order.
        crop, size: sides in pixels.
        channels: of an image.
    """

    entries: tuple[Entry, ...]
    crop: int
    size: int
    channels: int = 3

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the images at `indices`, uint8 [b, size, size, channels]. Raises UserError if a file is broken."""
        return np.stack([self.load(i) for i in np.asarray(indices)])

    def load(self, index: int) -> np.ndarray:
        """Return one image, uint8 [size, size, channels].

        Raises:
            Unreadable: the file cannot be read, for want of permission, say; one that is gone is broken.
            UserError: the file is broken.
        """
        entry = self.entries[index]
        try:
            image = self.prepare(decode(entry.read()))
            if image.min() == image.max():
                raise ValueError("all its pixels are equal")
            return image
        except OSError as error:
            message = f"cannot read {entry.path}: {error.strerror or error}"
            if error.errno in (errno.ENOENT, errno.ELOOP):
                raise UserError(message) from None
            raise Unreadable(f"{message}: make it readable, or move it away") from None
        except Exception as error:  # Pillow's decoders raise struct.error, IndexError and more.
            reason = first_line(error).split(" <")[0]  # Without "<object>".
            raise UserError(f"{entry.name} is broken: {reason}") from None

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Crop, stretch and resize an RGB image, uint8 [h, w, 3]."""
        return preprocess(image, self.crop, self.size)

    def load_valid(self) -> image_cache.Chunk:
        """Load all images that are not broken. Raises Unreadable, as `load` does."""
        images, valid_indices, errors = [], [], []
        for index in range(len(self)):
            try:
                images.append(self.load(index))
                valid_indices.append(index)
            except Unreadable:
                raise
            except UserError as error:
                errors.append(str(error))
        stacked = np.stack(images) if images else np.empty((0, self.size, self.size, self.channels), np.uint8)
        return stacked, valid_indices, errors

    def batches(self) -> Iterator["ImageFiles"]:
        """Split into consecutive parts of BATCH files."""
        for start in range(0, len(self), BATCH):
            yield dataclasses.replace(self, entries=self.entries[start : start + BATCH])

    def cache_key(self) -> list:
        """Return all that the images depend on, JSON-ready: the sides, and each file's place and fingerprint."""
        fingerprints = {path: fingerprint(path) for path in {entry.path for entry in self.entries}}
        return [self.crop, self.size, [[*entry[1:4], *fingerprints[entry.path]] for entry in self.entries]]


def open_images(files: ImageFiles, cache: Cache, title: str) -> tuple[Images, np.ndarray]:
    """Return the images that are not broken and their indices in `files`, int64 [n]; broken ones are named.

    With the cache they are preprocessed once. Without it they are checked now, and again decoded whenever they are
    needed.

    Raises:
        UserError: all images are broken; a file cannot be read; the cache cannot be written.
    """
    shape = (len(files), files.size, files.size, files.channels)

    def chunks() -> Iterator[image_cache.Chunk]:
        return decode_all(files.batches(), len(files))

    if cache.enabled:
        images, valid_indices = image_cache.open_images(cache.folder, title, files.cache_key(), shape, chunks)
    else:
        message = f"Checking {len(files)} images of {title}, of which --no-cache keeps nothing"
        valid_indices = image_cache.valid_images(chunks(), len(files), message)
        images = dataclasses.replace(files, entries=tuple(files.entries[i] for i in valid_indices))
    report_broken(title, broken_names(files, valid_indices), len(files))
    return images, valid_indices


def report_broken(title: str, names: tuple[str, ...], count: int) -> None:
    """Log which of `count` images of a data set are left out."""
    if names:
        logger.warning("%s: %d of %d images are broken and left out: %s", title, len(names), count, shorten(names))


def broken_names(files: ImageFiles, valid_indices: np.ndarray) -> tuple[str, ...]:
    """Return the names of the files that are not among `valid_indices`, int64 [n]."""
    valid = set(valid_indices.tolist())
    return tuple(entry.name for i, entry in enumerate(files.entries) if i not in valid)


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
