"""The command `train`: data, system and callbacks put together around `keras.Model.fit`."""

import dataclasses
import importlib.util
import pathlib
import sys

import keras
import tensorflow as tf

from common import data, figures, models, tf1
from common.checkpoints import Checkpoints, latest
from common.cli import Options
from common.config import RUN_FILE, Config, check_same_run, provenance, read_run
from common.data.dataset import Dataset
from common.data.pipeline import Batches
from common.errors import UserError
from common.evaluate import majority_test_accuracy
from common.images import save_grid
from common.models.system import System
from common.output import whole_file, write_json

GRID = 8  # Rows and columns of the sample grids.
CLASS_ROWS = 10  # Of the class grid.


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where a run writes: pictures and logs to `results`, checkpoints and networks to `models`."""

    results: pathlib.Path
    models: pathlib.Path

    @classmethod
    def of(cls, config: Config, out: pathlib.Path) -> "Folders":
        """results/<name>/ and models/<name>/ below `out`."""
        return cls(out / "results" / config.name, out / "models" / config.name)

    def make(self) -> None:
        """Makes both. Raises UserError where that, or writing into them, is impossible."""
        for folder in (self.results, self.models):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with whole_file(folder / ".writable") as temporary:
                    temporary.touch()
                (folder / ".writable").unlink()
            except OSError as error:
                raise UserError(f"cannot write to {folder} ({error.strerror or error}): name another --out") from None


def train(config: Config, options: Options) -> System:
    """Trains as `config` says, from the start or from the last checkpoint, and returns the trained system.

    Nothing is written before the data has been found whole and the output folders writable.
    """
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs the package of that name: pip install tensorboard")
    dataset = data.load(config, options.data_dir, options.data, options.cache)
    if dataset.synthetic:
        config = dataclasses.replace(config, name=f"{config.name}-synthetic")
    check_shape(dataset, config)
    batches = Batches(dataset.train.images, config.batch_size, config.scaling, config.seed)
    folders = Folders.of(config, options.out)
    check_free(config, options, folders, dataset.source)
    system = models.build(config)
    start = options.tf1_checkpoint
    if start:
        tf1.load(system, start)
    folders.make()
    checkpoints = Checkpoints(system, folders.models, config.checkpoint_name)
    if options.resume:
        print(f"Going on from {checkpoints.restore_latest()}")
        start = read_run(folders.models / RUN_FILE)["start"]
    elif options.overwrite:
        clear(folders)
    for folder in (folders.results, folders.models):
        write_json({**provenance(config, dataset.source), "start": start}, folder / RUN_FILE)
    print(f"Training on {len(dataset.train)} images from {dataset.source}; writing to {folders.results} and {folders.models}", flush=True)
    fit(system, dataset, batches, folders, checkpoints, options.tensorboard)
    for name, network in system.networks.items():
        with whole_file(folders.models / f"{name}.keras") as temporary:
            network.save(temporary)
    return system


def check_shape(dataset: Dataset, config: Config) -> None:
    """Raises UserError unless the data set's images have the shape that `config` expects."""
    shape = tuple(dataset.train.take(0, 1).shape[1:])
    if shape != tuple(config.image_shape):
        raise UserError(f"{dataset.source}: images are {list(shape)}, and {config.name} is made for {list(config.image_shape)}")


def check_free(config: Config, options: Options, folders: Folders, source: str) -> None:
    """Raises UserError where this run would overwrite another, or goes on from one that it is not."""
    if options.resume:
        if latest(folders.models) is None:
            raise UserError(f"nothing to resume: there is no checkpoint in {folders.models}")
        check_same_run(config, source, folders.models / RUN_FILE)
    elif latest(folders.models) and not options.overwrite:
        raise UserError(f"{folders.models} holds a run already: --resume goes on with it, --out writes elsewhere, --overwrite starts again and loses it")


def clear(folders: Folders) -> None:
    """Removes what an earlier run left, so that no file of it is taken for this one's."""
    for folder in (folders.results, folders.models):
        for path in folder.iterdir():
            if path.is_file():
                path.unlink()


def fit(system: System, dataset: Dataset, batches: Batches, folders: Folders, checkpoints: Checkpoints, tensorboard: bool) -> None:
    """Runs `keras.Model.fit` from the system's step to the end of its last epoch."""
    config = system.config
    steps = config.steps_per_epoch or batches.steps_per_epoch
    start = int(system.step.numpy())
    evaluation = [Evaluation(dataset)] if dataset.label and dataset.test else []
    columns = [*system.trackers, *(e.NAME for e in evaluation)]
    callbacks = [
        *evaluation,
        Samples(dataset, folders.results),
        EpochLog(folders.results / "log.csv", start > 0, columns),
        *([keras.callbacks.TensorBoard(folders.results / "tensorboard")] if tensorboard else []),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: checkpoints.save()),
    ]
    # An epoch that was cut off is finished first, with as many steps as it lacks.
    cut = start % steps
    spans = [(start // steps, start // steps + 1, steps - cut)] if cut else []
    spans.append((-(-start // steps), config.epochs, steps))
    for first, last, count in spans:
        if first < last:
            position = int(system.step.numpy())
            try:
                system.fit(batches.from_step(position, position + (last - first) * count), initial_epoch=first, epochs=last, steps_per_epoch=count,
                           callbacks=callbacks, shuffle=False, verbose=1 if sys.stdout.isatty() else 2)
            except tf.errors.OpError:
                if batches.failure:
                    raise batches.failure from None
                raise


class EpochLog(keras.callbacks.CSVLogger):
    """log.csv: a row an epoch, a column each of `names`. Left to itself, Keras adds an empty validation column for each loss."""

    def __init__(self, path: pathlib.Path, append: bool, names: list[str]):
        super().__init__(path, append=append)
        self._names = names

    def on_train_begin(self, logs=None):
        """Opens the file."""
        super().on_train_begin(logs)
        self.keys = self._names


class Evaluation(keras.callbacks.Callback):
    """Adds the unsupervised accuracy on the test images to the log of each epoch."""

    NAME = "test_accuracy"

    def __init__(self, dataset: Dataset):
        super().__init__()
        self._dataset = dataset

    def on_epoch_end(self, epoch, logs=None):
        """Scores the categories of all test images."""
        logs[self.NAME] = majority_test_accuracy(self.model, self._dataset)


class Samples(keras.callbacks.Callback):
    """After epoch e, the original's pictures: VAE{e}.jpg and, from epoch 1, Real{e}.png; and the class grid, class_grid.png."""

    def __init__(self, dataset: Dataset, folder: pathlib.Path):
        super().__init__()
        self._dataset, self._folder = dataset, folder

    def on_epoch_end(self, epoch, logs=None):
        """Draws them. The samples are G(z, u) for the last batch's own z and u, the first 64 of them."""
        system, cells = self.model, GRID * GRID
        latents = system.draw_latents(system.step - 1, system.config.batch_size)
        save_grid(system.generate(*latents).numpy()[:cells], GRID, GRID, self._folder / f"VAE{epoch}.jpg")
        if epoch >= 1:
            save_grid(self._dataset.train.take(0, cells), GRID, GRID, self._folder / f"Real{epoch}.png")
        save_grid(figures.class_grid(system, CLASS_ROWS), CLASS_ROWS, system.config.latent.categories, self._folder / "class_grid.png")
