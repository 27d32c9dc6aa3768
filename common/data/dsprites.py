"""dSprites (Matthey et al. 2017): 737,280 binary images of 64x64, one for each combination of factors.

The official .npz file, or TFDS's prepared data. The 3 GB of pixels are never unpacked at once: they are packed into
bits (377 MB), in the cache or, without one, in memory, and only the images of a batch are unpacked.
"""

import contextlib
import dataclasses
import logging
import math
import pathlib
import zipfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from common.data import cache as image_cache
from common.data import formats, tfds
from common.data.dataset import Dataset, Split, Subset, SyntheticImages
from common.data.entries import Entry, list_files, not_found, unused, with_members
from common.data.files import fingerprint
from common.data.synthetic import sprites
from common.errors import UserError
from common.io.npz import DAMAGE, open_array, read_exactly, reading
from common.options import Cache

TITLE = "dSprites"
SYNTHETIC = "dSprites' own grid, redrawn from its geometry"
OFFICIAL = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
ACCEPTED_FORMATS = f"{OFFICIAL}, or TFDS's prepared dsprites/"
SIDE = 64

_USUAL = ("", "dsprites")  # Folders whose files precede what TFDS prepared.
_BYTES = SIDE * SIDE // 8  # Of one packed image.
_CHUNK = 1024  # Images, 4 MB unpacked.
_LEVELS = tuple(factor.levels for factor in sprites.FACTORS)
# TFDS's names of the factors after the first, in the grid's order.
_LABELS = ("label_shape", "label_scale", "label_orientation", "label_x_position", "label_y_position")

logger = logging.getLogger(__name__)


