"""Images of one's own: a folder of image files, a zip archive or a tar of them, or an .npz file (docs/own_data.md)."""

import dataclasses
import logging
import pathlib
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from common.config import Config
from common.data import cache as image_cache
from common.data.dataset import Dataset, Factor, Images, Split, Subset
from common.data.entries import Entry, list_files, not_found, shorten, unused, with_members
from common.data.files import BATCH, ImageFiles, broken_names, fingerprint, open_images, report_broken
from common.data.pixels import RANGES
from common.data.preprocess import centre_crop, resize
from common.errors import UserError
from common.io.npz import read_npz, reading
from common.options import SYNTHETIC, Cache

NAME = "images"  # The `Config.dataset` of a run on such images.
ACCEPTED_FORMATS = "a folder of images (jpg, png, webp, bmp or gif), a .zip or .tar of them, or an .npz file"
_CLASS = "class"
_HALF = 128  # From this brightness on, a pixel of a black and white image is white.
_MAX_BYTES = 1 << 32  # Of an .npz file, unpacked.
_MAX_FACTORS = 1000  # Columns of an .npz file: each costs memory beyond its own.
_FILE = re.compile(r"\.(zip|tar|tar\.gz|tgz|npz)$", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(zip|tar|tar\.gz|tgz)/", re.IGNORECASE)

logger = logging.getLogger(__name__)


def on_images(config: Config, path: pathlib.Path) -> Config:
    """Return a script's configuration for the images at `path`, as --images gives it, under a name of its own."""
    if config.dataset == NAME:
        return config  # A script for such images.
    name = f"{config.name}-{_title(path)}"
    if name.endswith(SYNTHETIC):  # The name of runs on synthetic data.
        name = f"{name}-{NAME}"
    return dataclasses.replace(config, dataset=NAME, name=name)


def _title(path: pathlib.Path) -> str:
    """Return what the images at `path` are called, which can be a part of any file's name."""
    name = re.sub(r"[^\w.-]+", "-", _FILE.sub("", path.resolve().name), flags=re.ASCII).strip("-.")
    return name[:40] or NAME


def existing(path: pathlib.Path | None) -> pathlib.Path:
    """Return the path of the images. Raises UserError if it was not named or does not exist."""
    if path is None:
        raise UserError(f"this run needs images of your own: name {ACCEPTED_FORMATS} with --images")
    if not path.exists():
        raise UserError(f"--images {path} does not exist; it should be {ACCEPTED_FORMATS}")
    return path


def read(path: pathlib.Path, config: Config, cache: Cache) -> Dataset:
    """Read the images at `path`, each cropped to its centre and resized.

    Args:
        path: a folder, an archive, or an .npz file.
        config: gives the images' shape, their scaling, and the fraction of test images.
        cache: where they are kept once they are resized.

    Raises:
        UserError: there are no images, or none that can be used.
    """
    existing(path)
    if path.suffix.lower() == ".npz" and path.is_file():
        return _read_npz(path, config, cache)
    entries = list_files(path)
    if not _images(entries):
        entries = with_members(entries, lambda found: bool(_images(found)))
    found = _images(entries)
    if not found:
        raise not_found("images", path, entries, ACCEPTED_FORMATS)
    order = sorted(zip(map(_checksum, _places(found)), found, strict=True))  # So that the first are of all classes.
    found = [entry for _, entry in order]
    left_out = unused(entries, found)
    others = [name for name in left_out if not Entry(name).is_junk]
    if others:
        logger.info("Left out, since these files are not images: %s", shorten(others))
    side, _, channels = config.image_shape
    files = OwnFiles(tuple(found), 0, side, channels, _is_binary(config))
    images, valid_indices = open_images(files, cache, _title(path))
    places, broken = _places(found), broken_names(files, valid_indices)
    dataset = _split(str(path), images, [places[i] for i in valid_indices], config.test_fraction)
    return dataclasses.replace(dataset, unused=left_out, broken=broken)


def _is_binary(config: Config) -> bool:
    """Return whether the networks' images are black and white, from pixels 0 and 1."""
    return RANGES[config.scaling].highest == 1


@dataclasses.dataclass(frozen=True)
class OwnFiles(ImageFiles):
    """Image files of any size as `Images`.

    Attributes:
        channels: 3, or 1 for brightness.
        binary: whether pixels become 0 or 1.
    """

    channels: int = 3
    binary: bool = False

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Return an RGB image, uint8 [h, w, 3], as it is stored."""
        return fit(image, self.size, self.channels, self.binary)

    def cache_key(self) -> list:
        """Return all that the images depend on, JSON-ready."""
        return [self.channels, self.binary, *super().cache_key()]


def fit(image: np.ndarray, size: int, channels: int, binary: bool = False) -> np.ndarray:
    """Crop the largest square in the centre of an image, and resize it with a filter that averages over areas.

    Args:
        image: uint8 [h, w, 3], or brightness [h, w, 1].
        size: the sides of the result.
        channels: 3, or 1 for the brightness (ITU-R 601).
        binary: whether to return 0 and 1, for dark and bright pixels.

    Returns:
        uint8 [size, size, channels].
    """
    square = centre_crop(image, min(image.shape[:2]))
    if square.shape[2] == 1:
        square = square.repeat(3, axis=2)
    resized = resize(square, size)
    if channels == 1:
        resized = np.asarray(Image.fromarray(resized).convert("L"))[..., None]
    return (resized >= _HALF).astype(np.uint8) if binary else resized


def _images(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.is_image]


def _places(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Return the parts of each file's name, without the folders that all have in common and the endings of archives."""
    names = [_ARCHIVE.sub("/", entry.name, count=1) if entry.is_member else entry.name for entry in entries]
    places = [tuple(name.split("/")) for name in names]
    while len({place[0] for place in places}) == 1 and min(map(len, places)) > 1:
        places = [place[1:] for place in places]
    return places


def _checksum(place: Sequence[str]) -> int:
    return zlib.crc32("/".join(place).encode("utf-8", "surrogateescape"))


def _split(source: str, images: Images, places: list[tuple[str, ...]], fraction: float) -> Dataset:
    """Return the data set of images in folders: the splits, and the classes, which are the names of sub-folders."""
    splits = [place[0].lower() if len(place) > 1 else "" for place in places]
    test = None
    if {"train", "test"} <= set(splits):
        stray = next(("/".join(place) for place, split in zip(places, splits, strict=True)
                      if split not in ("train", "test")), None)  # fmt: skip
        if stray:
            raise UserError(f"{source} contains train/ and test/, and {stray} lies in neither: move it")
        test, places = np.array([split == "test" for split in splits]), [place[1:] for place in places]
    names = [place[0] if len(place) > 1 else "" for place in places]
    kinds = sorted(set(names))
    if "" in kinds and len(kinds) > 1:
        single = "/".join(places[names.index("")])
        logger.warning("No classes, since some images, such as %s, lie next to the folders", single)
    labels = np.array([kinds.index(name) for name in names])
    if "" in kinds or len(kinds) < 2:
        kinds, labels = [], np.zeros(len(names), np.int64)
    if test is None:
        test = held_out(np.array([_checksum(place) for place in places]), labels, fraction)
    factors = (Factor(_CLASS, tuple(kinds)),) if kinds else ()
    return _dataset(source, images, labels[:, None] if kinds else None, factors, test)


def held_out(checksums: np.ndarray, labels: np.ndarray, fraction: float) -> np.ndarray:
    """Choose the test images: a fraction of each class, by checksums of their names, so that more images change little.

    Args:
        checksums: of n images, int [n].
        labels: their classes, int [n].
        fraction: of the images of each class: above 0, at least one, but never all.

    Returns:
        bool [n].
    """
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(fraction * len(members))), len(members) - 1) if fraction else 0
        test[members[checksums[members].argsort(kind="stable")][:count]] = True
    return test


