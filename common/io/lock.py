"""One writer a folder: a lock that ends with its process, however that ends."""

import contextlib
import os
import pathlib
import platform

from common.errors import UserError

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None

NAME = "run.lock"


@contextlib.contextmanager
def write_lock(folder: pathlib.Path):
    """Holds the lock of `folder` for the length of the block.

    The operating system gives the lock up when a process ends, so a file that a killed run left blocks nobody. Where locks do not
    exist (Windows, some network disks) nothing is locked.

    Raises:
        UserError: a living process holds it; its number, machine and command are named.
    """
    path = folder / NAME
    handle = _open_locked(path)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # Still locked: whoever opened it meanwhile finds it gone, and opens a new one.
        os.close(handle)


def refuse_if_locked(folder: pathlib.Path) -> None:
    """Raises UserError where another process writes to `folder`; changes nothing."""
    if (folder / NAME).exists():
        os.close(_open_locked(folder / NAME))


def _open_locked(path: pathlib.Path) -> int:
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"cannot write to {path.parent} ({error.strerror}): name another --out") from None
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace") or "another process"
            os.close(handle)
            raise UserError(
                f"{path.parent} is being written by {holder}: wait for its end, stop it, or name another --out"
            ) from None
        except OSError:  # A disk that knows no locks.
            return handle
        try:
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # Its holder removed it between the two calls.
