"""The command `train`: data, system and callbacks put together around `keras.Model.fit`."""

import atexit
import dataclasses
import importlib.util
import pathlib
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable

import keras
import tensorflow as tf

from common.config import Config
from common.data.dataset import Dataset
from common.data.load import load_dataset
from common.data.pipeline import Batches
from common.errors import Diverged, Interrupted, UserError, first_line
from common.evaluation import draw
from common.evaluation.evaluate import evaluate
from common.io.atomic import atomic_write, remove_leftovers, write_json
from common.io.lock import NAME as LOCK
from common.io.lock import refuse_if_locked, write_lock
from common.models import registry
from common.models.system import System
from common.options import Options
from common.runs import (
    RUN_FILE,
    Folders,
    make_writable_folder,
    provenance,
    read_run,
    require_matching_images,
    require_same_run,
)
from common.tf1 import checkpoints as tf1_checkpoints
from common.training import callbacks, devices
from common.training.checkpoints import Checkpoints, CheckpointWriteError, saved
from common.training.signals import StopSignals

ROLLBACKS = 3  # At most, in the whole life of a run.


def train(config: Config, options: Options, load: Callable[..., Dataset] = load_dataset) -> System:
    """Trains as `config` says, from the start or from the last checkpoint, measures and draws, and returns the trained system.

    Nothing is written before the data has been found whole and the output folders writable.

    Args:
        config: what is computed.
        options: how it is run.
        load: finds the data; called as `load_dataset` is.

    Raises:
        UserError: something must be put right first, or could not be written; then the state is saved where that is possible.
        Diverged: a loss or a variable is not finite.
        Interrupted: a signal came; the state is saved.
    """
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs the package of that name: pip install tensorboard")
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = devices.open_strategy(options.strategy)
    devices.check(config, strategy)
    dataset = load(config, options.data_dir, options.data, options.cache)
    if dataset.synthetic:
        config = dataclasses.replace(config, name=f"{config.name}-synthetic")
    require_matching_images(dataset, config, config.name)
    batches = Batches(dataset.train.images, config.batch_size, config.scaling, config.seed)
    if not devices.is_chief(strategy):
        options = dataclasses.replace(options, out=aside(config, options))
    folders = Folders.of(config.name, options.out)
    refuse_if_locked(folders.models)
    check_free(config, options, folders, dataset.source)
    for folder in folders:
        make_writable_folder(folder)
    with write_lock(folders.models):
        with strategy.scope():
            system = registry.build(config)
        if options.jit:
            system.compile_with_xla()
        start = options.tf1_checkpoint
        if start:
            tf1_checkpoints.load(system, start)
        checkpoints = Checkpoints(system, folders.models, config.checkpoint_name, options.keep)
        if options.resume:
            print(f"Going on from {checkpoints.restore_latest()}")
            start = read_run(folders.models / RUN_FILE)["start"]
        elif options.overwrite:
            clear(folders)
        run = {**provenance(config, dataset.source), "start": start, "devices": strategy.num_replicas_in_sync}
        for folder in (folders.results, folders.models):
            remove_leftovers(folder)
            write_json(run, folder / RUN_FILE)
        print(
            f"Training on {len(dataset.train)} images from {dataset.source}; writing to {folders.results} and {folders.models}",
            flush=True,
        )
        try:
            fit_with_rollbacks(system, dataset, batches, folders, checkpoints, options)
            for name, network in system.networks.items():
                with atomic_write(folders.models / f"{name}.keras") as temporary:
                    network.save(temporary)
        except (OSError, CheckpointWriteError) as error:
            raise UserError(f"{first_line(error)}; {rescue(system, checkpoints, run, options)}") from None
        except Interrupted as stop:
            raise Interrupted(stop.exit_code - 128, f"{stop}; to go on: {command_to_go_on(options.out)}") from None
    if options.evaluation is not None:
        evaluate(system, dataset, folders.results, checkpoints.newest(), options.evaluation)
        draw.draw_figures(system, dataset, folders.results, checkpoints.newest(), options.figures)
    return system


def aside(config: Config, options: Options) -> pathlib.Path:
    """A temporary folder in the place of --out for a worker that is not the chief, with a copy of the run's checkpoints if it goes on from them."""
    out = pathlib.Path(tempfile.mkdtemp(prefix="infovaegan-worker-"))
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    own, shared = Folders.of(config.name, out), Folders.of(config.name, options.out)
    if options.resume and shared.models.is_dir():
        shutil.copytree(shared.models, own.models, ignore=shutil.ignore_patterns(LOCK, ".*"))
    return out


def check_free(config: Config, options: Options, folders: Folders, source: str) -> None:
    """Raises UserError where this run would overwrite another, or goes on from one that it is not."""
    if options.resume:
        checkpoints = saved(folders.models)
        if not checkpoints:
            raise UserError(f"nothing to resume: there is no checkpoint in {folders.models}")
        require_same_run(config, source, folders.models / RUN_FILE)
    elif saved(folders.models) and not options.overwrite:
        raise UserError(
            f"{folders.models} holds a run already: --resume goes on with it, --out writes elsewhere, --overwrite starts again and loses it"
        )


