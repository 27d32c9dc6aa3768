"""A cache on disk: arrays that are slow to prepare are prepared once and memory-mapped afterwards.

An entry is a folder named after a hash of all that its content depends on. It is filled under a temporary name and
renamed when complete, so an interrupted build is never used. Concurrent builds in one cache folder are serialised with
a lock, and a build removes what killed ones left. On file systems without locks, builds run concurrently: the first to
finish wins, and nothing is removed.
"""

import errno
import hashlib
import json
import logging
import math
import os
import pathlib
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import PIL

from common.errors import UserError, first_line
from common.io.lock import write_lock
from common.io.notices import import_tensorflow
from common.io.npz import DAMAGE, read_header

Chunk = tuple[np.ndarray, list[int], list[str]]
"""Decoded images, uint8 [b, h, w, 3], their indices in the data set, and one message for each broken file."""

_FORMAT = 4  # Increase when the same files are to give other bytes.
_TEMPORARY = ".building-"
_SHOWN = 5  # Broken files whose reasons are listed.
_REMEDY = "name another --cache-dir, or use --no-cache"

logger = logging.getLogger(__name__)


def entry(folder: pathlib.Path, title: str, key: Any, size: int, fill: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """Return the folder of a cache entry; fill it first if it does not exist.

    Args:
        folder: the cache folder; created if missing.
        title: the beginning of the entry's name.
        key: all that the content depends on, JSON-ready. Pillow's version is added.
        size: the entry's size in bytes.
        fill: writes the entry's files into the empty folder that it is given.

    Raises:
        UserError: the disk is full; the folder cannot be written; `fill` raised one.
    """
    digest = hashlib.sha256(json.dumps([_FORMAT, PIL.__version__, key]).encode()).hexdigest()[:16]
    path = folder / f"{title}-{digest}"
    try:
        if not path.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            with write_lock(folder, _REMEDY, f"Waiting for another process building the cache {folder}") as locked:
                if locked:
                    for leftover in folder.glob(f"{_TEMPORARY}*"):
                        shutil.rmtree(leftover, ignore_errors=True)
                if not path.is_dir():
                    _build(path, size, fill)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"no space left for the cache {folder}: free {(size >> 20) + 1} MiB, {_REMEDY}"
        else:
            message = f"cannot write the cache {folder} ({error.strerror or error}): {_REMEDY}"
        raise UserError(message) from None
    return path


def _build(path: pathlib.Path, size: int, fill: Callable[[pathlib.Path], None]) -> None:
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, "not enough space")
    temporary = path.parent / f"{_TEMPORARY}{path.name}-{secrets.token_hex(4)}"
    temporary.mkdir()
    try:
        fill(temporary)
        for file in temporary.iterdir():  # Otherwise a power cut after the renaming could leave incomplete files.
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():  # If it exists, another process was first.
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load(path: pathlib.Path, dtype: type, shape: tuple[int | None, ...], stop: int | None = None) -> np.ndarray:
    """Open one array of an entry as a read-only memory map.

    Args:
        path: the file.
        dtype: the type of its values.
        shape: its shape; None for an axis of any length.
        stop: if given, all values must be in [0, stop).

    Raises:
        UserError: the file is missing or damaged, or contains something else.
    """
    try:
        with open(path, "rb") as file:
            found, fortran, kind = read_header(file, os.fstat(file.fileno()).st_size)
            matches = len(found) == len(shape) and all(n in (None, m) for n, m in zip(shape, found, strict=True))
            if not matches or fortran or not np.issubdtype(kind, dtype):
                raise ValueError(f"unexpected {kind} {list(found)}")
            array = np.memmap(file, kind, "r", file.tell(), found)
    except (OSError, *DAMAGE) as error:
        raise _damaged(path, first_line(error)) from None
    if stop is not None and array.size and not 0 <= array.min() <= array.max() < stop:
        raise _damaged(path, f"its values are not in [0, {stop})")
    return array


def _damaged(path: pathlib.Path, why: str) -> UserError:
    return UserError(f"the cache is damaged: {path} ({why}); delete {path.parent} and it will be rebuilt")


