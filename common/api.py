"""The project as a library: train on arrays, use a trained run, take single steps, collect metrics (docs/api.md).

These names are importable from `common`. What they take and return does not change from version to version.
"""

import dataclasses
import pathlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from common import commands
from common.config import Config, LatentSpec
from common.data.dataset import Dataset, Factor, Split
from common.data.pixels import RANGES
from common.errors import Interrupted, UserError
from common.fields import flag_of
from common.io.notices import import_tensorflow
from common.models import registry
from common.options import RunFolders, TrainingOptions
from common.run_folders import run_name

import_tensorflow()
import tensorflow as tf  # noqa: E402

from common.data.pipeline import Batches  # noqa: E402
from common.evaluation import summary  # noqa: E402
from common.evaluation.figures.tables import image_table  # noqa: E402
from common.evaluation.opening import open_trained  # noqa: E402
from common.evaluation.trained import TrainedModel, to_network  # noqa: E402
from common.models.system import System  # noqa: E402


def configure(config: Config, **changes: Any) -> Config:
    """Return `config` with changes, named like the flags: fields of a configuration, code lengths, hyper-parameters.

    Args:
        config: the `CONFIG` of a script, or one of its `PRESETS`.
        **changes: for example `epochs=2`, `categories=20`, `learning_rate=1e-4`, `model="betavae"`.

    Raises:
        UserError: a name is unknown, or a value is out of range.
    """
    names = {field.name for field in dataclasses.fields(Config)} - {"model", "variant", "latent", "hyper"}
    lengths = {field.name for field in dataclasses.fields(LatentSpec)}
    own = {name: value for name, value in changes.items() if name in names}
    latent = {name: value for name, value in changes.items() if name in lengths}
    hyper = {k: v for k, v in changes.items() if k not in {*names, *lengths, "model", "variant"}}
    unknown = [name for name in hyper if not registry.owners(name)]
    if unknown:
        raise UserError(
            f"there is no setting {unknown[0]}: --help-all lists them as flags, like {flag_of('learning_rate')}"
        )
    model, variant = changes.get("model", config.model), changes.get("variant", config.variant)
    config = registry.with_system(config, model, variant, **hyper)
    return dataclasses.replace(config, latent=dataclasses.replace(config.latent, **latent), **own)


def dataset(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    test_images: np.ndarray | None = None,
    test_labels: np.ndarray | None = None,
) -> Dataset:
    """Return arrays as a data set.

    Args:
        images: uint8 [n, h, w, c], or [n, h, w] if grey. Nothing is copied.
        labels: the class of each image, int [n] from 0, for the accuracy; training does not see it.
        test_images: the same for the test split, of the same shape.
        test_labels: the same for the test split, if there are `labels`.

    Raises:
        UserError: an array is something else, or the splits do not fit each other.
    """
    train = _split(images, labels)
    test = None if test_images is None else _split(test_images, test_labels)
    if test is None:
        if test_labels is not None:
            raise UserError("test_labels belong to test_images: give both or neither")
    else:
        if (labels is None) != (test_labels is None):
            raise UserError("labels and test_labels belong together: give both or neither")
        shape, test_shape = (list(split.take(0, 1).shape[1:]) for split in (train, test))
        if test_shape != shape:
            raise UserError(f"test images are {test_shape}, training images {shape}: they must be alike")
    digest = zlib.crc32(np.ascontiguousarray(images))
    source = f"an array of {len(images)} images ({digest:08x})"
    if labels is None:
        return Dataset(source, train, test)
    highest = max(int(np.max(given)) for given in (labels, test_labels) if given is not None)
    return Dataset(source, train, test, (Factor("class", tuple(range(highest + 1))),), "class")


def _split(images: np.ndarray, labels: np.ndarray | None) -> Split:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim not in (3, 4) or not len(images):
        remedy = "for floats from 0 to 1: (255 * images).round().astype('uint8')"
        got = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
        raise UserError(f"images must be a numpy array, uint8 [n, h, w, c], got {got}; {remedy}")
    if images.ndim == 3:
        images = images[..., None]
    if labels is None:
        return Split(images)
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),) or labels.min() < 0:
        raise UserError(
            f"labels must be whole numbers from 0, [{len(images)}], got {labels.dtype} {list(labels.shape)}"
        )
    return Split(images, labels.astype(np.int64)[:, None])


