"""What a run says of its progress: how long it will take, a bar on a terminal, and lines anywhere else."""

import logging
import math
import shutil
import sys
import time
from collections.abc import Mapping

import keras

from common.training.duration import duration

_WARM_UP, _MEASURED = 5, 15  # Steps before the time of a step is measured, and steps that it is measured over.
_LONG = 2 * 3600  # Seconds: a longer run is told what would be quicker.
_MINUTE = 60.0

logger = logging.getLogger(__name__)


def losses_line(logs: Mapping[str, float]) -> str:
    """Return losses and scores in one line; a loss without a value is left out."""
    return ", ".join(f"{name} {float(value):.4g}" for name, value in logs.items() if not math.isnan(float(value)))


class Bar(keras.callbacks.ProgbarLogger):
    """Keras's progress bar, with as many of the losses as fit on one line of the terminal."""

    _WIDTH = 10
    _TIMES = len(" 99:59:59 999ms/step")
    _VALUE = len(" - : 1.2345e-04")  # Around a name.

    def _maybe_init_progbar(self):
        if self.progbar is None:
            self.progbar = keras.utils.Progbar(self.target, self._WIDTH, self.verbose, stateless_metrics=set())

    def _update_progbar(self, batch, logs=None):
        super()._update_progbar(batch, self._fitting(logs or {}))

    def _finalize_progbar(self, logs):
        super()._finalize_progbar(self._fitting(logs or {}))

    def _fitting(self, logs: Mapping[str, float]) -> dict[str, float]:
        """Return the first losses, under short names, that fit next to the bar."""
        count = 2 * len(str(self.target)) + 2
        left = shutil.get_terminal_size().columns - 1 - count - self._WIDTH - self._TIMES
        fitting = {}
        for name, value in logs.items():
            name = name.removesuffix("_loss")
            left -= len(name) + self._VALUE
            if left < 0:
                break
            fitting[name] = value
        return fitting


class Progress(keras.callbacks.Callback):
    """Logs how long the run will take, once that is known, and the results of each epoch.

    Without a terminal it also logs a line per minute or tenth of an epoch, whichever is later.

    Args:
        steps_per_epoch, epochs: the length of the run.
        quicker: what makes a run shorter, said if it takes more than two hours.
        terminal: whether a bar shows the rest.
    """

    def __init__(self, steps_per_epoch: int, epochs: int, quicker: str, terminal: bool):
        super().__init__()
        self._steps_per_epoch, self._epochs = steps_per_epoch, epochs
        self._quicker, self._terminal = quicker, terminal
        self._seen, self._measured_from, self._estimated = 0, 0.0, False
        self._epoch_began = self._last_line = time.monotonic()
        self._last_step = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock of the epoch."""
        self._epoch, self._epoch_began = epoch, time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Measure, and log a line if one is due."""
        now, self._seen = time.monotonic(), self._seen + 1
        step = int(self.model.step.numpy())
        if self._seen == 1:
            self._last_line, self._last_step = now, step
        if self._seen == _WARM_UP:
            self._measured_from = now
        if self._seen == _WARM_UP + _MEASURED:
            self._log_estimate((now - self._measured_from) / _MEASURED, step)
        tenth = step - self._last_step >= self._steps_per_epoch / 10
        if not self._terminal and tenth and now - self._last_line >= _MINUTE:
            self._log_line(now, step, logs or {})

    def _log_estimate(self, per_step: float, step: int) -> None:
        epoch, rest = per_step * self._steps_per_epoch, per_step * (self._steps_per_epoch * self._epochs - step)
        many = self._epochs > 1
        text = f"An epoch takes about {duration(epoch)} here" + (
            f", the whole run {duration(rest)} more." if many else "."
        )
        if rest > _LONG:
            text += f" Quicker: {self._quicker}."
        logger.info("%s%s", "\n" if self._terminal else "", text)

    def _log_line(self, now: float, step: int, logs: Mapping[str, float]) -> None:
        per_step = (now - self._last_line) / (step - self._last_step)
        done = step - self._epoch * self._steps_per_epoch
        left = per_step * (self._steps_per_epoch * self._epochs - step)
        logger.info(
            "Epoch %d/%d, step %d/%d: %s; %s left", self._epoch + 1, self._epochs, done, self._steps_per_epoch,
            losses_line(logs), duration(left),
        )  # fmt: skip
        self._last_line, self._last_step = now, step

    def on_epoch_end(self, epoch, logs=None):
        """Log the results of the epoch."""
        passed = duration(time.monotonic() - self._epoch_began)
        logger.info("Epoch %d/%d took %s: %s", epoch + 1, self._epochs, passed, losses_line(logs or {}))


def callbacks(steps_per_epoch: int, epochs: int, quicker: str) -> tuple[list[Bar], Progress]:
    """Return what shows the progress of a run: the bar, if there is a terminal, and the lines."""
    terminal = sys.stdout.isatty()
    return [Bar()] if terminal else [], Progress(steps_per_epoch, epochs, quicker, terminal)
