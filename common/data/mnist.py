"""MNIST: Keras's mnist.npz, the four IDX files, Kaggle's two CSV files, or TFDS's prepared data.

Compression and kind of a file are told by its first bytes, the split by its name. Archives are read as folders are.
"""

import io
import logging
import math
import pathlib
import re
import zipfile

import numpy as np

from common import surroundings
from common.data import formats, tfds
from common.data.dataset import Dataset, Factor, Split, SyntheticImages
from common.data.entries import Entry, list_files, not_found, shorten, unused, with_members
from common.data.synthetic import digits
from common.errors import UserError, first_line
from common.io.npz import DAMAGE, read_npz
from common.options import Cache

TITLE = "MNIST"
SYNTHETIC = "digits of Pillow's embedded font, randomly distorted"
ACCEPTED_FORMATS = (
    "mnist.npz, the four IDX files (train-images-idx3-ubyte[.gz], ...), mnist_train.csv and mnist_test.csv, a zip or"
    " tar of these, or TFDS's prepared mnist/"
)
DIGIT = Factor("digit", tuple(range(10)))
SIDE = 28

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # Of Keras's mnist.npz.
_SPLITS = {"train": "train", "test": "t10k"}  # Split -> the word for it in the IDX files' names.
_USUAL = ("", "MNIST/raw")  # Folders whose files precede what TFDS prepared.
_KINDS = {3: "images", 1: "labels"}  # By the number of axes.
_MAX_BYTES = 1 << 28  # Several times the size of MNIST; larger claims are damage.
_TRAIN = 60_000

logger = logging.getLogger(__name__)

Parts = dict[tuple[str, int], Entry]
"""The IDX files by split and number of axes."""


def default_paths() -> list[pathlib.Path]:
    """Return where earlier downloads may have left MNIST."""
    return [tfds.place("mnist"), surroundings.keras_home() / "datasets" / "mnist.npz"]


def download(cache: Cache) -> Dataset:
    """Let TFDS download and prepare MNIST. Raises UserError without a network."""
    return _from_tfds(tfds.download("mnist"))


def synthetic() -> Dataset:
    """Return 60,000 and 10,000 synthetic digits, drawn on demand."""
    train, test = (
        Split(SyntheticImages(digits, start, stop), digits.factors(np.arange(start, stop)))
        for start, stop in ((0, _TRAIN), (_TRAIN, digits.SIZE))
    )
    source = "synthetic digits (common/data/synthetic/digits.py)"
    return Dataset(source, train, test, digits.FACTORS, "digit", synthetic=True)


def read(path: pathlib.Path, cache: Cache | None) -> Dataset:
    """Read MNIST from an .npz file, or a folder or archive that contains any of the forms. MNIST needs no cache.

    Raises:
        UserError: `path` has none of them, or a broken one.
    """
    entries = list_files(path)
    prepared = tfds.prepared(path, "mnist")
    if prepared and not _is_there([entry for entry in entries if entry.folder in _USUAL]):
        return _from_tfds(prepared)
    if not _is_there(entries):
        entries = with_members(entries, _is_there)
    for find, read_found in ((_find_npz, _from_npz), (_find_idx, _from_idx), (_find_csv, _from_csv)):
        found = find(entries)
        if found:
            return read_found(path, entries, found)
    raise _missing(path, entries)


def _is_there(entries: list[Entry]) -> bool:
    return bool(_find_npz(entries) or _find_idx(entries) or _find_csv(entries))


def _missing(path: pathlib.Path, entries: list[Entry]) -> UserError:
    """Return the error for data that is not there, or not whole."""
    for entry in entries:
        if entry.suffix == ".npz" and not entry.is_junk:
            _from_npz(path, entries, entry)  # Raises the reason why it is not MNIST's.
    parts, others = _idx_parts(entries)
    if others:
        return others[0].error(f"is {formats.instead(others[0].kind(), 'an IDX file of unsigned bytes')}")
    if parts:
        names = [
            f"{word}-{_KINDS[axes]}-idx{axes}-ubyte"
            for split, word in _SPLITS.items()
            for axes in _KINDS
            if (split, axes) not in parts
        ]
        where = path if path.is_dir() or len(parts) > 1 else f"{path}, one of the four: name its folder; it"
        return UserError(f"{where} lacks {', '.join(names)} (or .gz), of MNIST's four IDX files")
    return not_found(TITLE, path, entries, ACCEPTED_FORMATS)


