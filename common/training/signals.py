"""Signals that ask a run to stop, and the command that continues it. Does not import TensorFlow.

During training a run stops after the present step, at any other time at once.
"""

import contextlib
import os
import pathlib
import shlex
import signal
import stat
import sys
import threading

_URGENT = (signal.SIGINT, signal.SIGTERM)  # A second one ends the process at once.
# Of a closed terminal, and of job schedulers. They may be repeated, and stay ignored if they are (nohup).
_GENTLE = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGUSR1") if hasattr(signal, name))
SIGNALS = (*_URGENT, *_GENTLE)


class Stop(KeyboardInterrupt):
    """A signal came outside of training. Nothing should catch it but what ends the process."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class StopSignals(contextlib.ExitStack):
    """Inside the block, a first signal sets `received` to its number; a second SIGINT or SIGTERM exits with 128 + it.

    Python runs the handler between two of its instructions, so during a step at its end. Outside the main thread,
    where Python does not allow handlers, the block changes nothing.

    Args:
        at_once: whether the first signal also raises Stop.
    """

    received: int | None = None

    def __init__(self, at_once: bool = False):
        super().__init__()
        self._at_once, self._urgent = at_once, False

    def __enter__(self) -> "StopSignals":
        """Replace the handlers until the block ends."""
        for number in SIGNALS if threading.current_thread() is threading.main_thread() else ():
            if number in _URGENT or signal.getsignal(number) != signal.SIG_IGN:
                before = signal.signal(number, self._handle)
                self.callback(signal.signal, number, signal.SIG_DFL if before is None else before)
        return self

    def _handle(self, number: int, frame) -> None:
        if number in _URGENT:
            if self._urgent:
                os._exit(128 + number)
            self._urgent = True
        if number not in _URGENT:
            _leave_closed_terminal()
        first, self.received = self.received is None, self.received or number
        if first and self._at_once:
            raise Stop(number)
        if first:
            name = signal.Signals(number).name
            with contextlib.suppress(OSError):  # Not `print`: a handler may interrupt one.
                os.write(1, f"\n{name}: finishing this step; Ctrl-C or SIGTERM to quit at once\n".encode())


def _leave_closed_terminal() -> None:
    """Discard what is printed from now on if the terminal is gone: writing to it would fail."""
    for handle in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(handle).st_mode) and not os.isatty(handle):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, handle)
                os.close(null)


def resume_command(out: pathlib.Path | None = None, auto: bool = False) -> str:
    """Return the command line of this process with --resume.

    Args:
        out: another --out, if given.
        auto: whether to start the run if it has no checkpoint yet.
    """
    arguments = sys.argv
    if "--resume=auto" not in arguments and ("--resume", "auto") not in zip(arguments, arguments[1:], strict=False):
        arguments = [a for a in arguments if a not in ("--resume", "--overwrite")] + ["--resume", *["auto"] * auto]
    return shlex.join([sys.executable, *arguments, *([f"--out={out}"] if out else [])])
