"""SIGINT and SIGTERM during training: the first asks for an end after the present step, the second ends the process at once."""

import os
import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While the block runs, the first of `SIGNALS` only sets `received`; a second one ends the process with 128 + its number.

    Python runs signal handlers between two bytecodes, and a training step may be one long call. So a thread of its own reads
    the signals from a pipe, into which Python's C handler writes at once.

    Attributes:
        received: the number of the first signal, or None.
    """

    def __enter__(self) -> "Interrupts":
        """Takes the signals over. Must be called from the main thread."""
        self.received: int | None = None
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        self._wakeup = signal.set_wakeup_fd(self._write)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def _listen(self) -> None:
        while (number := os.read(self._read, 1)[0]) != 0:
            if number not in SIGNALS:
                continue
            if self.received is not None:
                os._exit(128 + number)
            self.received = number
            print(f"\n{signal.Signals(number).name}: stopping after this step; once more stops at once", flush=True)

    def __exit__(self, *_) -> None:
        """Gives the signals back."""
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.write(self._write, b"\0")
        self._thread.join()
        os.close(self._read)
        os.close(self._write)
