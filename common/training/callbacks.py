"""Keras callbacks of training: scores, sample grids, log.csv, checkpoints and the conditions to stop.

Their order matters; it is fixed in `common.training.train`.
"""

import csv
import math
import pathlib
import time
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from common.errors import Diverged, Interrupted, Stuck
from common.io.atomic import atomic_write
from common.models.system import System
from common.options import SaveInterval
from common.training.checkpoints import Checkpoints
from common.training.signals import StopSignals


def step_of(system: System) -> int:
    """Return the number of training steps that `system` has taken."""
    return int(system.step.numpy())


class EpochLog(keras.callbacks.CSVLogger):
    """Writes log.csv: one row per epoch, one column per name.

    Keras's own logger would add an empty val_ column per loss.
    Rows of epochs from `first` on are dropped: their run stopped before its next checkpoint.
    """

    def __init__(self, path: pathlib.Path, first: int, names: list[str]):
        super().__init__(path, append=True)  # `fit` is called once for a partial epoch and again for the rest.
        self._names = names
        rows = []
        if path.exists():
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                rows = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) < first]
        with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["epoch", *names], *rows])

    def on_train_begin(self, logs=None):
        """Open the file."""
        super().on_train_begin(logs)
        self.keys = self._names

    def on_epoch_end(self, epoch, logs=None):
        """Write a row."""
        super().on_epoch_end(epoch, logs)
        self.csv_file.flush()  # So that it can be read while the run continues.


class RestoreEpochMeans(keras.callbacks.Callback):
    """Restores the running loss means when resuming within an epoch; `fit` resets them as an epoch begins."""

    def __init__(self, system: System):
        super().__init__()
        self._means = {name: (mean.total.numpy(), mean.count.numpy()) for name, mean in system.trackers.items()}

    def on_epoch_begin(self, epoch, logs=None):
        """Restore them, once."""
        for name, (total, count) in self._means.items():
            self.model.trackers[name].total.assign(total)
            self.model.trackers[name].count.assign(count)
        self._means = {}


class Scores(keras.callbacks.Callback):
    """Adds scores to the log of each epoch."""

    def __init__(self, score: Callable[[], Mapping[str, float]]):
        super().__init__()
        self._score = score

    def on_epoch_end(self, epoch, logs=None):
        """Score the system."""
        logs.update(self._score())


class StopIfStuck(keras.callbacks.Callback):
    """Raises Stuck after the third epoch if the score `name` is below `least`; earlier, it says little."""

    _EPOCH = 2

    def __init__(self, name: str, least: float):
        super().__init__()
        self._name, self._least = name, least

    def on_epoch_end(self, epoch, logs=None):
        """Check the score."""
        value = (logs or {})[self._name]
        if epoch == self._EPOCH and value < self._least:
            raise Stuck(f"{self._name} is {value:.4f} after epoch {epoch + 1}, below {self._least:g}")


class SampleGrids(keras.callbacks.Callback):
    """Calls `draw(epoch)` after each epoch and, within the first, after 100, 200, 500, 1,000, ... steps."""

    def __init__(self, draw: Callable[[int], None], steps_per_epoch: int):
        super().__init__()
        self._draw, self._steps_per_epoch = draw, steps_per_epoch

    def on_train_batch_end(self, batch, logs=None):
        """Draw if this is one of those steps."""
        step = step_of(self.model)
        if 100 <= step < self._steps_per_epoch and str(step).rstrip("0") in ("1", "2", "5"):
            self._draw(0)

    def on_epoch_end(self, epoch, logs=None):
        """Draw."""
        self._draw(epoch)


class AfterEpoch(keras.callbacks.Callback):
    """Calls a function without arguments after each epoch."""

    def __init__(self, function: Callable[[], None]):
        super().__init__()
        self._function = function

    def on_epoch_end(self, epoch, logs=None):
        """Call it."""
        self._function()


class TensorBoardGrids(keras.callbacks.Callback):
    """Shows the newest sample grid and class grid in TensorBoard, after each epoch."""

    def __init__(self, results: pathlib.Path):
        super().__init__()
        self._results = results
        self._writer = tf.summary.create_file_writer(str(results / "tensorboard" / "grids"))

    def on_epoch_end(self, epoch, logs=None):
        """Copy the files that were drawn."""
        with self._writer.as_default(step=epoch):
            for name, file in (("samples", f"VAE{epoch}.jpg"), ("classes", "class_grid.png")):
                if (self._results / file).is_file():
                    image = tf.io.decode_image(tf.io.read_file(str(self._results / file)), expand_animations=False)
                    tf.summary.image(name, image[None])
        self._writer.flush()


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves a checkpoint after each epoch, and within epochs as `every` says."""

    def __init__(self, checkpoints: Checkpoints, every: SaveInterval, steps_per_epoch: int):
        super().__init__()
        self._checkpoints, self._every, self._steps_per_epoch = checkpoints, every, steps_per_epoch
        self._last = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Save if due, except after the last step of an epoch: it is saved once its log and pictures are written."""
        step = step_of(self.model)
        due = (self._every.steps is not None and step % self._every.steps == 0) or (
            self._every.minutes is not None and time.monotonic() - self._last >= 60 * self._every.minutes
        )
        if due and step % self._steps_per_epoch:
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        """Save."""
        self._save()

    def _save(self) -> None:
        self._checkpoints.save()
        self._last = time.monotonic()


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises Diverged after a step whose loss is not finite."""

    def on_train_batch_end(self, batch, logs=None):
        """Check the means of the epoch so far: they stay non-finite. A loss that no step has had yet is NaN."""
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)) and float(self.model.trackers[name].count):
                raise Diverged(f"{name} is {float(value)} at step {step_of(self.model)}")


class StopOnSignal(keras.callbacks.Callback):
    """Saves and raises Interrupted after the step in which a signal came, or after the epoch if that was its last."""

    def __init__(self, checkpoints: Checkpoints, signals: StopSignals, steps_per_epoch: int):
        super().__init__()
        self._checkpoints, self._signals, self._steps_per_epoch = checkpoints, signals, steps_per_epoch

    def on_train_batch_end(self, batch, logs=None):
        """Stop within an epoch."""
        if self._signals.received and step_of(self.model) % self._steps_per_epoch:
            self._stop(self._checkpoints.save())

    def on_epoch_end(self, epoch, logs=None):
        """Stop after an epoch, which has been saved."""
        if self._signals.received:
            self._stop(self._checkpoints.newest())

    def _stop(self, path: str | None) -> None:
        assert self._signals.received is not None
        raise Interrupted(self._signals.received, f"stopped after step {step_of(self.model)}, saved as {path}")
