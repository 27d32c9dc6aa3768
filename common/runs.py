"""Runs: which folders they may write to, and opening a trained one."""

import os
import pathlib
import runpy
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from common.config import Config
from common.data import images
from common.data.dataset import Dataset
from common.errors import UserError, first_line
from common.io.atomic import atomic_write
from common.io.lock import refuse_if_locked
from common.io.notices import import_tensorflow
from common.models import registry
from common.options import RUN_FILE, Options, RunFolders, TrainingOptions
from common.run_data import load_data, require_own_data
from common.run_folders import SCRIPTS as SCRIPTS  # Where others look for them.
from common.run_folders import run_name, run_to_open, script_of
from common.run_json import config_from, read_run, require_same_run
from common.training.checkpoint_files import saved

if TYPE_CHECKING:
    from common.models.system import System


def load_script(name: str) -> tuple[Config, dict[str, Config]]:
    """Return the `CONFIG` of a script, one of `SCRIPTS`, and its presets by name.

    Raises:
        UserError: the script is not next to `common`.
    """
    path = pathlib.Path(__file__).parents[1] / f"{name}.py"
    if not path.is_file():
        raise UserError(f"{path} is missing: run this command from a checkout of the project")
    found = runpy.run_path(str(path))
    return found["CONFIG"], found.get("PRESETS", {})


def claim_folders(config: Config, data: dict[str, Any], options: TrainingOptions) -> tuple[RunFolders, str | None]:
    """Return the folders of a run that is about to train, made and writable, and the checkpoint that it started from.

    Args:
        config: of the run.
        data: the fingerprint of its data.
        options: `resume` says whether the run goes on; it is not "auto".

    Raises:
        UserError: it would overwrite a run or resume a different one, another process writes there, or nobody can.
    """
    folders = RunFolders.of(config.name, options.out)
    refuse_if_locked(folders.models)
    start = options.tf1_checkpoint and os.path.abspath(options.tf1_checkpoint)
    if options.resume:
        run = require_same_run(config, data, folders.models / RUN_FILE)
        if start not in (None, run["start"]):
            was = f"started from {run['start']}" if run["start"] else "did not start from a TF1 checkpoint"
            raise UserError(f"cannot resume with --tf1-checkpoint {start}: the saved run {was}")
        start = run["start"]
    elif saved(folders.models) and not options.overwrite:
        remedy = "use --resume, another --out, or --overwrite to delete it"
        raise UserError(f"{folders.models} already contains a run: {remedy}")
    for folder in folders:
        make_writable_folder(folder)
    return folders, start


def make_writable_folder(folder: pathlib.Path, remedy: str = "name another --out") -> None:
    """Make `folder`. Raises UserError, which says what the `remedy` is, if it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / ".writable") as temporary:
            temporary.touch()
        (folder / ".writable").unlink(missing_ok=True)  # Another process may do the same.
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror or error}): {remedy}") from None


class LoadedRun(NamedTuple):
    """A trained run, opened without optimizers.

    Attributes:
        system: at the weights of `checkpoint`.
        dataset: the data that it is evaluated on.
        checkpoint: its path.
        description: what run.json says of it; None for a checkpoint of the original.
        results: the folder for results.
    """

    system: "System"
    dataset: Dataset
    checkpoint: str
    description: dict[str, Any] | None
    results: pathlib.Path


def description_of(path: pathlib.Path) -> tuple[dict[str, Any], pathlib.Path]:
    """Return what run.json says of the run of a checkpoint, or of a folder of them, and that file. Raises UserError."""
    run = _Saved.at(path)
    return run.description, run.folder / RUN_FILE


class _Saved(NamedTuple):
    """A run on disk: its folder, the checkpoint if one is named, its configuration and what run.json says."""

    folder: pathlib.Path
    checkpoint: str | None
    config: Config
    description: dict[str, Any]

    @classmethod
    def at(cls, path: pathlib.Path) -> "_Saved":
        """Find the run of a checkpoint, or of a folder of checkpoints or networks. Raises UserError without one."""
        names_one = pathlib.Path(f"{path}.index").is_file()
        if not names_one and not saved(path) and not (path / RUN_FILE).is_file():
            example = "models/InfoVAE_MNIST/InfoVAE_MNIST-937"
            raise UserError(f"no checkpoint at {path}: it should be a path like {example}, or the folder")
        file = (path.parent if names_one else path) / RUN_FILE
        description = read_run(file)
        return cls(file.parent, str(path) if names_one else None, config_from(description, file), description)

    def restore(self, training: bool) -> tuple["System", str]:
        """Build the system and load the checkpoint, or the newest intact one. Returns the checkpoint's path, too."""
        import_tensorflow()
        from common.training.checkpoints import Checkpoints

        system = registry.build(self.config, training)
        if not saved(self.folder):
            return system, self._load_networks(system)
        checkpoints = Checkpoints(system, self.folder, self.config.checkpoint_name)
        if self.checkpoint is None:
            return system, checkpoints.restore_latest()
        checkpoints.restore(self.checkpoint)
        return system, self.checkpoint

    def _load_networks(self, system: "System") -> str:
        """Load the weights in the folder's `<network>.keras` files, without optimizers. Returns the folder."""
        from common.nn.layers import plain

        files = {name: self.folder / f"{name}.keras" for name in system.networks}
        present = {name: file for name, file in files.items() if file.is_file()}
        if not present:
            raise UserError(f"{self.folder} has neither a checkpoint nor a .keras file of a network")
        absent = sorted(files.keys() - present.keys() - {"discriminator"})  # Which only training needs.
        if absent:
            names = ", ".join(f"{name}.keras" for name in absent)
            raise UserError(f"{self.folder} lacks {names}: copy all .keras files of the run")
        for name, file in present.items():
            try:
                saved_network = plain(system.networks[name])
                saved_network.load_weights(file)
                system.networks[name].set_weights(saved_network.get_weights())
            except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
                raise UserError(f"{file} is damaged, or of another network: {first_line(error)}") from None
        step = self.description["step"]
        if isinstance(step, int) and not isinstance(step, bool) and 0 <= step < 2**62:
            system.step.assign(step)
        return str(self.folder)


