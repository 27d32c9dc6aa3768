"""Safe reading of untrusted .npy and .npz files: no pickle, and no more memory than the file really holds."""

import contextlib
import math
import pathlib
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np

from common.errors import UserError, first_line

# What zipfile and numpy raise on damaged files.
DAMAGE = (ValueError, LookupError, EOFError, MemoryError, RuntimeError, SyntaxError, TypeError, OverflowError)
DAMAGE += (zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # The methods that numpy writes.


@contextlib.contextmanager
def reading(path: pathlib.Path, what: str) -> Iterator[None]:
    """Turn errors inside the block into a UserError: `path` is not `what`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except DAMAGE as error:
        raise UserError(f"{path} is not {what}: {first_line(error)}") from None


def read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an .npy file of `size` bytes, and leave `file` at the first value.

    Returns:
        The shape, whether the order is Fortran's, and the dtype, which is numeric or text.

    Raises:
        One of DAMAGE, if the header is not valid or does not match the length of the file.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"unknown npy version {version}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of headers written by Python 2.
        shape, fortran, dtype = _HEADERS[version](file)
    if dtype.kind not in "biufU" or dtype.itemsize == 0:
        raise ValueError(f"contains {'Python objects' if dtype.hasobject else dtype} instead of numbers")
    expected, found = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or expected != found:
        what = "trailing data" if 0 <= expected < found else "truncated"
        raise ValueError(f"{what}: the header says {list(shape)} of {dtype}, and {found} bytes follow")
    return shape, fortran, dtype


@contextlib.contextmanager
def open_array(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], bool, np.dtype]]:
    """Open one numeric array of an .npz file. Raises one of DAMAGE.

    Yields the file at the first value, the shape, whether the order is Fortran's, and the dtype.
    """
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in _COMPRESSION:
        raise ValueError(f"{name} has an unsupported compression")
    with archive.open(info) as file:
        try:
            shape, fortran, dtype = read_header(file, info.file_size)
        except DAMAGE as error:
            raise ValueError(f"{name}: {first_line(error)}") from None
        if dtype.kind == "U":
            raise ValueError(f"{name} is text")
        yield file, shape, fortran, dtype


def read_exactly(file: IO[bytes], size: int) -> bytes:
    """Read `size` bytes of `file`. Raises ValueError if fewer are left."""
    data = file.read(size)
    if len(data) < size:
        raise ValueError("truncated")
    return data


def read_npz(
    path: pathlib.Path, max_bytes: int, names: tuple[str, ...] | None = None, file: IO[bytes] | None = None
) -> dict[str, np.ndarray]:
    """Read numeric arrays from an .npz file, without pickle.

    Args:
        path: the file.
        max_bytes: upper limit on the unpacked size of the whole file.
        names: the arrays to read; None for all.
        file: the open file, if it is not simply at `path`, which then only names it.

    Returns:
        The arrays by name, read-only and in the machine's byte order.

    Raises:
        UserError: the file is missing, damaged or too large, lacks a name, or contains anything else.
    """
    with reading(path, "a readable .npz file"), zipfile.ZipFile(file or path) as archive:
        size = sum(info.file_size for info in archive.infolist())
        if size > max_bytes:
            raise UserError(f"{path} unpacks to {size} bytes, which exceeds the limit of {max_bytes} bytes")
        found = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        missing = [name for name in names or () if name not in found]
        if missing:
            raise UserError(f"{path} lacks {', '.join(missing)}")
        return {name: _read_array(archive, name) for name in names or found}


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with open_array(archive, name) as (file, shape, fortran, dtype):
        values = np.frombuffer(read_exactly(file, math.prod(shape) * dtype.itemsize), dtype)
        return values.reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="), copy=False)
