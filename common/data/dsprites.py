"""dSprites (Matthey et al. 2017): 737,280 binary images of 64x64, one for each combination of shape, scale, orientation and position.

The official npz file, or what TFDS prepares. The 3 GB of pixels are never unpacked at once: they are streamed into bits (377 MB)
in the cache, or in memory where there is none, and only the images of a batch are unpacked.
"""

import contextlib
import math
import pathlib
import sys
import zipfile

import numpy as np

from common.config import Config
from common.data import cache as image_cache
from common.data import files, tfds
from common.data.dataset import Dataset, Split, Subset
from common.data.synthetic import sprites
from common.data.synthetic.images import SyntheticImages
from common.errors import UserError
from common.io.npz import open_array, read_exactly, reading

TITLE = "dSprites"
SYNTHETIC = "dSprites' own grid, redrawn from its geometry"
OFFICIAL = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
ACCEPTED_FORMATS = f"{OFFICIAL}, or TFDS's prepared dsprites/"
SIDE = 64

_BYTES = SIDE * SIDE // 8  # Of an image's bits.
_CHUNK = 1024  # Images, 4 MB unpacked.
_LEVELS = tuple(factor.levels for factor in sprites.FACTORS)
_LABELS = (
    "label_shape",
    "label_scale",
    "label_orientation",
    "label_x_position",
    "label_y_position",
)  # TFDS's, in the grid's order.


class PackedImages:
    """Binary images kept as bits, of which only those asked for are unpacked.

    Args:
        bits: uint8 [n, 512], in memory or a memory map; `np.packbits` of each image's pixels row by row.
    """

    def __init__(self, bits: np.ndarray):
        self._bits = bits

    def __len__(self) -> int:
        return len(self._bits)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """The images at `indices`, uint8 [b, 64, 64, 1] of {0, 1}."""
        return np.unpackbits(self._bits[np.asarray(indices)], axis=1).reshape(-1, SIDE, SIDE, 1)


def default_paths() -> list[pathlib.Path]:
    """Where dSprites lies on machines that have used it before."""
    return [tfds.place("dsprites"), tfds.manual_dir() / OFFICIAL]


def download(cache) -> Dataset:
    """Lets TFDS download and prepare dSprites. Raises UserError without a network."""
    return _from_tfds(tfds.download("dsprites"), cache)


def synthetic(config: Config) -> Dataset:
    """The whole grid, drawn on demand."""
    train = Split(SyntheticImages(sprites, 0, sprites.SIZE), sprites.factors(np.arange(sprites.SIZE)))
    return Dataset("redrawn sprites (common/data/synthetic/sprites.py)", train, factors=sprites.FACTORS, synthetic=True)


def read(path: pathlib.Path, cache) -> Dataset:
    """Reads dSprites from the npz file, a folder that holds it, or what TFDS prepared. Raises UserError where there is none, or a broken one."""
    for file in (path, path / OFFICIAL, path / "dsprites" / OFFICIAL):
        if file.is_file():
            return _from_npz(file, cache)
    prepared = tfds.prepared(path, "dsprites")
    if prepared:
        return _from_tfds(prepared, cache)
    raise UserError(f"no dSprites in {path}: it should be or hold {ACCEPTED_FORMATS}")


def _from_npz(path: pathlib.Path, cache) -> Dataset:
    count = _count(path)
    table = _classes(path, count)
    if cache.enabled:
        identity = [path.name, *files.stamp(path)]
        entry = image_cache.entry(
            cache.folder,
            "dsprites",
            identity,
            count * _BYTES,
            lambda folder: image_cache.write_rows(
                folder / "bits.npy", _progress(_stream(path, count), count, folder), (_BYTES,)
            ),
        )
        bits = image_cache.load(entry / "bits.npy", np.uint8, (count, _BYTES))
    else:
        bits, position = np.empty((count, _BYTES), np.uint8), 0
        for rows in _progress(_stream(path, count), count):
            bits[position : position + len(rows)] = rows
            position += len(rows)
    return Dataset(str(path), Split(PackedImages(bits), table), factors=() if table is None else sprites.FACTORS)


def _count(path: pathlib.Path) -> int:
    """The number of images that the npz announces. Raises UserError unless they are what dSprites are."""
    with _array(path, "imgs") as (_, shape, dtype):
        if (
            len(shape) != 3
            or not 1 <= shape[0] <= sprites.SIZE
            or shape[1:] != (SIDE, SIDE)
            or dtype not in (np.uint8, np.bool_)
        ):
            raise UserError(
                f"{path}: imgs is {dtype} {list(shape)}, and dSprites are uint8 [{sprites.SIZE}, {SIDE}, {SIDE}]"
            )
    return shape[0]


def _stream(path: pathlib.Path, count: int):
    """Yields the bits of the npz's images, uint8 [b, 512], chunk by chunk in their order."""
    with _array(path, "imgs") as (file, _, _):
        for start in range(0, count, _CHUNK):
            yield _pack(np.frombuffer(read_exactly(file, min(_CHUNK, count - start) * SIDE * SIDE), np.uint8), path)


