"""MNIST: Keras's mnist.npz, the four IDX files (plain or .gz), or TFDS's prepared data."""

import gzip
import math
import pathlib
import zlib

import numpy as np

from common.data import tfds
from common.data.dataset import Dataset, Factor, Split, SyntheticImages
from common.data.synthetic import digits
from common.errors import UserError
from common.io.npz import read_npz
from common.options import Cache

TITLE = "MNIST"
SYNTHETIC = "digits of Pillow's embedded font, randomly distorted"
ACCEPTED_FORMATS = "mnist.npz, the four IDX files (train-images-idx3-ubyte[.gz], ...), or TFDS's prepared mnist/"
DIGIT = Factor("digit", tuple(range(10)))

_NAMES = ("x_train", "y_train", "x_test", "y_test")  # The arrays of Keras's mnist.npz.
_SPLITS = {"train": "train", "test": "t10k"}
_MAX_BYTES = 1 << 28  # Several times the size of MNIST; larger claims are damage.
_TRAIN = 60_000


def default_paths() -> list[pathlib.Path]:
    """Return where earlier downloads may have left MNIST."""
    return [tfds.place("mnist"), pathlib.Path.home() / ".keras" / "datasets" / "mnist.npz"]


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
    """Read MNIST from an .npz file, or a folder that contains any of the forms. MNIST needs no cache.

    Raises:
        UserError: `path` has none of them, or a broken one.
    """
    if path.is_file():
        return _from_npz(path)
    try:
        if (path / "mnist.npz").is_file():
            return _from_npz(path / "mnist.npz")
        for folder in (path, path / "MNIST" / "raw"):  # The second is torchvision's.
            if _idx_file(folder, "train-images", 3) or _idx_file(folder, "t10k-images", 3):
                return _from_idx(folder)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    prepared = tfds.prepared(path, "mnist")
    if prepared:
        return _from_tfds(prepared)
    raise UserError(f"no MNIST in {path}: it should contain {ACCEPTED_FORMATS}")


def _dataset(source: str, arrays: dict[str, tuple[np.ndarray, np.ndarray]]) -> Dataset:
    """Make the data set of split -> (images, labels). Raises UserError if shapes or values are not MNIST's."""
    splits = {}
    for name, (images, labels) in arrays.items():
        if images.ndim == 4 and images.shape[-1] == 1:
            images = images[..., 0]
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
            found = f"{images.dtype} {list(images.shape)}"
            raise UserError(f"{source}: {name} images must be uint8 [n, 28, 28], n > 0; got {found}")
        if labels.shape != (len(images),) or labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() > 9:
            found = f"{labels.dtype} {list(labels.shape)}"
            raise UserError(f"{source}: {name} labels must be {len(images)} integers from 0 to 9; got {found}")
        splits[name] = Split(images[..., None], labels.astype(np.int64)[:, None])
    return Dataset(source, splits["train"], splits["test"], (DIGIT,), "digit")


def _from_npz(path: pathlib.Path) -> Dataset:
    x_train, y_train, x_test, y_test = read_npz(path, _MAX_BYTES, _NAMES).values()
    return _dataset(str(path), {"train": (x_train, y_train), "test": (x_test, y_test)})


def _idx_file(folder: pathlib.Path, stem: str, axes: int) -> pathlib.Path | None:
    names = [f"{stem}{separator}idx{axes}-ubyte{suffix}" for separator in "-." for suffix in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _from_idx(folder: pathlib.Path) -> Dataset:
    def read_part(stem: str, axes: int) -> np.ndarray:
        path = _idx_file(folder, stem, axes)
        if path is None:
            raise UserError(f"{folder} lacks {stem}-idx{axes}-ubyte (or .gz), one of MNIST's four IDX files")
        return read_idx(path, axes)

    arrays = {split: (read_part(f"{p}-images", 3), read_part(f"{p}-labels", 1)) for split, p in _SPLITS.items()}
    return _dataset(f"{folder} (IDX files)", arrays)


def read_idx(path: pathlib.Path, axes: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes, plain or gzipped: uint8 with `axes` axes.

    The format: two zero bytes, 8 for unsigned bytes, the number of axes, each axis as a big-endian int32, then the
    data. Raises UserError if the file is anything else, truncated, or too long.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            head = file.read(4 + 4 * axes)
            if len(head) < 4 + 4 * axes or head[:4] != bytes([0, 0, 8, axes]):
                raise UserError(f"{path} is not an IDX file of unsigned bytes with {axes} axes")
            shape = np.frombuffer(head, ">u4", offset=4).tolist()
            size = math.prod(shape)
            if size > _MAX_BYTES:
                raise UserError(f"{path}: the header says {shape}, which exceeds the limit of {_MAX_BYTES} bytes")
            data = file.read(size + 1)  # One more than expected shows trailing data without unpacking all of it.
    except gzip.BadGzipFile as error:
        raise UserError(f"{path} is not a gzip file: {error}") from None
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) != size:
        comparison = "more" if len(data) > size else "fewer"
        raise UserError(f"{path} contains {comparison} than the {size} bytes that its header says")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _from_tfds(folder: pathlib.Path) -> Dataset:
    def read_split(split: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels = tfds.read_arrays(folder, split, ("image", "label"))
        return images, labels

    return _dataset(f"{folder} (TFDS)", {split: read_split(split) for split in _SPLITS})
