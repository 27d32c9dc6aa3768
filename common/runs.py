"""Where a run lies, and a trained run opened together with its data: what `evaluate` and `figures` start from."""

import pathlib
from typing import NamedTuple

from common.config import Config
from common.data.dataset import Dataset
from common.data.load import load_dataset
from common.errors import UserError
from common.io.atomic import atomic_write
from common.models import registry
from common.models.system import System
from common.options import Cache
from common.tf1 import checkpoints as tf1_checkpoints
from common.training import checkpoints


class Folders(NamedTuple):
    """Where a run writes: pictures, numbers and logs to `results`, checkpoints and networks to `models`."""

    results: pathlib.Path
    models: pathlib.Path

    @classmethod
    def of(cls, name: str, out: pathlib.Path) -> "Folders":
        """results/<name>/ and models/<name>/ below `out`."""
        return cls(out / "results" / name, out / "models" / name)


class Where(NamedTuple):
    """Where a command finds its data and a run: the flags that `train` has too, and a checkpoint, if one was named."""

    data_dir: pathlib.Path | None
    data: str
    cache: Cache
    out: pathlib.Path
    checkpoint: pathlib.Path | None = None
    tf1_checkpoint: str | None = None


class Run(NamedTuple):
    """A system in the state of `checkpoint`, the data set that it is looked at with, and the folder for what comes of that."""

    system: System
    checkpoint: str
    dataset: Dataset
    results: pathlib.Path


def open_with_data(config: Config, where: Where) -> Run:
    """Opens `where.checkpoint`, or else the newest of the script's own run below `where.out`, and its data. Makes the results folder.

    The configuration is the run's own; `config` says only which data set and whose run, unless a checkpoint of the original is to be
    opened, which knows none. What comes of a stand-in goes under a name that ends in "-synthetic", as in training.

    Raises:
        UserError: there is no such checkpoint or data, they do not fit each other, or the folder cannot be written to.
    """
    if where.checkpoint is not None and where.tf1_checkpoint is not None:
        raise UserError("--checkpoint and --tf1-checkpoint exclude each other: leave one out")
    if where.checkpoint is not None:
        system, checkpoint = checkpoints.open_run(where.checkpoint)
        dataset = load_dataset(system.config, where.data_dir, where.data, where.cache)
        name = system.config.name
    else:
        dataset = load_dataset(config, where.data_dir, where.data, where.cache)
        name = config.name
    if dataset.synthetic and not name.endswith("-synthetic"):
        name += "-synthetic"
    folders = Folders.of(name, where.out)
    if where.tf1_checkpoint is not None:
        system, checkpoint = registry.build(config), where.tf1_checkpoint
        tf1_checkpoints.load(system, checkpoint)
    elif where.checkpoint is None:
        system, checkpoint = checkpoints.open_run(folders.models)
    require_matching_images(dataset, system.config, checkpoint)
    make_writable_folder(folders.results)
    return Run(system, checkpoint, dataset, folders.results)


def open_beside(run: Run, paths: list[pathlib.Path]) -> list[tuple[System, str]]:
    """Other runs' systems with their checkpoints' paths. Raises UserError for one that cannot be opened, or is made for other images."""
    opened = [checkpoints.open_run(path) for path in paths]
    for system, checkpoint in opened:
        require_matching_images(run.dataset, system.config, checkpoint)
        if system.config.dataset != run.system.config.dataset:
            raise UserError(
                f"{checkpoint} was trained on {system.config.dataset}, and {run.checkpoint} on {run.system.config.dataset}"
            )
    return opened


def require_matching_images(dataset: Dataset, config: Config, what: str) -> None:
    """Raises UserError unless the data set's images have the shape that `what`, which `config` describes, is made for."""
    shape = tuple(dataset.train.take(0, 1).shape[1:])
    if shape != tuple(config.image_shape):
        raise UserError(
            f"{dataset.source}: images are {list(shape)}, and {what} is made for {list(config.image_shape)}"
        )


def make_writable_folder(folder: pathlib.Path) -> None:
    """Makes `folder`. Raises UserError where that, or writing into it, is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / ".writable") as temporary:
            temporary.touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror or error}): name another --out") from None