def open_run(path: pathlib.Path | str, training: bool = False) -> tuple["System", str]:
    """Open a run: its system, and the path of the checkpoint that was loaded.

    Args:
        path: a checkpoint, without ending; or a folder, for the newest intact one in it; or a folder of `.keras` files
            next to a run.json, which have no optimizers.
        training: whether to build the optimizers, too.

    Raises:
        UserError: there is no checkpoint, or it is damaged or does not match.
    """
    return _Saved.at(pathlib.Path(path)).restore(training)


def config_of(path: pathlib.Path | str) -> Config:
    """Return the configuration of the run at `path`, as `open_run` takes it. Raises UserError if there is none."""
    return _Saved.at(pathlib.Path(path)).config


def own_config(config: Config, options: Options) -> Config:
    """Return the configuration of the run that `open_with_data` opens; for a checkpoint of the original, `config`.

    Raises:
        UserError: there is no run, or it is of another data set than `config`, the script's.
    """
    run = _own_run(config, options)
    return run.config if run else config


def _own_run(config: Config, options: Options) -> _Saved | None:
    """Find --checkpoint, or the script's own run. Returns None for a checkpoint of the original; raises UserError."""
    path = run_to_open(config, options)
    if path is None:
        return None
    run = _Saved.at(path)
    theirs, ours = run.config.dataset, config.dataset
    if theirs not in (ours, images.NAME):  # Any script opens a run on images of one's own.
        use = f"use {script_of(run.config.name)}.py{' without --images' if ours == images.NAME else ''}"
        raise UserError(f"{path} was trained on {theirs}, and this script is for {ours}: {use}")
    return run


def open_networks(path: pathlib.Path | str) -> "System | None":
    """Open a run from its `.keras` files, whose averages are those of inference.

    Returns:
        The system; None if there are no such files, or if they are damaged or from another step than the checkpoint.

    Raises:
        UserError: there is no run at `path`, which is as `open_run` takes it.
    """
    run = _Saved.at(pathlib.Path(path))
    checkpoint = run.checkpoint or next(iter(saved(run.folder)), None)
    if checkpoint is not None and not checkpoint.endswith(f"-{run.description['step']}"):
        return None
    import_tensorflow()
    system = registry.build(run.config, training=False)
    try:
        run._load_networks(system)
    except UserError:
        return None
    return system


def open_with_data(
    config: Config, options: Options, load: Callable[..., Dataset], open_tf1: Callable[[Config, pathlib.Path], "System"]
) -> LoadedRun:
    """Open --checkpoint, or the newest checkpoint of the script's own run below --out, and its data.

    The configuration is the run's own; `config` decides only which data set and whose run, except for a checkpoint of
    the original, which has none. Results on synthetic data go to a folder whose name ends in "-synthetic".

    Args:
        config: the script's configuration.
        options: which run and data.
        load: loads the data, as `load_dataset` does.
        open_tf1: builds the system of a configuration at the weights of a checkpoint of the original.

    Raises:
        UserError: there is no such checkpoint or data, they do not match, or the folder cannot be written to.
    """
    run = _own_run(config, options)
    config = run.config if run else config
    description = run and run.description
    file = run.folder / RUN_FILE if run else pathlib.Path()
    dataset = load_data(config, options, load, description, file)
    if run is None:
        checkpoint = str(options.tf1_checkpoint)
        system = open_tf1(config, options.tf1_checkpoint)
    else:
        require_own_data(dataset, options, run.description, file)
        system, checkpoint = run.restore(training=False)
    require_matching_images(dataset, system.config, checkpoint)
    results = RunFolders.of(run_name(config.name, dataset.synthetic), options.out).results
    make_writable_folder(results)
    return LoadedRun(system, dataset, checkpoint, description, results)


def open_others(run: LoadedRun, paths: list[pathlib.Path]) -> list[tuple["System", str]]:
    """Open other runs: (system, checkpoint) each. Raises UserError if one cannot be opened or is for other images."""
    opened = [open_run(path) for path in paths]
    for system, checkpoint in opened:
        require_matching_images(run.dataset, system.config, checkpoint)
        first, other = run.system.config.dataset, system.config.dataset
        if other != first:
            raise UserError(f"{checkpoint} was trained on {other}, and {run.checkpoint} on {first}")
    return opened


def require_matching_images(dataset: Dataset, config: Config, what: str) -> None:
    """Raise UserError unless the images of the data set have the shape of those of `what`, which `config` describes."""
    shape, wanted = list(dataset.train.take(0, 1).shape[1:]), list(config.image_shape)
    if shape != wanted:
        raise UserError(f"{dataset.source}: images are {shape}, and {what} is made for {wanted}")
