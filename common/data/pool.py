"""A parallel map over processes, in order and in bounded memory."""

import collections
import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from common.errors import UserError
from common.threads import cores

_AHEAD = 3  # Limit on queued results per worker, which bounds memory.


def parallel_map(function: Callable[[Any], Any], arguments: Iterable[Any], count: int) -> Iterator[Any]:
    """Yield function(x) for each of the `count` arguments, in order. Raises UserError if a worker process dies."""
    workers = min(cores(), count)
    if workers <= 1:
        yield from map(function, arguments)
        return
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork.
    try:
        executor = concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_start_worker)
    except OSError:  # No semaphores: /dev/shm is missing or cannot be written to.
        yield from map(function, arguments)
        return
    with executor as pool:
        pending = collections.deque()
        try:
            for argument in arguments:
                pending.append(pool.submit(function, argument))
                if len(pending) > _AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                "a worker process died while preprocessing: out of memory, killed, or started from a script without"
                ' `if __name__ == "__main__":`; try again, or use --no-cache'
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which then ends its workers, and exit if the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
