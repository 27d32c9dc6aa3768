"""A one-time cache: what is slow to read is prepared once, as arrays in a folder on disk, and memory-mapped afterwards.

An entry is a folder named for everything that changes its content. It is filled under a temporary name and renamed when whole,
so an interrupted build is never taken for one. Builds in one cache folder take turns, so who waited finds the entry there, and
what killed builds left behind is removed by the next one. Where the file system has no locks, builds go on side by side: the
first to finish wins, and nothing is removed.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import sys
from collections.abc import Callable

import numpy as np
import PIL

from common.data import pool
from common.data.files import ImageFiles
from common.errors import UserError, first_line
from common.io.npz import DAMAGE, read_header

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None

_FORMAT = 2  # Counted up when the same files come to mean other bytes.
_TEMPORARY = ".building-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN = 5  # Broken files named one by one.


def entry(folder: pathlib.Path, title: str, identity, size: int, fill: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """Returns the folder of a cache entry, filling it first where there is none.

    Args:
        folder: the cache folder; made where it is missing.
        title: what the entry holds, in a word.
        identity: everything that its content is a function of, JSON-ready; the version of Pillow is added.
        size: bytes that it takes.
        fill: writes the entry's files into the empty folder that it is given. Its OSErrors count as the cache's.

    Raises:
        UserError: the disk is full; the folder cannot be written; `fill` raised one.
    """
    digest = hashlib.sha256(json.dumps([_FORMAT, PIL.__version__, identity]).encode()).hexdigest()[:16]
    path = folder / f"{title}-{digest}"
    try:
        if not path.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            with _turn(folder) as alone:
                if alone:
                    _sweep(folder)
                if not path.is_dir():
                    _build(path, size, fill)
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(
                f"the disk of the cache {folder} is full: free {(size >> 20) + 1} MiB, name another --cache-dir, or use --no-cache"
            ) from None
        raise UserError(
            f"cannot write the cache {folder} ({error.strerror or error}): name another --cache-dir, or use --no-cache"
        ) from None
    return path


def load(path: pathlib.Path, dtype: type, shape: tuple[int | None, ...], stop: int | None = None) -> np.ndarray:
    """The array in file `path` of an entry, a read-only memory map.

    Args:
        path: the file.
        dtype, shape: what it must hold; None for an axis of any length.
        stop: where given, all values must be in [0, stop), and are read to see to it.

    Raises:
        UserError: the file is missing or damaged, or holds something else.
    """
    try:
        with open(path, "rb") as file:
            found, fortran, kind = read_header(file, os.fstat(file.fileno()).st_size)
            fits = len(found) == len(shape) and all(n in (None, m) for n, m in zip(shape, found))
            if not fits or fortran or not np.issubdtype(kind, dtype):
                raise ValueError(f"{kind} {list(found)} is not what belongs there")
            array = np.memmap(file, kind, "r", file.tell(), found)
    except (OSError, *DAMAGE) as error:
        raise _damaged(path, first_line(error)) from None
    if stop is not None:
        check_range(path, array, stop)
    return array


def check_range(path: pathlib.Path, array: np.ndarray, stop: int) -> None:
    """Raises UserError, saying that the cache's file `path` is damaged, unless all of `array` is in [0, stop)."""
    if array.size and not 0 <= array.min() <= array.max() < stop:
        raise _damaged(path, f"its values are not in [0, {stop})")


def _damaged(path: pathlib.Path, why: str) -> UserError:
    return UserError(f"the cache is damaged: {path} ({why}); remove {path.parent}, and it is made again")


def open_images(files: ImageFiles, folder: pathlib.Path, title: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cached array of `files`, building it first where there is none.

    Args:
        files: the images.
        folder: the cache folder; made where it is missing.
        title: the data set's name, for the entry's name and messages.

    Returns:
        The whole images, a read-only memory map uint8 [n, size, size, 3], and their indices in `files`, int64 [n]: broken
        files are reported by name and left out.

    Raises:
        UserError: all files are broken; the disk is full; the folder cannot be written.
    """
    size = len(files) * int(np.prod(files.shape))
    path = entry(folder, title, files.identity(), size, lambda temporary: _write_images(files, temporary, title))
    images = load(path / "images.npy", np.uint8, (None, *files.shape))
    kept = load(path / "kept.npy", np.int64, (len(images),), len(files))
    if (np.diff(kept) <= 0).any():
        raise _damaged(path / "kept.npy", "its values do not rise")
    if len(kept) < len(files):
        print(f"{title}: {len(files) - len(kept)} of {len(files)} image files are broken and left out")
    return images, kept


def write_rows(path: pathlib.Path, rows, shape: tuple[int, ...]) -> int:
    """Writes chunks `rows`, each uint8 [b, *shape], as one npy file uint8 [n, *shape]; returns n, known only at the end."""
    count = 0
    with open(path, "wb") as out:
        _write_header(out, (0, *shape))
        start = out.tell()
        for chunk in rows:
            # Plain writes: a full disk is an error here, where a write to a memory map would be a crash.
            out.write(np.ascontiguousarray(chunk, np.uint8).data)
            count += len(chunk)
        out.seek(0)
        _write_header(out, (count, *shape))
        assert out.tell() == start  # numpy leaves room for the first axis to grow.
    return count


def _write_header(out, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})


@contextlib.contextmanager
def _turn(folder: pathlib.Path):
    """Waits until no other process builds in `folder`; yields whether that is sure. The lock ends with its process, however that ends."""
    if fcntl is None:
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(handle, folder)
    finally:
        os.close(handle)


def _lock(handle: int, folder: pathlib.Path) -> bool:
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another process that fills the cache {folder}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        return True
    except OSError:  # Some network disks know no locks.
        return False


def _sweep(folder: pathlib.Path) -> None:
    """Removes what killed builds left."""
    for leftover in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _build(path: pathlib.Path, size: int, fill: Callable[[pathlib.Path], None]) -> None:
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, "not enough space")
    temporary = path.parent / f"{_TEMPORARY}{path.name}-{secrets.token_hex(4)}"
    temporary.mkdir()
    try:
        fill(temporary)
        for (
            file
        ) in temporary.iterdir():  # Or a power cut after the renaming could leave a whole name over half a content.
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():  # Another process was first: its entry is as good.
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_images(files: ImageFiles, folder: pathlib.Path, title: str) -> None:
    """Writes the whole images of `files` to images.npy in order, and their indices to kept.npy."""
    from keras.utils import Progbar

    print(f"Preprocessing {len(files)} images of {title}, once, into {folder.parent}", flush=True)
    bar = Progbar(len(files), unit_name="image", interval=0.1 if sys.stdout.isatty() else 10.0)
    kept, broken = [], []

    def whole():
        for images, indices, messages in pool.load_all(files):
            kept.extend(indices)
            broken.extend(messages)
            yield images
            bar.update(len(kept) + len(broken))

    write_rows(folder / "images.npy", whole(), files.shape)
    for message in broken[:_SHOWN]:
        print(f"Skipped: {message}")
    if len(broken) > _SHOWN:
        print(f"Skipped: {len(broken) - _SHOWN} more broken files")
    if not kept:
        raise UserError(f"all {len(broken)} images are broken; the first: {broken[0]}")
    np.save(folder / "kept.npy", np.asarray(kept, np.int64))
