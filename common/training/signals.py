"""SIGINT and SIGTERM during training: the first asks for an end after the present step, the second ends the process at once."""

import os
import signal
import socket
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """While the block runs, the first of `SIGNALS` only sets `received`; a second one ends the process with 128 + its number.

    Python runs signal handlers between two bytecodes, and a training step may be one long call. So a thread of its own reads
    the signals from a socket, into which Python's C handler writes at once.

    Attributes:
        received: the number of the first signal, or None.
    """

    def __enter__(self) -> "StopSignals":
        """Takes the signals over; outside the main thread, where Python does not allow that, does nothing."""
        self.received: int | None = None
        self._handlers = {}
        if threading.current_thread() is not threading.main_thread():
            return self
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}
        self._wakeup = signal.set_wakeup_fd(self._write.fileno())
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def _note(self, number: int, frame=None) -> None:
        self.received = self.received or number

    def _listen(self) -> None:
        heard = False
        while number := self._read.recv(1)[0]:
            if number not in SIGNALS:
                continue
            if heard:
                os._exit(128 + number)
            heard = True
            self._note(number)
            print(f"\n{signal.Signals(number).name}: stopping after this step; once more stops at once", flush=True)

    def __exit__(self, *_) -> None:
        """Gives the signals back."""
        if not self._handlers:
            return
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._write.send(b"\0")
        self._thread.join()
        self._read.close()
        self._write.close()
