"""SIGINT and SIGTERM during training: the first asks to stop after the present step, the second ends the process."""

import contextlib
import os
import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals(contextlib.ExitStack):
    """Inside the block, a first signal sets `received` to its number; a second one exits with 128 + its number.

    Python runs the handler between two of its instructions, so during a step at its end. Outside the main thread,
    where Python does not allow handlers, the block changes nothing.
    """

    received: int | None = None

    def __enter__(self) -> "StopSignals":
        """Replace the handlers until the block ends."""
        for number in SIGNALS if threading.current_thread() is threading.main_thread() else ():
            self.callback(signal.signal, number, signal.signal(number, self._handle))
        return self

    def _handle(self, number: int, frame) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        # Not `print`: a handler may interrupt one.
        os.write(1, f"\n{signal.Signals(number).name}: finishing this step; again to quit at once\n".encode())
