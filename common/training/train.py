"""Training: `prepare` builds or restores a system, `Training.run` trains it by `keras.Model.fit`.

Nothing here knows of metrics, figures or the command line: data, folders, the description of the run and the functions
that score and draw are passed in.
"""

import atexit
import dataclasses
import logging
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from common.config import Config
from common.data.pipeline import Batches
from common.errors import Diverged, Interrupted, Stuck, UserError, first_line
from common.io.atomic import atomic_write, remove_leftovers, write_json
from common.io.lock import NAME as LOCK
from common.models import registry
from common.models.system import System
from common.options import RUN_FILE, RunFolders, TrainingOptions
from common.training import callbacks, progress
from common.training.checkpoints import Checkpoints, CheckpointWriteError
from common.training.signals import StopSignals, resume_command

ROLLBACKS = 3  # At most, in the whole life of a run; a restart is one, to step 0.
_RESTART_SALT = 0x2545F491

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Observers:
    """What observes a run while it trains; training knows nothing else of it.

    Attributes:
        columns: the names of the scores; each is a column of log.csv.
        score: scores the system.
        draw: draws sample grids, for an epoch.
        plot: plots log.csv, after each epoch.
        networks: the networks to save at the end, by name; by default the system's.
        restart: (name, value) of a score: a run below it after the third epoch starts again. None for never.
    """

    columns: Sequence[str] = ()
    score: Callable[[], Mapping[str, float]] = dict
    draw: Callable[[int], None] | None = None
    plot: Callable[[], None] | None = None
    networks: Callable[[], Mapping[str, keras.Model]] | None = None
    restart: tuple[str, float] | None = None