def clear(folders: Folders) -> None:
    """Removes what an earlier run left, so that no file of it is taken for this one's."""
    for folder in (folders.results, folders.models):
        for path in folder.iterdir():
            if path.is_file() and path.name != LOCK:
                path.unlink()


def command_to_go_on(out: pathlib.Path, replace_out: bool = False) -> str:
    """The command line of this process with --resume, and, with `replace_out`, writing to `out` instead."""
    arguments = [a for a in sys.argv if a not in ("--resume", "--overwrite")]
    return shlex.join([sys.executable, *arguments, "--resume", *([f"--out={out}"] if replace_out else [])])


def rescue(system: System, checkpoints: Checkpoints, run: dict, options: Options) -> str:
    """Saves the training state where that is still possible, in the run's own folder or the temporary one, and says where."""
    try:
        return f"the state after step {int(system.step.numpy())} is saved as {checkpoints.save()}"
    except UserError:
        pass
    try:
        out = pathlib.Path(tempfile.mkdtemp(prefix="infovaegan-"))
        folders = Folders.of(system.config.name, out)
        for folder in folders:
            make_writable_folder(folder)
        path = Checkpoints(system, folders.models, system.config.checkpoint_name).save()
        write_json(run, folders.models / RUN_FILE)
        return f"the state after step {int(system.step.numpy())} is saved as {path}; to go on from there: {command_to_go_on(out, replace_out=True)}"
    except (OSError, UserError) as error:
        return f"nor can it be saved elsewhere ({first_line(error)}); the last checkpoint is {checkpoints.newest()}"


def fit_with_rollbacks(
    system: System, dataset: Dataset, batches: Batches, folders: Folders, checkpoints: Checkpoints, options: Options
) -> None:
    """`fit`, and with `--on-nan rollback` again from the last checkpoint, under the next noise stream, each time a loss is not finite.

    Raises Diverged when that is not asked for, or has been done `ROLLBACKS` times.
    """
    if options.on_nan == "rollback" and not checkpoints.newest():
        checkpoints.save()  # Or there would be nothing to go back to in the first epoch.
    with StopSignals() as interrupts:
        while True:
            try:
                return fit(system, dataset, batches, folders, checkpoints, interrupts, options)
            except Diverged as failure:
                stream = int(system.rollbacks.numpy()) + 1
                if options.on_nan != "rollback":
                    raise Diverged(
                        f"{failure}; the last checkpoint is {checkpoints.newest()}: a lower --learning-rate, or --on-nan rollback, may help"
                    ) from None
                if stream > ROLLBACKS:
                    raise Diverged(
                        f"{failure}, after {ROLLBACKS} rollbacks; the last checkpoint is {checkpoints.newest()}"
                    ) from None
                print(
                    f"{failure}: rolled back to {checkpoints.restore_latest()}, under noise stream {stream}", flush=True
                )
                system.rollbacks.assign(stream)


def fit(
    system: System,
    dataset: Dataset,
    batches: Batches,
    folders: Folders,
    checkpoints: Checkpoints,
    interrupts: StopSignals,
    options: Options,
) -> None:
    """Runs `keras.Model.fit` from the system's step to the end of its last epoch."""
    config = system.config
    steps = config.steps_per_epoch or batches.steps_per_epoch
    start = int(system.step.numpy())
    evaluation = [callbacks.Evaluation(dataset)] if dataset.label and dataset.test else []
    columns = [*system.trackers, *(e.NAME for e in evaluation)]
    hooks = [
        callbacks.StopOnNonFinite(),
        *([callbacks.RestoreEpochMeans(system)] if start % steps else []),
        *evaluation,
        callbacks.SampleGrids(dataset, folders.results),
        callbacks.EpochLog(folders.results / "log.csv", start // steps, columns),
        *([keras.callbacks.TensorBoard(folders.results / "tensorboard")] if options.tensorboard else []),
        callbacks.SaveCheckpoint(checkpoints, options.checkpoint_every, steps),
        callbacks.Stop(checkpoints, interrupts, steps),
    ]
    # An epoch that was cut off is finished first, with as many steps as it lacks.
    cut = start % steps
    spans = [(start // steps, start // steps + 1, steps - cut)] if cut else []
    spans.append((-(-start // steps), config.epochs, steps))
    for first, last, count in spans:
        if first < last:
            position = int(system.step.numpy())
            try:
                system.fit(
                    batches.from_step(position, position + (last - first) * count),
                    initial_epoch=first,
                    epochs=last,
                    steps_per_epoch=count,
                    callbacks=hooks,
                    shuffle=False,
                    verbose=1 if sys.stdout.isatty() else 2,
                )
            except tf.errors.OpError:
                if batches.failure:
                    raise batches.failure from None
                raise