def _find_npz(entries: list[Entry]) -> Entry | None:
    """Return mnist.npz, or any other zip of its arrays."""
    named = [entry for entry in entries if entry.base.lower() == "mnist.npz"]
    others = [entry for entry in entries if entry.suffix in (".npz", ".zip", ".gz", "") and not entry.is_junk]
    return next(iter(named or (entry for entry in others if _has_arrays(entry))), None)


def _has_arrays(entry: Entry) -> bool:
    try:
        with entry.open() as file:
            if formats.recognise(file.read(formats.HEAD)) != formats.ZIP:
                return False
            return f"{_ARRAYS[0]}.npy" in zipfile.ZipFile(file).namelist()
    except (*formats.DAMAGE, *DAMAGE):
        return False


def _from_npz(path: pathlib.Path, entries: list[Entry], found: Entry) -> Dataset:
    where = pathlib.Path(found.path, found.name) if found.is_member else pathlib.Path(found.path)
    kind = found.kind()
    if kind != formats.ZIP:
        raise found.error(f"is {formats.instead(kind, 'a readable .npz file')}")
    with found.open() as file:
        x_train, y_train, x_test, y_test = read_npz(where, _MAX_BYTES, _ARRAYS, file).values()
    return _dataset(str(where), {"train": (x_train, y_train), "test": (x_test, y_test)}, unused(entries, [found]))


def _idx_parts(entries: list[Entry]) -> tuple[Parts, list[Entry]]:
    """Return the IDX files, and files that are not, but are named so."""
    parts, others = {}, []
    for entry in entries:
        name = entry.base.lower()
        split = "train" if "train" in name else "test" if re.search("t10k|test", name) else None
        named = re.search(r"idx\d|ubyte", name)
        if split is None or entry.is_junk or not (named or entry.suffix in ("", ".gz", ".bz2", ".xz", ".idx", ".bin")):
            continue
        axes = _axes(entry)
        if axes in _KINDS:
            parts.setdefault((split, axes), entry)
        elif named and entry.suffix not in (".zip", ".tar"):
            others.append(entry)
    return parts, others


def _axes(entry: Entry) -> int | None:
    """Return the number of axes of an IDX file of unsigned bytes; None for any other file."""
    try:
        with entry.open() as file:
            head = file.read(4)
    except formats.DAMAGE:
        return None
    return head[3] if len(head) == 4 and head[:3] == b"\0\0\x08" else None


def _find_idx(entries: list[Entry]) -> Parts | None:
    parts, _ = _idx_parts(entries)
    return parts if len(parts) == len(_SPLITS) * len(_KINDS) else None


def _from_idx(path: pathlib.Path, entries: list[Entry], found: Parts) -> Dataset:
    arrays = {split: (read_idx(found[split, 3], 3), read_idx(found[split, 1], 1)) for split in _SPLITS}
    return _dataset(f"{_place(path, found['train', 3])} (IDX files)", arrays, unused(entries, list(found.values())))


def _place(path: pathlib.Path, entry: Entry) -> pathlib.Path:
    return path if entry.is_member else pathlib.Path(entry.path).parent


