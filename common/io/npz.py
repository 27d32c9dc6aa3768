"""Reading npy and npz files that nobody vouches for: never unpickled, and never more memory than the file announces and holds."""

import contextlib
import math
import pathlib
import struct
import tokenize
import warnings
import zipfile
import zlib

import numpy as np

from common.errors import UserError, first_line

DAMAGE = (
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    TypeError,
    OverflowError,
)  # What zipfile and numpy raise on damaged files.
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # As numpy packs.


@contextlib.contextmanager
def reading(path: pathlib.Path, what: str):
    """What goes wrong inside the block with the file of arrays `path` is a UserError: it is no `what`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except DAMAGE as error:
        raise UserError(f"{path} is no {what}: {first_line(error)}") from None


def read_header(file, size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Reads the header of an npy file of `size` bytes, and leaves `file` at the first value.

    Returns:
        The shape, whether the order is Fortran's, and the dtype: of numbers or text.

    Raises:
        one of DAMAGE: there is no such header, or what follows it is not as long as it announces.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"npy version {version} is unknown")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of headers that Python 2 wrote.
        shape, fortran, dtype = _HEADERS[version](file)
    if dtype.kind not in "biufU" or dtype.itemsize == 0:
        raise ValueError(f"it is of {'Python objects' if dtype.hasobject else dtype}, no numbers")
    announced, follow = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or announced > follow:
        raise ValueError(f"it ends early: {list(shape)} of {dtype} are announced, and {follow} bytes follow")
    if announced < follow:
        raise ValueError(
            f"it goes on after its last value: {list(shape)} of {dtype} are announced, and {follow} bytes follow"
        )
    return shape, fortran, dtype


@contextlib.contextmanager
def open_array(archive: zipfile.ZipFile, name: str):
    """Opens one array of numbers of an npz: yields (file at the first value, shape, whether the order is Fortran's, dtype). Raises one of DAMAGE."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in _PACKED:
        raise ValueError(f"{name} is packed in a way that numpy does not know")
    with archive.open(info) as file:
        try:
            shape, fortran, dtype = read_header(file, info.file_size)
        except DAMAGE as error:
            raise ValueError(f"{name}: {first_line(error)}") from None
        if dtype.kind == "U":
            raise ValueError(f"{name} is text")
        yield file, shape, fortran, dtype


def read_exactly(file, size: int) -> bytes:
    """`size` bytes of `file`. Raises ValueError where it ends before."""
    data = file.read(size)
    if len(data) < size:
        raise ValueError("it ends early")
    return data


def read_npz(path: pathlib.Path, max_bytes: int, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """Reads arrays of numbers from an npz file, without pickle.

    Args:
        path: the file.
        max_bytes: what all its arrays may unpack to.
        names: the arrays to read; all, where None.

    Returns:
        The arrays by name, in the machine's byte order; they cannot be written to.

    Raises:
        UserError: the file is missing, damaged or too large, lacks a name, or holds anything else.
    """
    with reading(path, "readable npz file"), zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
        if size > max_bytes:
            raise UserError(f"{path} unpacks to {size} bytes, more than the {max_bytes} that could be meant")
        held = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        missing = [name for name in names or () if name not in held]
        if missing:
            raise UserError(f"{path} lacks {', '.join(missing)}")
        return {name: _read_array(archive, name) for name in names or held}


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with open_array(archive, name) as (file, shape, fortran, dtype):
        values = np.frombuffer(read_exactly(file, math.prod(shape) * dtype.itemsize), dtype)
        return values.reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="), copy=False)