@dataclasses.dataclass(frozen=True)
class Training:
    """A run that is ready to train, from its first step or from the last checkpoint.

    Attributes:
        system: the system, at the weights that it starts from.
        batches: its data.
        folders: where it writes; they exist and are locked.
        checkpoints: those of the run.
        description: what run.json says of the run.
        options: how it is run.
    """

    system: System
    batches: Batches
    folders: RunFolders
    checkpoints: Checkpoints
    description: dict[str, Any]
    options: TrainingOptions

    @property
    def steps_per_epoch(self) -> int:
        """Training steps of an epoch."""
        return self.system.config.steps_per_epoch or self.batches.steps_per_epoch

    @property
    def finished(self) -> bool:
        """Whether all epochs have been trained."""
        return callbacks.step_of(self.system) >= self.steps_per_epoch * self.system.config.epochs

    def run(self, observers: Observers = Observers()) -> None:
        """Train to the end of the last epoch, observed by `observers`, and save the networks.

        Raises:
            UserError: something could not be written; the state is saved if that is possible anywhere.
            Diverged: a loss or a variable is not finite.
            Interrupted: a signal came; the state is saved.
        """
        began, first = time.monotonic(), callbacks.step_of(self.system)
        try:
            self._fit_with_rollbacks(observers)
            networks = observers.networks() if observers.networks else self.system.networks
            for name, network in networks.items():
                with atomic_write(self.folders.models / f"{name}.keras") as temporary:
                    network.save(temporary)
            session = {"from_step": first, "minutes": round((time.monotonic() - began) / 60, 2)}
            step = {"step": callbacks.step_of(self.system), "session": session}
            write_json({**self.description, **step}, self.folders.models / RUN_FILE)
        except (OSError, CheckpointWriteError) as error:
            raise UserError(f"{first_line(error)}; {self._rescue()}") from None
        except Interrupted as stop:
            raise Interrupted(stop.exit_code - 128, f"{stop}; resume with: {resume_command()}") from None

    def _rescue(self) -> str:
        """Save the state in the run's own folder, or in a temporary one, and say where."""
        after = f"the state after step {callbacks.step_of(self.system)} is saved as"
        try:
            return f"{after} {self.checkpoints.save()}"
        except UserError:
            pass
        config = self.system.config
        try:
            out = pathlib.Path(tempfile.mkdtemp(prefix="infovaegan-"))
            folders = RunFolders.of(config.name, out)
            for folder in folders:
                folder.mkdir(parents=True)
            path = Checkpoints(self.system, folders.models, config.checkpoint_name).save()
            write_json(self.description, folders.models / RUN_FILE)
            return f"{after} {path}; resume with: {resume_command(out)}"
        except (OSError, UserError) as error:
            last = self.checkpoints.newest()
            return f"it cannot be saved elsewhere either ({first_line(error)}); the last checkpoint is {last}"

    def _fit_with_rollbacks(self, observers: Observers) -> None:
        """Run `fit`; on divergence with --on-nan rollback, restore the last checkpoint, change the noise and retry.

        A run that is stuck starts again.
        """
        rollback = self.options.on_nan == "rollback"
        if rollback and not self.checkpoints.newest():
            self.checkpoints.save()  # For a divergence in the first epoch.
        with StopSignals() as signals:
            while True:
                try:
                    self._fit(signals, observers)
                    if signals.received:  # After the last step.
                        last = self.checkpoints.newest()
                        raise Interrupted(signals.received, f"stopped after the last step, saved as {last}")
                    return
                except Stuck as failure:
                    count = self._start_again()
                    logger.warning("%s: restart %d of at most %d, from other weights", failure, count, ROLLBACKS)
                except Diverged as failure:
                    count = int(self.system.rollbacks.numpy()) + 1
                    last = f"the last checkpoint is {self.checkpoints.newest()}"
                    if not rollback:
                        remedy = "a lower --learning-rate, or --on-nan rollback, may help"
                        raise Diverged(f"{failure}; {last}: {remedy}") from None
                    if count > ROLLBACKS:
                        raise Diverged(f"{failure}, after {ROLLBACKS} rollbacks; {last}") from None
                    path = self.checkpoints.restore_latest()
                    logger.warning("%s: rolled back to %s; rollback %d uses other noise", failure, path, count)
                    self.system.rollbacks.assign(count)

    def _start_again(self) -> int:
        """Return to step 0, with initial weights and noise of this restart, and save that. Returns its number."""
        count, config = int(self.system.rollbacks.numpy()) + 1, self.system.config
        seed = (config.seed + count * _RESTART_SALT) % 2**31
        initial = registry.build(dataclasses.replace(config, seed=seed)).state()
        for name, variable in self.system.state().items():
            variable.assign(initial[name])
        self.system.rollbacks.assign(count)
        self.checkpoints.save()  # Those of later steps are deleted.
        return count

    def _fit(self, signals: StopSignals, observers: Observers) -> None:
        """Run `keras.Model.fit` from the system's step to the end of its last epoch."""
        epochs, steps, start = self.system.config.epochs, self.steps_per_epoch, callbacks.step_of(self.system)
        hooks = self._callbacks(signals, observers, start)
        partial = start % steps
        # A partial epoch is finished first.
        spans = [(start // steps, start // steps + 1, steps - partial)] if partial else []
        spans.append((-(-start // steps), epochs, steps))
        for first, last, count in spans:
            if first >= last:
                continue
            position = callbacks.step_of(self.system)
            # One batch more than it takes: after the last one, Keras would open a second iterator.
            data = self.batches.from_step(position, position + (last - first) * count + 1)
            try:
                self.system.fit(
                    data, initial_epoch=first, epochs=last, steps_per_epoch=count, callbacks=hooks, shuffle=False,
                    verbose=1 if sys.stdout.isatty() else 0,
                )  # fmt: skip
            except tf.errors.OpError:
                if self.batches.failure:
                    raise self.batches.failure from None
                raise

    def _callbacks(self, signals: StopSignals, observers: Observers, start: int) -> list[keras.callbacks.Callback]:
        system, steps, results = self.system, self.steps_per_epoch, self.folders.results
        bar, lines = progress.callbacks(steps, system.config.epochs, self.options.quicker)
        columns = [*system.trackers, *observers.columns]
        restart = observers.restart if int(system.rollbacks.numpy()) < ROLLBACKS else None
        board = []
        if self.options.tensorboard:
            board = [keras.callbacks.TensorBoard(str(results / "tensorboard")), callbacks.TensorBoardGrids(results)]
        # A loss is checked before anything is saved. Scores come before the log, and all that an epoch writes before
        # the checkpoint that says it is over, so that a run killed in between writes it again. Signals come last.
        return [
            callbacks.StopOnNonFinite(),
            *([callbacks.RestoreEpochMeans(system)] if start % steps else []),
            *bar,
            callbacks.Scores(observers.score),
            *([callbacks.StopIfStuck(*restart)] if restart else []),
            *([callbacks.SampleGrids(observers.draw, steps)] if observers.draw else []),
            callbacks.EpochLog(results / "log.csv", start // steps, columns),
            *([callbacks.AfterEpoch(observers.plot)] if observers.plot else []),
            *board,
            lines,
            callbacks.SaveCheckpoint(self.checkpoints, self.options.checkpoint_every, steps),
            callbacks.StopOnSignal(self.checkpoints, signals, steps),
        ]


def prepare(
    config: Config,
    batches: Batches,
    folders: RunFolders,
    description: dict[str, Any],
    options: TrainingOptions,
    *,
    strategy: tf.distribute.Strategy | None = None,
    initialise: Callable[[System], None] | None = None,
) -> Training:
    """Build the system of `config`, or restore it from the last checkpoint, and write run.json.

    Args:
        config: what is computed.
        batches: the data.
        folders: where to write; they exist and are locked by the caller.
        description: what run.json is to say.
        options: how it is run.
        strategy: the devices; by default one.
        initialise: sets other initial weights, unless the run is resumed.

    Raises:
        UserError: there is no checkpoint to resume, or it does not match.
    """
    with (strategy or tf.distribute.get_strategy()).scope():
        system = registry.build(config)
    if options.jit:
        system.compile_with_xla()
    checkpoints = Checkpoints(system, folders.models, config.checkpoint_name, options.keep)
    if options.resume:
        logger.info("Resuming from %s", checkpoints.restore_latest())
    elif initialise:
        initialise(system)
    if options.overwrite:
        _delete_files(folders)
    for folder in folders:
        remove_leftovers(folder)
        write_json(description, folder / RUN_FILE)
    return Training(system, batches, folders, checkpoints, description, options)


def _delete_files(folders: RunFolders) -> None:
    """Delete the files of an earlier run, so that none is mistaken for one of this run."""
    for folder in folders:
        for path in folder.iterdir():
            if path.is_file() and path.name != LOCK:
                path.unlink()
    for name in ("tensorboard", "export"):
        shutil.rmtree(folders.results / name, ignore_errors=True)


def worker_out(config: Config, options: TrainingOptions) -> pathlib.Path:
    """Return a temporary --out for a worker that is not the chief, with the checkpoints copied in when resuming."""
    out = pathlib.Path(tempfile.mkdtemp(prefix="infovaegan-worker-"))
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    own, shared = RunFolders.of(config.name, out), RunFolders.of(config.name, options.out)
    if options.resume and shared.models.is_dir():
        shutil.copytree(shared.models, own.models, ignore=shutil.ignore_patterns(LOCK, ".*"))
    return out
