"""A one-time cache: image files, preprocessed by a process pool into one uint8 array on disk, memory-mapped afterwards.

An entry is a folder named for everything that changes its content. It is built under a temporary name and renamed when whole,
so an interrupted build is never taken for one, and of two processes that build at once the first to finish wins.
"""

import concurrent.futures
import errno
import hashlib
import json
import multiprocessing
import os
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import PIL

from common.data.files import ImageFiles
from common.errors import UserError

_FORMAT = 1  # Counted up when the same files come to mean other bytes.
_CHUNK = 256  # Images a worker takes at a time.
_SHOWN = 5  # Broken files named one by one.


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
    identity = json.dumps([_FORMAT, PIL.__version__, files.identity()]).encode()
    entry = folder / f"{title}-{hashlib.sha256(identity).hexdigest()[:16]}"
    if not entry.is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _build(files, entry, title)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(f"the disk of the cache {folder} is full: free {_bytes(files) >> 20} MiB, name another --cache-dir, or use --no-cache") from None
            raise UserError(f"cannot write the cache {folder} ({error.strerror or error}): name another --cache-dir, or use --no-cache") from None
    return np.load(entry / "images.npy", mmap_mode="r"), np.load(entry / "kept.npy")


def _bytes(files: ImageFiles) -> int:
    return len(files) * int(np.prod(files.shape))


def _build(files: ImageFiles, entry: pathlib.Path, title: str) -> None:
    if shutil.disk_usage(entry.parent).free < _bytes(files):
        raise OSError(errno.ENOSPC, "not enough space")
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    try:
        kept = _write_images(files, temporary / "images.npy", title)
        np.save(temporary / "kept.npy", kept)
        try:
            temporary.rename(entry)
        except OSError:
            if not entry.is_dir():  # Another process was first: its entry is as good.
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_images(files: ImageFiles, path: pathlib.Path, title: str) -> np.ndarray:
    """Writes the whole images of `files` to `path` in order and returns their indices."""
    from keras.utils import Progbar

    print(f"Preprocessing {len(files)} images of {title}, once, into {path.parent.parent}", flush=True)
    bar = Progbar(len(files), unit_name="image", interval=0.1 if sys.stdout.isatty() else 10.0)
    kept, broken = [], []
    with open(path, "wb") as out:
        _write_header(out, (len(files), *files.shape))
        for indices, images, messages in _chunks(files):
            # Plain writes: a full disk is an error here, where a write to a memory map would be a crash.
            out.write(images.tobytes())
            kept.extend(indices)
            broken.extend(messages)
            bar.update(len(kept) + len(broken))
        if broken and kept:
            out.seek(0)
            _write_header(out, (len(kept), *files.shape))
        out.flush()
        os.fsync(out.fileno())
    for message in broken[:_SHOWN]:
        print(f"Skipped: {message}")
    if len(broken) > _SHOWN:
        print(f"Skipped: {len(broken) - _SHOWN} more broken files")
    if not kept:
        raise UserError(f"all {len(broken)} images are broken; the first: {broken[0]}")
    return np.asarray(kept, np.int64)


def _write_header(out, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _chunks(files: ImageFiles):
    """Yields (indices, images, messages of broken files) chunk by chunk, in order, made by a pool of processes."""
    starts = range(0, len(files), _CHUNK)
    workers = min(os.cpu_count() or 1, len(starts))
    if workers == 1:
        yield from (_load_chunk(files, start) for start in starts)
        return
    # Spawned, since TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_set_files, initargs=(files,)) as pool:
        try:
            yield from pool.map(_load_pooled, starts)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _set_files(files: ImageFiles) -> None:
    global _files  # Sent once a worker, not once a chunk.
    _files = files


def _load_pooled(start: int):
    return _load_chunk(_files, start)


def _load_chunk(files: ImageFiles, start: int):
    indices, images, messages = [], [], []
    for index in range(start, min(start + _CHUNK, len(files))):
        try:
            images.append(files.load(index))
            indices.append(index)
        except UserError as error:
            messages.append(str(error))
    return indices, np.stack(images) if images else np.empty((0, *files.shape), np.uint8), messages
