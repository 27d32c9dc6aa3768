"""Opening a trained run for use: under statistics that make an image independent of its batch."""

import pathlib

from common import run_json, runs
from common.data.dataset import Dataset
from common.data.load import load_dataset
from common.errors import UserError
from common.evaluation.statistics import Statistics
from common.evaluation.trained import TrainedModel
from common.models.system import System
from common.options import RUN_FILE, SYNTHETIC, Options


def open_trained(path: pathlib.Path | str, dataset: Dataset | None = None) -> TrainedModel:
    """Open a trained run.

    A finished run has its averages in its `.keras` files. Otherwise they are taken from the checkpoint: those of the
    encoder over training images. Without images the model generates, but does not encode.

    Args:
        path: its folder (models/NAME, or one of `.keras` files and a run.json), or a checkpoint in it.
        dataset: training images for the averages; by default the run's own data, if they are needed.

    Raises:
        UserError: there is no run, it is damaged, or the images do not fit it.
    """
    system = runs.open_networks(path) if dataset is None else None
    if system is not None:
        return TrainedModel(Statistics(system, None, final=True).independent(), str(path))
    system, source = runs.open_run(path)
    dataset, why = (dataset, None) if dataset is not None else _own_data(system, source)
    if dataset is not None:
        runs.require_matching_images(dataset, system.config, source)
    return TrainedModel(Statistics(system, dataset).independent(), source, why)


def saved_statistics(system: System, dataset: Dataset, checkpoint: str) -> Statistics:
    """Return the copies of a run's system; the standing one is that of the run's `.keras` files, if there are some.

    Args:
        system: at the weights of `checkpoint`.
        dataset: whose training images standing averages are taken over otherwise.
        checkpoint: its path.
    """
    statistics = Statistics(system, dataset)
    saved = runs.open_networks(checkpoint) if system.config.batch_norm != "moving" else None
    if saved is not None:
        statistics.adopt(Statistics(saved, None, final=True).under("standing"))
    return statistics


def _own_data(system: System, checkpoint: str) -> tuple[Dataset | None, str | None]:
    """Return the data that a run was trained on, or None and why it is not there."""
    run = run_json.read_run(pathlib.Path(checkpoint).parent / RUN_FILE)
    trained_on, place = run["data"], run["data_dir"]
    text = f"to encode, {checkpoint} needs images that it was trained on ({trained_on}): "
    text += "name them (--data-dir, or load_run(path, images))"
    mode = "synthetic" if system.config.name.endswith(SYNTHETIC) else "real"
    try:
        dataset = load_dataset(system.config, pathlib.Path(place) if place else None, mode, Options().cache)
    except (UserError, ImportError):
        return None, text
    return (dataset, None) if dataset.source == trained_on else (None, text)
