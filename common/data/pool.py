"""Image files decoded and preprocessed by a pool of processes, in order and in bounded memory."""

import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
import threading
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from common.data.files import ImageFiles
from common.errors import UserError
from common.threads import cores

_CHUNK = 256  # Images a worker takes at a time.
_AHEAD = 3  # Chunks a worker may be ahead of who writes them down: a slow disk must not fill the memory.


def load_all(files: ImageFiles):
    """Yields (images uint8 [b, size, size, 3], their indices in `files`, messages of broken files) chunk by chunk, in order.

    Raises UserError where a worker dies.
    """
    starts = range(0, len(files), _CHUNK)
    workers = min(cores(), len(starts))
    chunks = (dataclasses.replace(files, items=files.items[start : start + _CHUNK]) for start in starts)
    results = map(load_chunk, chunks) if workers <= 1 else _pooled(chunks, workers)
    for start, (images, indices, messages) in zip(starts, results):
        yield images, [start + i for i in indices], messages


def load_chunk(files: ImageFiles) -> tuple[np.ndarray, list[int], list[str]]:
    """Loads all of `files`: the whole images, their indices, and a message for each broken file."""
    indices, images, messages = [], [], []
    for index in range(len(files)):
        try:
            images.append(files.load(index))
            indices.append(index)
        except UserError as error:
            messages.append(str(error))
    return np.stack(images) if images else np.empty((0, *files.shape), np.uint8), indices, messages


def _pooled(chunks, workers: int):
    # Spawned, since TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        pending = collections.deque()
        try:
            for chunk in chunks:
                pending.append(pool.submit(load_chunk, chunk))
                if len(pending) > _AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                "a worker process died while preprocessing: out of memory, killed, or started from a script that lacks"
                ' `if __name__ == "__main__":`; try again, or use --no-cache'
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Ctrl-C is for the parent, which then ends its workers; and a killed parent leaves no worker waiting for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