def read_idx(entry: Entry, axes: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes, plain or compressed: uint8 with `axes` axes.

    The format: two zero bytes, 8 for unsigned bytes, the number of axes, each axis as a big-endian int32, then the
    data. Raises UserError if the file is anything else, truncated, or too long.
    """
    try:
        with entry.open() as file:
            head = file.read(4 + 4 * axes)
            if len(head) < 4 + 4 * axes or head[:4] != bytes([0, 0, 8, axes]):
                raise entry.error(f"is not an IDX file of unsigned bytes with {axes} axes")
            shape = np.frombuffer(head, ">u4", offset=4).tolist()
            size = math.prod(shape)
            if size > _MAX_BYTES:
                raise entry.error(f"has a header that says {shape}, which exceeds the limit of {_MAX_BYTES} bytes")
            data = file.read(size + 1)  # One more than expected shows trailing data without unpacking all of it.
    except formats.DAMAGE as error:
        raise entry.error(f"is damaged: {first_line(error)}") from None
    if len(data) != size:
        comparison = "more" if len(data) > size else "fewer"
        raise entry.error(f"contains {comparison} than the {size} bytes that its header says: download it again")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _find_csv(entries: list[Entry]) -> dict[str, Entry] | None:
    """Return Kaggle's two CSV files by split."""
    found = {}
    for entry in entries:
        match = re.search(r"train|test", entry.base.lower())
        if match and ".csv" in entry.base.lower() and not entry.is_junk and entry.kind() == formats.TEXT:
            found.setdefault(match[0], entry)
    return found if len(found) == len(_SPLITS) else None


def _from_csv(path: pathlib.Path, entries: list[Entry], found: dict[str, Entry]) -> Dataset:
    arrays = {split: _read_csv(found[split]) for split in _SPLITS}
    return _dataset(f"{_place(path, found['train'])} (CSV files)", arrays, unused(entries, list(found.values())))


def _read_csv(entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Read rows of a label and 784 pixels, with or without a header: uint8 [n, 28, 28] and uint8 [n]."""
    try:
        with entry.open() as file:
            data = file.read(_MAX_BYTES)
        first = data.split(b"\n", 1)[0]
        header = int(re.search(rb"[a-zA-Z]", first) is not None)
        table = np.loadtxt(io.BytesIO(data), np.uint8, delimiter=",", skiprows=header, ndmin=2, encoding="utf-8-sig")
    except (*formats.DAMAGE, *DAMAGE) as error:
        raise entry.error(f"is not a table of a label and 784 pixels from 0 to 255: {first_line(error)}") from None
    if table.shape[1] != 1 + SIDE * SIDE:
        raise entry.error(f"has {table.shape[1]} columns instead of a label and 784 pixels")
    return table[:, 1:].reshape(-1, SIDE, SIDE), table[:, 0]


def _dataset(source: str, arrays: dict[str, tuple[np.ndarray, np.ndarray]], left_out: tuple[str, ...] = ()) -> Dataset:
    """Make the data set of split -> (images, labels). Raises UserError if shapes or values are not MNIST's."""
    splits, broken = {}, []
    for name, (images, labels) in arrays.items():
        if images.ndim == 4 and images.shape[-1] == 1:
            images = images[..., 0]
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or len(images) == 0:
            found = f"{images.dtype} {list(images.shape)}"
            raise UserError(f"{source}: {name} images must be uint8 [n, 28, 28], n > 0; got {found}")
        if labels.shape != (len(images),) or labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() > 9:
            found = f"{labels.dtype} {list(labels.shape)}"
            raise UserError(f"{source}: {name} labels must be {len(images)} integers from 0 to 9; got {found}")
        valid = images.min(axis=(1, 2)) < images.max(axis=(1, 2))
        if not valid.any():
            raise UserError(f"{source}: in each of the {name} images all pixels are equal")
        if not valid.all():
            broken += [f"{name} image {i}" for i in np.flatnonzero(~valid)]
            images, labels = images[valid], labels[valid]
        splits[name] = Split(images[..., None], labels.astype(np.int64)[:, None])
    if broken:
        logger.warning("%s: left out, since all pixels are equal: %s", source, shorten(broken))
    return Dataset(source, splits["train"], splits["test"], (DIGIT,), "digit", unused=left_out, broken=tuple(broken))


def _from_tfds(folder: pathlib.Path) -> Dataset:
    def read_split(split: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels = tfds.read_arrays(folder, split, ("image", "label"))
        return images, labels

    return _dataset(f"{folder} (TFDS)", {split: read_split(split) for split in _SPLITS})