class PackedImages:
    """Binary images stored as bits and unpacked on demand.

    Args:
        bits: uint8 [n, 512], `np.packbits` of each image's pixels row by row; in memory or memory-mapped.
    """

    def __init__(self, bits: np.ndarray):
        self._bits = bits

    def __len__(self) -> int:
        return len(self._bits)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the images at `indices`, uint8 [b, 64, 64, 1] in {0, 1}."""
        return np.unpackbits(self._bits[np.asarray(indices)], axis=1).reshape(-1, SIDE, SIDE, 1)


def default_paths() -> list[pathlib.Path]:
    """Return where earlier downloads may have left dSprites."""
    return [tfds.place("dsprites"), tfds.manual_dir() / OFFICIAL]


def download(cache: Cache) -> Dataset:
    """Let TFDS download and prepare dSprites. Raises UserError without a network."""
    return _from_tfds(tfds.download("dsprites"), cache)


def synthetic() -> Dataset:
    """Return the whole grid, drawn on demand."""
    train = Split(SyntheticImages(sprites, 0, sprites.SIZE), sprites.factors(np.arange(sprites.SIZE)))
    return Dataset("redrawn sprites (common/data/synthetic/sprites.py)", train, factors=sprites.FACTORS, synthetic=True)


def read(path: pathlib.Path, cache: Cache) -> Dataset:
    """Read dSprites from the .npz file, whatever its name, a folder that contains it, or TFDS's prepared data.

    Raises:
        UserError: `path` has none of them, or a broken one.
    """
    entries = list_files(path)
    prepared = tfds.prepared(path, "dsprites")
    if prepared and not _find([entry for entry in entries if entry.folder in _USUAL]):
        return _from_tfds(prepared, cache)
    found = _find(entries)
    if not found:
        raise _missing(path, entries)
    return dataclasses.replace(_from_npz(pathlib.Path(found.path), cache), unused=unused(entries, [found]))


def _find(entries: list[Entry]) -> Entry | None:
    """Return the official file, or else any other .npz with its arrays."""
    named = [entry for entry in entries if entry.base == OFFICIAL or len(entries) == 1 and entry.suffix == ".npz"]
    others = [entry for entry in entries if entry.suffix in (".npz", ".zip", "") and not entry.is_junk]
    return next(iter(named or (entry for entry in others if _has_images(entry.path))), None)


def _has_images(path: str) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "imgs.npy" in archive.namelist()
    except (OSError, *DAMAGE):
        return False


def _missing(path: pathlib.Path, entries: list[Entry]) -> UserError:
    """Return the error for data that is not there, or in a form that is not read."""
    for entry in with_members(entries):
        if entry.suffix in (".hdf5", ".h5") and not entry.is_junk:
            return entry.error(f"is an HDF5 file, a form that is not read: download {OFFICIAL} instead")
        if entry.suffix == ".npz" and entry.is_member and not entry.is_junk:
            command = "unzip" if entry.packed else "tar -xf"
            return entry.error(f"has to be unpacked first: {command} {entry.path}")
        if ".npz" in entry.base and entry.kind() == formats.ZIP:
            return entry.error(f"has to be unpacked first: gunzip {entry.path}")
    return not_found(TITLE, path, entries, ACCEPTED_FORMATS)


def _from_npz(path: pathlib.Path, cache: Cache) -> Dataset:
    count = _count(path)
    table = _classes(path, count)
    if cache.enabled:

        def fill(entry: pathlib.Path) -> None:
            message = f"Packing {count} images of dSprites, once, into {cache.folder}"
            image_cache.write_rows(entry / "bits.npy", _stream(path, count, message), (_BYTES,))

        key = [path.name, *fingerprint(path)]
        entry = image_cache.entry(cache.folder, "dsprites", key, count * _BYTES, fill)
        bits = image_cache.load(entry / "bits.npy", np.uint8, (count, _BYTES))
    else:
        bits = np.empty((count, _BYTES), np.uint8)
        stream = _stream(path, count, f"Packing {count} images of dSprites into memory")
        for start, rows in zip(range(0, count, _CHUNK), stream, strict=True):
            bits[start : start + len(rows)] = rows
    return Dataset(str(path), Split(PackedImages(bits), table), factors=() if table is None else sprites.FACTORS)


def _count(path: pathlib.Path) -> int:
    """Return the number of images in the .npz. Raises UserError if shape or dtype is wrong."""
    with _array(path, "imgs") as (_, shape, dtype):
        plausible = len(shape) == 3 and 1 <= shape[0] <= sprites.SIZE and shape[1:] == (SIDE, SIDE)
        if not plausible or dtype not in (np.uint8, np.bool_):
            found = f"{dtype} {list(shape)}"
            raise UserError(f"{path}: imgs must be uint8 [{sprites.SIZE}, {SIDE}, {SIDE}], got {found}")
    return shape[0]


def _stream(path: pathlib.Path, count: int, message: str) -> Iterator[np.ndarray]:
    """Yield the packed images in chunks, uint8 [b, 512], in their order, with a progress bar."""
    bar = image_cache.progress_bar(message, count)
    with _array(path, "imgs") as (file, _, _):
        for start in range(0, count, _CHUNK):
            images = min(_CHUNK, count - start)
            yield _pack(np.frombuffer(read_exactly(file, images * SIDE * SIDE), np.uint8), path)
            bar.add(images)


def _pack(pixels: np.ndarray, source: pathlib.Path) -> np.ndarray:
    """Pack pixels {0, 1} of whole images, uint8 of any shape, into bits [b, 512].

    Raises UserError for other values, and for an image whose pixels are all equal.
    """
    pixels = pixels.reshape(-1, SIDE * SIDE)
    if pixels.max() > 1:
        raise UserError(f"{source}: pixels must be 0 or 1, got {pixels.max()}")
    if (pixels.min(axis=1) == pixels.max(axis=1)).any():
        raise UserError(f"{source} has an image whose pixels are all equal, so it is damaged: download it again")
    return np.packbits(pixels, axis=1)


def _classes(path: pathlib.Path, count: int) -> np.ndarray | None:
    """Return the levels of each image's factors, int64 [n, 6]: latents_classes.

    Without that array, they are the grid's if all its images are there, else None.
    """
    with _open(path) as archive:
        present = "latents_classes.npy" in archive.namelist()
    if not present:
        return sprites.factors(np.arange(count)) if count == sprites.SIZE else None
    with _array(path, "latents_classes") as (file, shape, dtype):
        if shape != (count, len(_LEVELS)) or dtype.kind not in "ui":
            found = f"{dtype} {list(shape)}"
            raise UserError(f"{path}: latents_classes must be int64 [{count}, {len(_LEVELS)}], got {found}")
        data = read_exactly(file, math.prod(shape) * dtype.itemsize)
        table = np.frombuffer(data, dtype).reshape(shape).astype(np.int64)
    if table.min() < 0 or (table.max(axis=0) >= _LEVELS).any():
        raise UserError(f"{path}: latents_classes must be below {list(_LEVELS)}, got {table.max(axis=0).tolist()}")
    return table


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """Open an .npz as the zip file it is; errors inside the block become UserErrors that name it."""
    with reading(path, "a complete dSprites .npz"):
        with open(path, "rb") as file:
            kind = formats.recognise(file.read(formats.HEAD))
        if kind != formats.ZIP:
            raise UserError(f"{path} is {formats.instead(kind, 'a complete dSprites .npz')}")
        with zipfile.ZipFile(path) as archive:
            yield archive


@contextlib.contextmanager
def _array(path: pathlib.Path, name: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype]]:
    """Open one array of an .npz: yields (file at the first element, shape, dtype). Reads no other member."""
    with _open(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            raise UserError(f"{path} is not a dSprites .npz: it lacks {name}")
        with open_array(archive, name) as (file, shape, fortran, dtype):
            if fortran:
                raise ValueError(f"{name} is stored in Fortran order")
            yield file, shape, dtype


def _from_tfds(folder: pathlib.Path, cache: Cache) -> Dataset:
    if cache.enabled:
        key = [[path.name, *fingerprint(path)] for path in sorted(folder.iterdir())]
        size = sprites.SIZE * _BYTES
        entry = image_cache.entry(cache.folder, "dsprites-tfds", key, size, lambda entry: _write_tfds(folder, entry))
        bits = image_cache.load(entry / "bits.npy", np.uint8, (None, _BYTES))
        images, grid = PackedImages(bits), image_cache.load(entry / "grid.npy", np.int64, (len(bits),), sprites.SIZE)
    else:
        bits, grid, order = _pack_tfds(folder)
        images = Subset(PackedImages(bits), order)
    return Dataset(f"{folder} (TFDS)", Split(images, sprites.factors(grid)), factors=sprites.FACTORS)


def _write_tfds(folder: pathlib.Path, entry: pathlib.Path) -> None:
    bits, grid, order = _pack_tfds(folder)
    chunks = (bits[order[start : start + _CHUNK]] for start in range(0, len(order), _CHUNK))
    image_cache.write_rows(entry / "bits.npy", chunks, (_BYTES,))
    np.save(entry / "grid.npy", grid)


def _pack_tfds(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pack all images that TFDS prepared.

    Returns:
        The images as bits, uint8 [n, 512], in TFDS's order; their indices on the grid, int64 [n], increasing; and the
        order that sorts the images so.
    """
    bits, indices = bytearray(), []
    logger.info("Packing the images of %s", folder)
    for chunk in tfds.examples(folder, "train", _CHUNK):
        try:
            bits += _pack(chunk["image"], folder).tobytes()
            levels = [np.zeros_like(chunk[_LABELS[0]]), *(chunk[label] for label in _LABELS)]
            indices.append(np.ravel_multi_index(levels, _LEVELS))
        except (ValueError, KeyError) as error:
            raise UserError(f"{folder} has labels that are not dSprites' ({error}): {tfds.PREPARE_AGAIN}") from None
    found = np.concatenate(indices) if indices else np.empty(0, np.int64)
    grid, order = np.unique(found, return_index=True)
    if len(grid) < max(len(found), 1):
        raise UserError(f"{folder} has {len(found)} images of {len(grid)} kinds: {tfds.PREPARE_AGAIN}")
    return np.frombuffer(bits, np.uint8).reshape(-1, _BYTES), grid, order
