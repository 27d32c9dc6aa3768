"""What each command does: data, training, evaluation and figures put together.

TensorFlow is imported only once data and options have been checked.
"""

import dataclasses
import importlib.util
import json
import logging
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from common import run_json, runs, threads
from common.config import Config
from common.data import images
from common.data.dataset import Dataset
from common.data.fingerprint import fingerprint
from common.data.load import existing, load_dataset, module_of
from common.errors import Interrupted, UserError
from common.evaluation_options import EvaluationSettings, FigureSettings
from common.io.atomic import write_json
from common.io.lock import write_lock
from common.io.notices import import_tensorflow
from common.models import registry
from common.observers import observers_of
from common.options import FIGURES_FILE, DataOptions, Options, RunFolders, TrainingOptions
from common.run_data import absolute, is_named, load_data
from common.run_folders import newest, run_name, run_to_open, run_to_resume
from common.run_summary import closing_lines
from common.sample_options import SampleOptions
from common.training import workers
from common.training.signals import Stop, resume_command

logger = logging.getLogger(__name__)


def describe(config: Config, options: Options) -> dict[str, Any]:
    """Return the provenance of what a command would do. Raises UserError if the run or the data is missing."""
    if isinstance(options, TrainingOptions):
        trained = run_to_resume(config, options)
    else:
        trained = run_to_open(config, options)
        config = runs.own_config(config, options)
    return run_json.provenance(config, _find_data(config, options, trained))


def _find_data(config: Config, options: Options, trained: pathlib.Path | None) -> str:
    """Return where the data is: that which the options name, or else that of the run `trained`."""
    if trained:
        run, _ = runs.description_of(trained)
        if not is_named(run, options):
            return run["data"]
    if config.dataset == images.NAME:
        return str(images.existing(options.data_dir))
    module = module_of(config.dataset)
    if options.data == "synthetic":
        return "synthetic"
    if options.data_dir is not None:
        return str(existing(module, options.data_dir))
    found = next((path for path in module.default_paths() if path.exists()), None)
    instead = "an error" if options.data == "real" else "synthetic data"
    return str(found) if found else f"not on this machine: a download will be tried, or else {instead}"


def train(
    config: Config,
    options: TrainingOptions,
    load: Callable[..., Dataset] = load_dataset,
    evaluation: EvaluationSettings | None = None,
    figures: FigureSettings | None = None,
) -> None:
    """Train a run, from the start or from its last checkpoint, then evaluate it and draw its figures.

    Nothing is written until data and output folders have been checked.

    Args:
        config: what is computed.
        options: how it is run.
        load: loads the data, as `load_dataset` does.
        evaluation: sizes of the evaluation that follows; by default in proportion to the run.
        figures: sizes of the figures; likewise.

    Raises:
        UserError: something must be put right first, or could not be written.
        Diverged: a loss or a variable is not finite.
        Interrupted: a signal came; the state is saved.
    """
    try:
        _train(config, options, load, evaluation, figures)
    except Stop as stop:  # Before the first step, or after the last.
        raise Interrupted(stop.number, f"{stop}; continue with: {resume_command(auto=True)}") from None