def train(
    config: Config,
    images: np.ndarray | Dataset,
    out: pathlib.Path | str = ".",
    *,
    evaluate: bool = False,
    **options: Any,
) -> TrainedModel:
    """Train a run as the scripts do, and return the trained model.

    Args:
        config: what is computed; its `name` is that of the folders below `out`.
        images: uint8 [n, h, w, c] of the shape in `config`, or a data set.
        out: checkpoints and networks go to models/ below it, pictures and log.csv to results/.
        evaluate: whether to measure the run and draw its figures, too.
        **options: fields of `common.options.TrainingOptions`, such as `resume=True` or `overwrite=True`.

    Raises:
        UserError: something must be put right first, or could not be written.
        Diverged: a loss or a variable is not finite.
        Interrupted: Ctrl-C or a signal came; the state is saved, and `resume=True` continues.
    """
    data = images if isinstance(images, Dataset) else dataset(images)
    chosen = TrainingOptions(out=pathlib.Path(out), evaluate=evaluate, **options)
    try:
        commands.train(config, chosen, load=lambda *_: data)
    except Interrupted as stop:
        reason = str(stop).split("; resume with")[0]
        raise Interrupted(stop.exit_code - 128, f"{reason}; continue with train(..., resume=True)") from None
    return load_run(RunFolders.of(run_name(config.name, data.synthetic), pathlib.Path(out)).models)


def load_run(path: pathlib.Path | str, images: np.ndarray | Dataset | None = None) -> TrainedModel:
    """Open a trained run.

    Args:
        path: its folder (models/NAME, or one of `.keras` files and a run.json), or a checkpoint in it.
        images: training images, uint8 [n, h, w, c], to take the encoder's batch-norm averages over. A finished run has
            them in its files; otherwise the default is the run's own data, if it is where it was. Without images the
            model generates, but does not encode.

    Raises:
        UserError: there is no run, it is damaged, or the images do not fit it.
    """
    return open_trained(path, images if images is None or isinstance(images, Dataset) else dataset(images))


def build(config: Config) -> System:
    """Build the system of a configuration at its initial weights, with optimizers, for `train_step`."""
    return registry.build(config)


def batches(config: Config, images: np.ndarray | Dataset, first: int = 0, last: int | None = None) -> Iterable[Any]:
    """Return the batches of training steps [first, last), in the order of `train`; by default of one epoch.

    Returns:
        A `tf.data.Dataset` of float32 [B, h, w, c], in the range of the networks.
    """
    data = images if isinstance(images, Dataset) else dataset(images)
    made = Batches(data.train.images, config.batch_size, config.scaling, config.seed)
    return made.from_step(first, first + made.steps_per_epoch if last is None else last)


def train_step(system: System, images: Any) -> Mapping[str, float]:
    """Take one training step outside of `fit`; the first call compiles it.

    Args:
        system: what `build` returned.
        images: a batch [B, h, w, c] of the configuration's size: uint8 or floats from 0 to 1, or one of `batches`.

    Returns:
        The means of the losses by name, over the steps so far.

    Raises:
        UserError: the images have another number, shape or range, or the system has no optimizers.
    """
    config = system.config
    if not system.optimizers:
        raise UserError("this system has no optimizers, so it cannot be trained: use what build(config) returns")
    inputs = images if isinstance(images, tf.Tensor) else to_network(images, config)[0]
    if tuple(inputs.shape) != (config.batch_size, *config.image_shape):
        raise UserError(f"a batch must be {[config.batch_size, *config.image_shape]}, got {list(inputs.shape)}")
    if not hasattr(system, "compiled_step"):
        system.compiled_step = tf.function(system.train_step)
    return {name: float(value) for name, value in system.compiled_step(inputs).items()}


def collect_metrics(paths: Iterable[pathlib.Path | str]) -> list[dict[str, Any]]:
    """Return what `evaluate` measured of several runs: one row per run, "run", "name", "seed", "step" and all metrics.

    Args:
        paths: metrics.json files, or the folders that they are in.

    Raises:
        UserError: a file is missing, or was measured at sizes too small to report.
    """
    rows = []
    for path in paths:
        report = summary.read(pathlib.Path(path))
        about = {"run": str(path), "name": report["config"].get("name"), "seed": report["config"]["seed"]}
        rows.append({**about, "step": report["step"], **report["metrics"]})
    return rows


def picture(
    images: np.ndarray, title: str = "", *, rows: Sequence[Any] = (), columns: Sequence[Any] = ()
) -> Image.Image:
    """Return images in a table, as notebooks show and `.save("name.png")` writes it.

    Args:
        images: floats from 0 to 1: a row of images [n, h, w, c], or a table [rows, columns, h, w, c].
        title: a line above them.
        rows: a label per row.
        columns: a label per column.

    Raises:
        UserError: the images or the number of labels are something else.
    """
    table = np.asarray(images)
    table = table[None] if table.ndim == 4 else table
    if table.ndim != 5 or table.dtype.kind != "f":
        raise UserError(f"images must be floats [n, h, w, c] or [rows, columns, h, w, c], got {list(table.shape)}")
    labels = [list(map(str, given)) or [""] * n for given, n in ((rows, table.shape[0]), (columns, table.shape[1]))]
    if [len(each) for each in labels] != list(table.shape[:2]):
        raise UserError(f"{len(rows)} and {len(columns)} labels for {table.shape[0]} rows and {table.shape[1]} columns")
    return image_table(title, RANGES["unit"].to_uint8(table), *labels)
