"""MNIST from any of the forms people have it in: Keras's mnist.npz, the four IDX files (plain or .gz), TFDS."""

import gzip
import math
import pathlib
import zlib

import numpy as np

from common.config import Config
from common.data import tfds
from common.data.dataset import Dataset, Split
from common.data.factors import Factor
from common.data.synthetic import digits
from common.errors import UserError
from common.io.npz import read_npz

TITLE = "MNIST"
SYNTHETIC = "digits of Pillow's embedded font, randomly distorted"
ACCEPTED_FORMATS = "mnist.npz, or the four IDX files (train-images-idx3-ubyte[.gz], ...), or TFDS's prepared mnist/"
DIGIT = Factor("digit", tuple(range(10)))

_NAMES = ("x_train", "y_train", "x_test", "y_test")  # Of Keras's npz.
_SPLITS = {"train": "train", "test": "t10k"}
_MAX_BYTES = 1 << 28  # Several times the size of MNIST: what claims more is no MNIST.


def default_paths() -> list[pathlib.Path]:
    """Where MNIST lies on machines that have used it before."""
    return [tfds.place("mnist"), pathlib.Path.home() / ".keras" / "datasets" / "mnist.npz"]


def download(cache) -> Dataset:
    """Lets TFDS download and prepare MNIST. Raises UserError without a network."""
    return _from_tfds(tfds.download("mnist"))


def synthetic(config: Config) -> Dataset:
    """60,000 and 10,000 synthetic digits, drawn on demand."""
    from common.data.synthetic.images import SyntheticImages

    split = 60_000
    train, test = (
        Split(SyntheticImages(digits, start, stop), digits.factors(np.arange(start, stop)))
        for start, stop in ((0, split), (split, digits.SIZE))
    )
    return Dataset(
        "synthetic digits (common/data/synthetic/digits.py)", train, test, digits.FACTORS, "digit", synthetic=True
    )


def read(path: pathlib.Path, cache) -> Dataset:
    """Reads MNIST from `path`: an npz file, or a folder that holds any of the forms. Raises UserError where there is none, or a broken one."""
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
    raise UserError(f"no MNIST in {path}: it should hold {ACCEPTED_FORMATS}")


def _dataset(source: str, arrays: dict[str, tuple[np.ndarray, np.ndarray]]) -> Dataset:
    """Checks shapes and ranges of name -> (images, labels) and makes the data set. Raises UserError naming `source`."""
    splits = {}
    for name, (images, labels) in arrays.items():
        if images.ndim == 4 and images.shape[-1] == 1:
            images = images[..., 0]
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
            raise UserError(
                f"{source}: {name} images must be uint8 [n, 28, 28], n > 0; got {images.dtype} {list(images.shape)}"
            )
        if labels.shape != (len(images),) or labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() > 9:
            raise UserError(
                f"{source}: {name} labels must be {len(images)} integers from 0 to 9; got {labels.dtype} {list(labels.shape)}"
            )
        splits[name] = Split(images[..., None], labels.astype(np.int64)[:, None])
    return Dataset(source, splits["train"], splits["test"], (DIGIT,), "digit")


def _from_npz(path: pathlib.Path) -> Dataset:
    x_train, y_train, x_test, y_test = read_npz(path, _MAX_BYTES, _NAMES).values()
    return _dataset(str(path), {"train": (x_train, y_train), "test": (x_test, y_test)})


def _idx_file(folder: pathlib.Path, stem: str, dimensions: int) -> pathlib.Path | None:
    for separator in ("-", "."):
        for ending in ("", ".gz"):
            path = folder / f"{stem}{separator}idx{dimensions}-ubyte{ending}"
            if path.is_file():
                return path
    return None


def _from_idx(folder: pathlib.Path) -> Dataset:
    arrays = {}
    for split, prefix in _SPLITS.items():
        parts = []
        for kind, dimensions in (("images", 3), ("labels", 1)):
            path = _idx_file(folder, f"{prefix}-{kind}", dimensions)
            if path is None:
                raise UserError(
                    f"{folder} lacks {prefix}-{kind}-idx{dimensions}-ubyte (or .gz), one of MNIST's four IDX files"
                )
            parts.append(read_idx(path, dimensions))
        arrays[split] = tuple(parts)
    return _dataset(f"{folder} (IDX files)", arrays)


def read_idx(path: pathlib.Path, dimensions: int) -> np.ndarray:
    """Reads one IDX file of unsigned bytes, plain or gzipped: uint8 with `dimensions` axes.

    The format: two zero bytes, 8 for unsigned bytes, the number of axes, each axis as a big-endian int32, then the data.
    Raises UserError where the file is anything else, or ends early or late.
    """
    header = 4 + 4 * dimensions
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            head = file.read(header)
            if len(head) < header or head[:4] != bytes([0, 0, 8, dimensions]):
                raise UserError(f"{path} is no IDX file of unsigned bytes with {dimensions} axes")
            shape = np.frombuffer(head, ">u4", offset=4).tolist()
            size = math.prod(shape)
            if size > _MAX_BYTES:
                raise UserError(f"{path} announces {shape} bytes, which no part of MNIST has")
            data = file.read(size + 1)  # What is packed need not be unpacked any further.
    except gzip.BadGzipFile as error:
        raise UserError(f"{path} is no gzip file: {error}") from None
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) != size:
        raise UserError(
            f"{path} holds {'more' if len(data) > size else 'fewer'} than the {size} bytes that its header announces"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _from_tfds(folder: pathlib.Path) -> Dataset:
    arrays = {split: tfds.read_arrays(folder, split, ("image", "label")) for split in ("train", "test")}
    return _dataset(f"{folder} (TFDS)", arrays)