def _train(
    config: Config,
    options: TrainingOptions,
    load: Callable[..., Dataset],
    evaluation: EvaluationSettings | None,
    figures: FigureSettings | None,
) -> None:
    began = time.monotonic()
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs the package of that name: pip install tensorboard")
    if options.strategy and getattr(config.hyper, "restart_below", 0):
        raise UserError("--restart-below does not work with --strategy; --restart-below 0 turns it off")
    if options.tf1_checkpoint and getattr(config.hyper, "restart_below", 0):
        why = "a restart has other initial weights; --restart-below 0 turns it off"
        raise UserError(f"--restart-below does not work with --tf1-checkpoint: {why}")
    folder = run_to_resume(config, options)
    options = dataclasses.replace(options, resume=folder is not None)
    run, file = runs.description_of(folder) if folder else (None, pathlib.Path())
    cluster = workers.cluster_of(options.strategy)
    if cluster is not None:
        workers.wait_for(cluster)
    threads.configure_threads(config)
    import_tensorflow()
    import tensorflow as tf

    from common.data.pipeline import Batches
    from common.evaluation.statistics import Statistics
    from common.training import devices
    from common.training.train import prepare, worker_out

    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    with workers.reporting_lost(cluster):
        strategy = devices.open_strategy(options.strategy)
        devices.require_divisible_batch(config, strategy.num_replicas_in_sync)
        dataset = load_data(config, options, load, run, file)
        config = dataclasses.replace(config, name=run_name(config.name, dataset.synthetic))
        runs.require_matching_images(dataset, config, config.name)
        batches = Batches(dataset.train.images, config.batch_size, config.scaling, config.seed)
        if not devices.is_chief(strategy):  # What it writes is thrown away.
            options = dataclasses.replace(options, out=worker_out(config, options), evaluate=False)
        content = fingerprint(dataset)
        folders, start = runs.claim_folders(config, content, options)
        place = absolute(options.data_dir) if options.data_dir else run and run["data_dir"]
        about_data = {"data_dir": place and str(place), "fingerprint": content}
        about_run = {"start": start, "devices": strategy.num_replicas_in_sync}
        description = {**run_json.provenance(config, dataset.source), **about_data, **about_run}
        with write_lock(folders.models):
            initialise = _load_tf1(options.tf1_checkpoint) if options.tf1_checkpoint else None
            training = prepare(
                config, batches, folders, description, options, strategy=strategy, initialise=initialise
            )  # fmt: skip
            devices.require_same_step(strategy, int(training.system.step.numpy()))
            logger.info("Training on %d images from %s", len(dataset.train), dataset.source)
            logger.info("Writing to %s and %s", *folders)
            finished, statistics = training.finished, Statistics(training.system, dataset)
            training.run(observers_of(statistics, dataset, folders))
    if finished:
        longer = f"--resume --epochs {2 * config.epochs}"
        logger.info("The run had already trained its %d epochs. To train longer: %s", config.epochs, longer)
    if finished and (not options.evaluate or _is_evaluated(folders, training.system)):
        return
    steps = training.steps_per_epoch * config.epochs
    opened = runs.LoadedRun(training.system, dataset, str(training.checkpoints.newest()), description, folders.results)
    metrics = _after_training(opened, steps, evaluation, figures, statistics) if options.evaluate else {}
    for line in closing_lines(config, folders, metrics, time.monotonic() - began):
        logger.info(line)


def _is_evaluated(folders: RunFolders, system: Any) -> bool:
    """Return whether the figures are of the system's step, and followed by a report: then all is there."""
    from common.evaluation.report.write import REPORT_FILE

    try:
        drawn = json.loads((folders.results / FIGURES_FILE).read_text(encoding="utf-8"))
        return drawn["step"] == int(system.step.numpy()) and (folders.results / REPORT_FILE).is_file()
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _after_training(
    run: runs.LoadedRun,
    steps: int,
    evaluation: EvaluationSettings | None,
    figures: FigureSettings | None,
    statistics: Any,
) -> dict[str, float]:
    """Evaluate a run that has just been trained, draw its figures and write its report; return its metrics."""
    from common.evaluation import draw
    from common.evaluation.evaluate import evaluate as measure
    from common.evaluation.report.write import write_report

    evaluation = evaluation or EvaluationSettings.for_run(steps)
    figures = figures or FigureSettings.for_run(steps)
    if evaluation.quick:
        logger.info("A short run: evaluated and drawn at small sizes. The commands evaluate and figures use full ones.")
    trained_on, about = run.dataset.source, (run.system, run.dataset, run.results, run.checkpoint)
    result = measure(*about, evaluation, trained_on=trained_on, statistics=statistics)
    draw.draw_figures(*about, figures, statistics=statistics)
    write_report(*about, figures, statistics=statistics)
    return result["metrics"]


def open_tf1(config: Config, path: pathlib.Path) -> Any:
    """Build a system at the weights of a checkpoint of the original, without optimizers. Raises UserError."""
    import_tensorflow()
    system = registry.build(config, training=False)
    _load_tf1(path)(system)
    return system


def _load_tf1(path: pathlib.Path) -> Callable[[Any], None]:
    from common.tf1 import checkpoints

    return lambda system: checkpoints.load(system, path)


