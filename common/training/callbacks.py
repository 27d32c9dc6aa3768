"""What happens between training steps: the log, the pictures, the score, checkpoints, and the reasons to stop."""

import csv
import math
import pathlib
import time

import keras

from common.data.dataset import Dataset
from common.errors import Diverged, Interrupted
from common.evaluation.evaluate import majority_test_accuracy
from common.evaluation.figures.generated import class_grid
from common.evaluation.figures.image_files import save_grid
from common.io.atomic import atomic_write
from common.models.system import System
from common.options import SaveInterval
from common.training.checkpoints import Checkpoints
from common.training.signals import StopSignals

GRID = 8  # Rows and columns of the sample grids.
CLASS_ROWS = 10  # Of the class grid.


class EpochLog(keras.callbacks.CSVLogger):
    """log.csv: a row an epoch, a column each of `names`. Left to itself, Keras adds an empty validation column for each loss.

    Rows of epochs from `first` on are dropped: they were written by a run that stopped before its next checkpoint.
    """

    def __init__(self, path: pathlib.Path, first: int, names: list[str]):
        super().__init__(path, append=True)  # `fit` is called once for a cut epoch and again for the rest.
        self._names = names
        rows = []
        if path.exists():
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                rows = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) < first]
        with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["epoch", *names], *rows])

    def on_train_begin(self, logs=None):
        """Opens the file."""
        super().on_train_begin(logs)
        self.keys = self._names


class RestoreEpochMeans(keras.callbacks.Callback):
    """The mean losses of an epoch that was cut off go on from where the checkpoint left them; `fit` sets them to 0 as an epoch begins."""

    def __init__(self, system: System):
        super().__init__()
        self._means = {
            name: (tracker.total.numpy(), tracker.count.numpy()) for name, tracker in system.trackers.items()
        }

    def on_epoch_begin(self, epoch, logs=None):
        """Puts them back, once."""
        for name, (total, count) in self._means.items():
            self.model.trackers[name].total.assign(total)
            self.model.trackers[name].count.assign(count)
        self._means = {}


class Evaluation(keras.callbacks.Callback):
    """Adds the unsupervised accuracy on the test images to the log of each epoch."""

    NAME = "test_accuracy"

    def __init__(self, dataset: Dataset):
        super().__init__()
        self._dataset = dataset

    def on_epoch_end(self, epoch, logs=None):
        """Scores the categories of all test images."""
        logs[self.NAME] = majority_test_accuracy(self.model, self._dataset)


class SampleGrids(keras.callbacks.Callback):
    """After epoch e, the original's pictures: VAE{e}.jpg and, from epoch 1, Real{e}.png; and the class grid, class_grid.png."""

    def __init__(self, dataset: Dataset, folder: pathlib.Path):
        super().__init__()
        self._dataset, self._folder = dataset, folder

    def on_epoch_end(self, epoch, logs=None):
        """Draws them. The samples are G(z, u) for the last batch's own z and u, the first 64 of them."""
        system, cells = self.model, GRID * GRID
        latents = system.sample_latents(system.step - 1, system.config.batch_size)
        save_grid(system.generate(latents).numpy()[:cells], GRID, GRID, self._folder / f"VAE{epoch}.jpg")
        if epoch >= 1:
            save_grid(self._dataset.train.take(0, cells), GRID, GRID, self._folder / f"Real{epoch}.png")
        save_grid(
            class_grid(system, CLASS_ROWS), CLASS_ROWS, system.config.latent.categories, self._folder / "class_grid.png"
        )


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves a checkpoint at the end of each epoch and as `every` says. Comes after all that writes what an epoch leaves."""

    def __init__(self, checkpoints: Checkpoints, every: SaveInterval, steps_per_epoch: int):
        super().__init__()
        self._checkpoints, self._every, self._steps_per_epoch = checkpoints, every, steps_per_epoch
        self._last = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Saves where one is due, but not at an epoch's last step: to go on from there would leave out what its end writes."""
        step = int(self.model.step.numpy())
        due = (self._every.steps is not None and step % self._every.steps == 0) or (
            self._every.minutes is not None and time.monotonic() - self._last >= 60 * self._every.minutes
        )
        if due and step % self._steps_per_epoch:
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        """Saves."""
        self._save()

    def _save(self) -> None:
        self._checkpoints.save()
        self._last = time.monotonic()


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises Diverged after a step whose loss is not finite. Comes before what saves."""

    def on_train_batch_end(self, batch, logs=None):
        """`logs` has means over the epoch so far: once a loss is not finite, neither is its mean. Without a value it is NaN."""
        for name, value in logs.items():
            if not math.isfinite(float(value)) and float(self.model.trackers[name].count):
                raise Diverged(f"{name} is {float(value)} at step {int(self.model.step.numpy())}")


class Stop(keras.callbacks.Callback):
    """Saves and raises Interrupted after a step during which a signal came; after an epoch's last one, when all is written. Comes last."""

    def __init__(self, checkpoints: Checkpoints, interrupts: StopSignals, steps_per_epoch: int):
        super().__init__()
        self._checkpoints, self._interrupts, self._steps_per_epoch = checkpoints, interrupts, steps_per_epoch

    def on_train_batch_end(self, batch, logs=None):
        """Looks for a signal."""
        if self._interrupts.received and int(self.model.step.numpy()) % self._steps_per_epoch:
            self._stop(self._checkpoints.save())

    def on_epoch_end(self, epoch, logs=None):
        """Looks for a signal."""
        if self._interrupts.received:
            self._stop(self._checkpoints.newest())

    def _stop(self, path: str) -> None:
        raise Interrupted(
            self._interrupts.received, f"stopped after step {int(self.model.step.numpy())}, saved as {path}"
        )