def _dataset(
    source: str, images: Images, levels: np.ndarray | None, factors: tuple[Factor, ...], test: np.ndarray
) -> Dataset:
    """Return the data set of images, their levels [n, f] and the mask of its test images, bool [n]."""

    def part(mask: np.ndarray) -> Split:
        indices = np.flatnonzero(mask)
        return Split(Subset(images, indices), None if levels is None else levels[indices].astype(np.int64))

    label = _CLASS if any(factor.name == _CLASS for factor in factors) else None
    _warn_of_missing_classes(source, levels, factors, test)
    return Dataset(source, part(~test), part(test) if test.any() else None, factors, label)


def _warn_of_missing_classes(
    source: str, levels: np.ndarray | None, factors: tuple[Factor, ...], test: np.ndarray
) -> None:
    if levels is None or not factors or factors[-1].name != _CLASS or not test.any():
        return
    for mask, split in ((~test, "training"), (test, "test")):
        missing = Counter(range(factors[-1].levels)) - Counter(levels[mask, -1].tolist())
        if missing:
            names = [str(factors[-1].values[level]) for level in sorted(missing)]
            logger.warning("%s: no %s images of %s", source, split, shorten(names))


def _read_npz(path: pathlib.Path, config: Config, cache: Cache) -> Dataset:
    """Read `images` uint8 [n, h, w, c], and `labels` [n] and `factors` [n, f] if there are any."""
    with reading(path, "a readable .npz file"), zipfile.ZipFile(path) as archive:
        optional = [name for name in ("factors", "labels") if f"{name}.npy" in archive.namelist()]
    arrays = read_npz(path, _MAX_BYTES, ("images", *optional))
    stored = arrays["images"][..., None] if arrays["images"].ndim == 3 else arrays["images"]
    if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[3] not in (1, 3) or 0 in stored.shape:
        raise UserError(f"{path}: images must be uint8 [n, h, w, 1 or 3], n > 0; got {stored.dtype} {[*stored.shape]}")
    tables = {name: _checked_table(path, name, arrays[name], len(stored)) for name in optional}
    images, valid_indices = _resized(path, stored, config, cache)
    if not len(valid_indices):
        raise UserError(f"{path}: all {len(stored)} images are of one colour")
    broken = tuple(f"image {i}" for i in np.setdiff1d(np.arange(len(stored)), valid_indices))
    report_broken(_title(path), broken, len(stored))
    columns, factors = [], []
    for name, table in tables.items():
        for number, column in enumerate(table[valid_indices].T):
            values, levels = np.unique(column, return_inverse=True)
            columns.append(levels)
            factors.append(Factor(_CLASS if name == "labels" else f"factor {number}", tuple(values.tolist())))
    classes = columns[-1] if "labels" in tables else np.zeros(len(valid_indices), np.int64)
    test = held_out(np.array([_checksum(str(i)) for i in valid_indices]), classes, config.test_fraction)
    dataset = _dataset(str(path), images, np.stack(columns, axis=1) if columns else None, tuple(factors), test)
    return dataclasses.replace(dataset, broken=broken)