def open_images(
    folder: pathlib.Path, title: str, key: Any, shape: tuple[int, ...], chunks: Callable[[], Iterable[Chunk]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return cached images; write them first if they are not in the cache.

    Args:
        folder: the cache folder.
        title: the data set's name, for messages and the entry's name.
        key: all that the images depend on, JSON-ready.
        shape: (n, h, w, c) of all images, broken ones included.
        chunks: yields all images in order. Called only if they are not in the cache.

    Returns:
        The valid images, a read-only memory map uint8 [m, h, w, c], and their indices, int64 [m].

    Raises:
        UserError: all images are broken; the disk is full; the folder cannot be written; the entry is damaged.
    """
    size = math.prod(shape)
    path = entry(folder, title, key, size, lambda temporary: write_images(temporary, title, shape, chunks()))
    return load_images(path, shape)


def load_images(path: pathlib.Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Open what `write_images` wrote into entry `path`; see `open_images`. Raises UserError if it is damaged."""
    images = load(path / "images.npy", np.uint8, (None, *shape[1:]))
    valid_indices = load(path / "valid_indices.npy", np.int64, (len(images),), shape[0])
    if (np.diff(valid_indices) <= 0).any():
        raise _damaged(path / "valid_indices.npy", "its values do not increase")
    return images, valid_indices


def write_images(folder: pathlib.Path, title: str, shape: tuple[int, ...], chunks: Iterable[Chunk]) -> None:
    """Write the valid images to images.npy and their indices to valid_indices.npy; report the broken ones."""
    valid_indices = []

    def rows() -> Iterator[np.ndarray]:
        message = f"Preprocessing {shape[0]} images of {title}, once, into {folder.parent}"
        for images, indices in _valid(chunks, shape[0], message):
            valid_indices.extend(indices)
            yield images

    write_rows(folder / "images.npy", rows(), shape[1:])
    np.save(folder / "valid_indices.npy", np.asarray(valid_indices, np.int64))


def valid_images(chunks: Iterable[Chunk], count: int, message: str) -> np.ndarray:
    """Return the indices of the valid images among `count`, int64 [n], with a progress bar; report the broken ones.

    Raises UserError if all are broken.
    """
    return np.array([i for _, indices in _valid(chunks, count, message) for i in indices], np.int64)


def _valid(chunks: Iterable[Chunk], count: int, message: str) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Yield the valid images of each chunk and their indices, then report the broken ones."""
    bar, valid, errors = progress_bar(message, count), 0, []
    for images, indices, messages in chunks:
        yield images, indices
        valid += len(indices)
        errors.extend(messages)
        bar.update(valid + len(errors))
    if not valid:
        raise UserError(f"all {len(errors)} images are broken; the first: {errors[0]}")
    for error in errors[:_SHOWN]:
        logger.warning("Left out: %s", error)
    if len(errors) > _SHOWN:
        logger.warning("Left out: %d more broken files", len(errors) - _SHOWN)


def write_rows(path: pathlib.Path, chunks: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Write chunks, each uint8 [b, *shape], as one .npy file uint8 [n, *shape]; n need not be known in advance."""

    def write_header(count: int) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(out, header)

    count = 0
    with open(path, "wb") as out:
        write_header(0)
        start = out.tell()
        for chunk in chunks:
            # On a full disk, a plain write raises an error; a write to a memory map would crash the process.
            out.write(np.ascontiguousarray(chunk, np.uint8).data)
            count += len(chunk)
        out.seek(0)
        write_header(count)
        assert out.tell() == start  # numpy leaves room for the first axis to grow.


def progress_bar(message: str, count: int) -> Any:
    """Log `message` and return a Keras progress bar of `count` images, which shows if the message does."""
    import_tensorflow()
    from keras.utils import Progbar

    logger.info(message)
    shown = int(logger.isEnabledFor(logging.INFO))
    return Progbar(count, verbose=shown, unit_name="image", interval=0.1 if sys.stdout.isatty() else 10.0)
