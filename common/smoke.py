"""End-to-end self-test (under a minute): `--smoke`."""

import dataclasses
import logging
import os
import pathlib
import shutil
import tempfile
import time

import numpy as np
import tensorflow as tf

from common import commands
from common.config import Config
from common.data.dataset import Dataset
from common.data.load import load_dataset
from common.errors import UserError
from common.evaluation.encode import sample_split
from common.options import RunFolders, TrainingOptions
from common.run_folders import run_name
from common.training.checkpoint_files import saved

BATCH_SIZE, STEPS, IMAGES = 4, 2, 200  # Images per step; steps per epoch; images per split.
FIGURES = ("figure_class_grid.png", "figure_reconstructions.png", "figures.json", "metrics-quick.json", "log.csv")

logger = logging.getLogger(__name__)


class Failed(UserError):
    """The self-test found a fault; the scripts exit with 1."""

    exit_code = 1


def smoke(config: Config, data_dir: pathlib.Path | None, mode: str) -> None:
    """Train two epochs of two small steps, the second again from the checkpoint of the first, evaluate and draw.

    The resumed epoch must end bit for bit in the same state, except for running loss means, which may differ by
    rounding: TensorFlow has been seen to add them up in another order. Everything is written to a temporary folder.

    Args:
        config: gives the model and the data set.
        data_dir: the real data; None to look for it if `mode` is "real", or else for synthetic data.
        mode: --data.

    Raises:
        Failed: something that should hold does not.
        UserError: something else is wrong, such as the content of `data_dir`, or that there is no real data.
    """
    began = time.monotonic()
    config = dataclasses.replace(config, batch_size=BATCH_SIZE, steps_per_epoch=STEPS, epochs=2)
    real = data_dir is not None or mode == "real"
    name = run_name(config.name, not real)
    with tempfile.TemporaryDirectory(prefix="infovaegan-smoke-") as folder:
        whole, resumed = (pathlib.Path(folder, part) for part in ("whole", "resumed"))
        options = TrainingOptions(
            data_dir=data_dir,
            data="real" if real else "synthetic",
            cache_dir=pathlib.Path(folder, "cache"),
            out=whole,
            deterministic=True,
            evaluate=False,
        )
        commands.train(config, options, _load_some)
        shutil.copytree(whole, resumed)
        folders = RunFolders.of(name, resumed)
        first, second = reversed(saved(folders.models))
        os.unlink(f"{second}.index")
        commands.train(config, dataclasses.replace(options, out=resumed, resume=True, evaluate=True), _load_some)
        differing = _differences(saved(RunFolders.of(name, whole).models)[0], saved(folders.models)[0])
        if differing:
            what = f"{len(differing)} variables differ from those of the uninterrupted run, the first {differing[0]}"
            raise Failed(f"FAIL: after resuming from {os.path.basename(first)}, {what}")
        missing = [file for file in FIGURES if not (folders.results / file).is_file()]
        if missing:
            raise Failed(f"FAIL: {', '.join(missing)} not written")
    parts = "data, training, checkpoint, resume, evaluation and figures"
    logger.info("PASS: %s of %s work here (%.0f s)", parts, name, time.monotonic() - began)


def _load_some(*arguments) -> Dataset:
    """Load a small part of what `load_dataset` does."""
    dataset = load_dataset(*arguments)
    test = dataset.test and sample_split(dataset.test, IMAGES, 0)
    return dataclasses.replace(dataset, train=sample_split(dataset.train, IMAGES, 0), test=test)


def _differences(first: str, second: str) -> list[str]:
    """Return the names of the variables that differ between two checkpoints."""
    a, b = tf.train.load_checkpoint(first), tf.train.load_checkpoint(second)

    def same(name):
        return b.has_tensor(name) and np.array_equal(a.get_tensor(name), b.get_tensor(name))

    return sorted(name for name in a.get_variable_to_shape_map() if name.startswith("state/") and not same(name))