def _checked_table(path: pathlib.Path, name: str, table: np.ndarray, count: int) -> np.ndarray:
    """Return `factors` or `labels` of `count` images, whole numbers [n, f]. Raises UserError if it is not that."""
    axes = 2 if name == "factors" else 1
    if table.dtype.kind not in "biu" or table.ndim != axes or len(table) != count or 0 in table.shape:
        wanted = f"whole numbers [{count}{', f' if axes == 2 else ''}], one row per image"
        raise UserError(f"{path}: {name} must be {wanted}; got {table.dtype} {[*table.shape]}")
    table = table.reshape(count, -1)
    if table.shape[1] > _MAX_FACTORS:
        raise UserError(f"{path}: factors has {table.shape[1]} columns: leave at most {_MAX_FACTORS}")
    return table


def _resized(path: pathlib.Path, stored: np.ndarray, config: Config, cache: Cache) -> tuple[Images, np.ndarray]:
    """Return the images of an .npz file as `fit` makes them, without those of one colour, and their indices [n]."""
    side, _, channels = config.image_shape
    binary = _is_binary(config)
    if stored.shape[1:] == config.image_shape and not binary:
        valid_indices = np.flatnonzero(_varied(stored))
        return Subset(stored, valid_indices), valid_indices
    shape = (len(stored), *config.image_shape)
    scale = 255 if binary and stored.max() <= 1 else 1  # Black and white may be stored as 0 and 1.

    def chunks() -> Iterator[image_cache.Chunk]:
        for start in range(0, len(stored), BATCH):
            part = stored[start : start + BATCH] * np.uint8(scale)
            fitted = np.stack([fit(image, side, channels, binary) for image in part])
            valid = _varied(fitted)
            errors = [f"image {start + i} is broken: all its pixels are equal" for i in np.flatnonzero(~valid)]
            yield fitted[valid], (start + np.flatnonzero(valid)).tolist(), errors

    if not cache.enabled:
        images, indices, _ = zip(*chunks(), strict=True)
        return np.concatenate(images), np.concatenate(indices).astype(np.int64)
    key = [*config.image_shape, binary, scale, str(path.resolve()), *fingerprint(path)]
    return image_cache.open_images(cache.folder, _title(path), key, shape, chunks)


def _varied(images: np.ndarray) -> np.ndarray:
    """Return which images [n, h, w, c] are of more than one colour, bool [n]."""
    return images.min(axis=(1, 2, 3)) < images.max(axis=(1, 2, 3))