def _pack(pixels: np.ndarray, source: pathlib.Path) -> np.ndarray:
    """Pixels {0, 1} of whole images, uint8 of any shape, as bits [b, 512]. Raises UserError for other values."""
    if pixels.max() > 1:
        raise UserError(f"{source}: pixels must be 0 or 1; got {pixels.max()}")
    return np.packbits(pixels.reshape(-1, SIDE * SIDE), axis=1)


def _classes(path: pathlib.Path, count: int) -> np.ndarray | None:
    """The levels of each image's factors, int64 [n, 6]: latents_classes, or the grid's where it is missing and the grid is whole, or None."""
    with _open(path) as archive:
        given = "latents_classes.npy" in archive.namelist()
    if not given:
        return sprites.factors(np.arange(count)) if count == sprites.SIZE else None
    with _array(path, "latents_classes") as (file, shape, dtype):
        if shape != (count, len(_LEVELS)) or dtype.kind not in "ui":
            raise UserError(
                f"{path}: latents_classes is {dtype} {list(shape)} instead of int64 [{count}, {len(_LEVELS)}]"
            )
        table = (
            np.frombuffer(read_exactly(file, math.prod(shape) * dtype.itemsize), dtype).reshape(shape).astype(np.int64)
        )
        if table.min() < 0 or (table.max(axis=0) >= _LEVELS).any():
            raise UserError(f"{path}: latents_classes must lie below {list(_LEVELS)}; got {table.max(axis=0).tolist()}")
    return table


@contextlib.contextmanager
def _open(path: pathlib.Path):
    """Opens an npz as the zip that it is; what goes wrong with it inside the block is a UserError naming it."""
    with reading(path, "whole dSprites npz"), zipfile.ZipFile(path) as archive:
        yield archive


@contextlib.contextmanager
def _array(path: pathlib.Path, name: str):
    """Opens one array of an npz: yields (file at the first element, shape, dtype). Never unpickles, and reads no other member."""
    with _open(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            raise UserError(f"{path} is no dSprites npz: it lacks {name}")
        with open_array(archive, name) as (file, shape, fortran, dtype):
            if fortran:
                raise ValueError(f"{name} is stored in Fortran order")
            yield file, shape, dtype


def _progress(rows, count: int, folder: pathlib.Path | None = None):
    """Passes `rows` on, with a progress bar."""
    from keras.utils import Progbar

    print(
        f"Packing {count} images of dSprites{f', once, into {folder.parent}' if folder else ' into memory'}", flush=True
    )
    bar = Progbar(count, unit_name="image", interval=0.1 if sys.stdout.isatty() else 10.0)
    for chunk in rows:
        yield chunk
        bar.add(len(chunk))


def _from_tfds(folder: pathlib.Path, cache) -> Dataset:
    if cache.enabled:
        identity = [[path.name, *files.stamp(path)] for path in sorted(folder.iterdir())]
        entry = image_cache.entry(
            cache.folder, "dsprites-tfds", identity, sprites.SIZE * _BYTES, lambda entry: _write_tfds(folder, entry)
        )
        bits = image_cache.load(entry / "bits.npy", np.uint8, (None, _BYTES))
        images, grid = PackedImages(bits), image_cache.load(entry / "grid.npy", np.int64, (len(bits),), sprites.SIZE)
    else:
        bits, grid, order = _pack_tfds(folder)
        images = Subset(PackedImages(bits), order)
    return Dataset(f"{folder} (TFDS)", Split(images, sprites.factors(grid)), factors=sprites.FACTORS)


def _write_tfds(folder: pathlib.Path, entry: pathlib.Path) -> None:
    bits, grid, order = _pack_tfds(folder)
    image_cache.write_rows(
        entry / "bits.npy", (bits[order[start : start + _CHUNK]] for start in range(0, len(order), _CHUNK)), (_BYTES,)
    )
    np.save(entry / "grid.npy", grid)


def _pack_tfds(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All images that TFDS prepared as bits, uint8 [n, 512] in its order; their places on the grid, rising; and the order that makes them rise."""
    bits, places = bytearray(), []
    print(f"Packing the images of {folder}", flush=True)
    for chunk in tfds.examples(folder, "train", _CHUNK):
        try:
            bits += _pack(chunk["image"], folder).tobytes()
            places.append(
                np.ravel_multi_index([np.zeros_like(chunk[_LABELS[0]]), *(chunk[label] for label in _LABELS)], _LEVELS)
            )
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{folder} holds labels that are not dSprites' ({error}): remove it and let TFDS prepare it again"
            ) from None
    places = np.concatenate(places) if places else np.empty(0, np.int64)
    grid, order = np.unique(places, return_index=True)
    if len(grid) < max(len(places), 1):
        raise UserError(
            f"{folder} holds {len(places)} images of {len(grid)} kinds: remove it and let TFDS prepare it again"
        )
    return np.frombuffer(bits, np.uint8).reshape(-1, _BYTES), grid, order
