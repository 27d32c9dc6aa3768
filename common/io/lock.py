"""An exclusive lock on a folder: a file inside it, which the operating system unlocks when its process ends."""

import contextlib
import logging
import os
import pathlib
import platform
from collections.abc import Iterator

from common.errors import UserError

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None

NAME = "run.lock"
_REMEDY = "name another --out"

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def write_lock(folder: pathlib.Path, remedy: str = _REMEDY, waiting: str | None = None) -> Iterator[bool]:
    """Hold the lock of `folder`; yield False where locks do not exist (Windows, some network file systems).

    Args:
        folder: an existing folder.
        remedy: what to do if the lock cannot be had, for error messages.
        waiting: logged before waiting for another process that holds the lock; None raises an error instead.

    Raises:
        UserError: another process holds the lock (the message names its id and machine), or `folder` is not writable.
    """
    handle, locked = _acquire(folder / NAME, remedy, waiting)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()}".encode())
        yield locked
    finally:
        with contextlib.suppress(OSError):
            (folder / NAME).unlink()  # Still locked: a process that opened it meanwhile finds it gone and tries again.
        os.close(handle)


def refuse_if_locked(folder: pathlib.Path) -> None:
    """Raise UserError if another process holds the lock of `folder`; change nothing."""
    if (folder / NAME).exists():
        os.close(_acquire(folder / NAME, _REMEDY, None)[0])


def _acquire(path: pathlib.Path, remedy: str, waiting: str | None) -> tuple[int, bool]:
    """Open and lock `path`; returns its handle, and whether it is locked."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"cannot write to {path.parent} ({error.strerror}): {remedy}") from None
        try:
            if not _flock(handle, waiting):
                return handle, False
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle, True
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace") or "another process"
            os.close(handle)
            raise UserError(f"{path.parent} is being written by {holder}: wait, stop it, or {remedy}") from None
        except FileNotFoundError:  # Its holder removed the file between open and lock.
            pass
        os.close(handle)


def _flock(handle: int, waiting: str | None) -> bool:
    """Lock an open file; returns False if there are no locks. Raises BlockingIOError if held and `waiting` is None."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting is None:
            raise
        logger.info(waiting)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
