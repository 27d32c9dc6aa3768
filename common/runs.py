"""Runs: where they lie, what describes them (run.json), and opening a trained one."""

import importlib.metadata
import json
import pathlib
import platform
import runpy
from typing import TYPE_CHECKING, Any, NamedTuple

from common.config import Config
from common.data.dataset import Dataset
from common.data.load import load_dataset
from common.errors import UserError
from common.io.atomic import atomic_write
from common.models import registry
from common.options import Cache

if TYPE_CHECKING:
    from common.models.system import System

PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "tensorflow-datasets", "numpy", "pillow")
METRICS_FILE = "metrics.json"  # Among results: what `evaluate` measured.
RUN_FILE = "run.json"  # Next to checkpoints and results: `provenance`.
SCRIPTS = {  # Short name -> script, next to `common`.
    "mnist": "InfoVAE_MNIST",
    "3dchairs": "InfoVAE_3DChairs",
    "celeba": "InfoVAE_CelebA",
    "dsprites": "InfoVAE_dSprites",
}
CHANGEABLE = ("epochs", "steps_per_epoch")  # Fields that may change on --resume.


def package_versions() -> dict[str, str]:
    """Versions of Python and of every package that a result depends on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def provenance(config: Config, source: str) -> dict[str, Any]:
    """What every result is written with: configuration (seed included), data source and versions."""
    return {"config": config.to_dict(), "data": source, "versions": package_versions()}


def read_run(file: pathlib.Path) -> dict[str, Any]:
    """The `provenance` in `file`: "config", "data" and, if the run did not start from initial weights, "start".

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return {"config": dict(saved["config"]), "data": str(saved["data"]), "start": saved.get("start")}
    except FileNotFoundError:
        raise UserError(f"{file} not found; it is needed to load the checkpoints") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        kind = type(error).__name__
        raise UserError(f"{file} is damaged ({kind}): restore it, or start a new run in another --out") from None


def read_config(file: pathlib.Path) -> Config:
    """The configuration in `file`. Raises UserError if it is missing or damaged."""
    values = read_run(file)["config"]
    try:
        return registry.config_from_plain(values)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, UserError) as error:
        raise UserError(f"{file} is damaged, or of another version of this project: {error}") from None


def require_same_run(config: Config, source: str, file: pathlib.Path) -> None:
    """Raises UserError, naming the first difference, unless `file` describes the run that is about to be resumed.

    Only the fields in `CHANGEABLE` may differ.
    """
    saved = read_run(file)
    old, new = ({**run["config"], "data": run["data"]} for run in (saved, {"config": config.to_dict(), "data": source}))
    old, new = ({**values, **values.pop("hyper", {})} for values in (old, new))
    for field in sorted(new.keys() | old.keys(), key=lambda name: (name not in ("model", "variant"), name)):
        if field not in CHANGEABLE and old.get(field) != new.get(field):
            was, now = old.get(field), new.get(field)
            raise UserError(f"cannot resume: {field} was {was} in the saved run and is {now} now ({file})")


def script_config(script: str) -> Config:
    """The `CONFIG` of a script, one of the values of `SCRIPTS`. Raises UserError if the scripts are not next to `common`."""
    path = pathlib.Path(__file__).parents[1] / f"{script}.py"
    if not path.is_file():
        raise UserError(f"{path} is missing: run this command from a checkout of the project")
    return runpy.run_path(str(path))["CONFIG"]


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

    system: "System"
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
        system, checkpoint = open_run(where.checkpoint)
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
        from common.tf1 import checkpoints as tf1_checkpoints

        tf1_checkpoints.load(system, checkpoint)
    elif where.checkpoint is None:
        system, checkpoint = open_run(folders.models)
    require_matching_images(dataset, system.config, checkpoint)
    make_writable_folder(folders.results)
    return Run(system, checkpoint, dataset, folders.results)


def open_beside(run: Run, paths: list[pathlib.Path]) -> list[tuple["System", str]]:
    """Other runs' systems with their checkpoints' paths. Raises UserError for one that cannot be opened, or is made for other images."""
    opened = [open_run(path) for path in paths]
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


def open_run(path: pathlib.Path, training: bool = False) -> tuple["System", str]:
    """The system of a run and the path of the checkpoint that was loaded: `path`, or the newest intact one in that folder.

    Without `training` it has no optimizers.

    Raises:
        UserError: there is no checkpoint, or it is damaged or does not match.
    """
    from common.training.checkpoints import Checkpoints, saved

    folder, names_one = path.parent, pathlib.Path(f"{path}.index").is_file()
    if not names_one:
        folder = path
        if not saved(path):
            example = "models/InfoVAE_MNIST/InfoVAE_MNIST-937"
            raise UserError(f"no checkpoint at {path}: it should be a path like {example}, or the folder")
    config = read_config(folder / RUN_FILE)
    system = registry.build(config, training)
    checkpoints = Checkpoints(system, folder, config.checkpoint_name)
    if not names_one:
        return system, checkpoints.restore_latest()
    checkpoints.restore(str(path))
    return system, str(path)