def evaluate(config: Config, options: Options, settings: EvaluationSettings) -> None:
    """Measure a trained run and write metrics.json."""
    run = runs.open_with_data(config, options, load_dataset, open_tf1)
    from common.evaluation.evaluate import evaluate as measure

    trained_on = run.description["data"] if run.description else None
    measure(run.system, run.dataset, run.results, run.checkpoint, settings, trained_on=trained_on)


def figures(config: Config, options: Options, settings: FigureSettings, also: Sequence[pathlib.Path] = ()) -> None:
    """Draw the figures of a trained run, with reconstructions of the runs in `also` below its own."""
    run = runs.open_with_data(config, options, load_dataset, open_tf1)
    from common.evaluation.draw import Trained, draw_figures

    others = [Trained(*other) for other in runs.open_others(run, list(also))]
    about = (run.system, run.dataset, run.results, run.checkpoint)
    draw_figures(*about, settings, also=others, statistics=_saved_statistics(run))


def _saved_statistics(run: runs.LoadedRun) -> Any:
    """Return the copies of a run's system for inference; None for a checkpoint of the original."""
    from common.evaluation.opening import saved_statistics

    return saved_statistics(run.system, run.dataset, run.checkpoint) if run.description is not None else None


def export(config: Config, options: Options) -> None:
    """Write generator and encoder of a trained run for other programs, to export/ among its results."""
    path = run_to_open(config, options)
    config = runs.own_config(config, options)  # Refuses what is no run, before TensorFlow is imported.
    import_tensorflow()
    from common.evaluation.export import export as write
    from common.evaluation.opening import open_trained
    from common.evaluation.statistics import Statistics
    from common.evaluation.trained import TrainedModel

    named = options.tf1_checkpoint or options.data_dir or options.data == "synthetic"
    dataset = load_dataset(config, options.data_dir, options.data, options.cache) if named else None
    if path is None:
        system = Statistics(open_tf1(config, options.tf1_checkpoint), dataset).independent()
        model = TrainedModel(system, str(options.tf1_checkpoint))
    else:
        model = open_trained(path, dataset)
    write(model, RunFolders.of(model.config.name, options.out).results / "export")


def report(
    config: Config,
    options: Options,
    settings: FigureSettings,
    *,
    results: pathlib.Path | None = None,
    file: pathlib.Path | None = None,
) -> None:
    """Write a page that shows a trained run, with what is in `results`, as `file`; by default in the run's results."""
    if results is not None and not results.is_dir():
        raise UserError(f"--results {results} is not a folder: it should hold log.csv and metrics.json")
    if file is not None and not file.parent.is_dir():
        raise UserError(f"--file {file} cannot be written: there is no folder {file.parent}")
    run = runs.open_with_data(config, options, load_dataset, open_tf1)
    from common.evaluation.report.write import write_report

    about = (run.system, run.dataset, results or run.results, run.checkpoint)
    write_report(*about, settings, file=file, statistics=_saved_statistics(run))


def sample(config: Config, options: SampleOptions) -> None:
    """Generate images with a trained run: of codes drawn at random, or from a file."""
    if options.tf1_checkpoint is not None:
        system, source = open_tf1(config, options.tf1_checkpoint), f"TF1 checkpoint {options.tf1_checkpoint}"
    else:
        system, checkpoint = runs.open_run(options.checkpoint or newest(config))
        source = f"checkpoint {checkpoint}"
    from common.evaluation.sample import sample as generate

    generate(system, source, options)


def data(config: Config, options: DataOptions) -> None:
    """Print what training would read, and draw the first images as it sees them."""
    from PIL import Image

    from common.data import facts
    from common.data.pixels import RANGES
    from common.evaluation.figures.image_files import merge, save_picture

    dataset = load_dataset(config, options.data_dir, options.data, options.cache)
    runs.require_matching_images(dataset, config, config.name)
    name, side, pixels = run_name(config.name, dataset.synthetic), 8, RANGES[config.scaling]
    found = facts.facts(dataset)
    results = RunFolders.of(name, options.out).results
    runs.make_writable_folder(results)
    images = pixels.to_uint8(pixels.to_network(dataset.train.take(0, side * side).astype("float32")))
    save_picture(Image.fromarray(merge(images, -(-len(images) // side), side).astype("uint8")), results / "data.png")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(found, options.json)
    print(*facts.lines(found), f"{'picture':<10}  {results / 'data.png'}", sep="\n")
