"""`--smoke`: does everything work here, from data to figures? A minute at most."""

import dataclasses
import os
import pathlib
import re
import shutil
import tempfile
import time

import numpy as np
import tensorflow as tf

from common.config import Config
from common.data.dataset import Dataset
from common.data.load import load_dataset
from common.errors import UserError
from common.evaluation.evaluate import sample_split
from common.options import QUICK_EVALUATION, QUICK_FIGURES, Cache, Options
from common.runs import Folders
from common.training.checkpoints import saved
from common.training.train import train

BATCH_SIZE, STEPS, IMAGES = 4, 2, 200  # Of a training step; steps an epoch; of each split.
FIGURES = ("figure_class_grid.png", "figure_reconstructions.png", "figures.json", "metrics.json", "log.csv")


def load(*arguments) -> Dataset:
    """What `load_dataset` finds, or a small part of it."""
    dataset = load_dataset(*arguments)
    test = dataset.test and sample_split(dataset.test, IMAGES, 0)
    return dataclasses.replace(dataset, train=sample_split(dataset.train, IMAGES, 0), test=test)


class Failed(UserError):
    """The smoke test found a fault; the scripts exit with 1."""

    exit_code = 1


def smoke(config: Config, data_dir: pathlib.Path | None) -> None:
    """Trains two epochs of two small steps, the second again from the checkpoint of the first, and measures and draws the result.

    The resumed epoch must end in the same bits; but for the epoch's mean losses, which nothing is learnt from, and which TensorFlow has been
    seen to add up in another order even so: those must be equal within rounding. All is written to a temporary folder, which is removed. Prints PASS and the seconds.

    Args:
        config: whose model and data; of the stand-in, where `data_dir` is None.

    Raises:
        Failed: something that should hold does not.
        UserError: something else is wrong, with what `data_dir` holds, say.
    """
    began = time.monotonic()
    config = dataclasses.replace(config, batch_size=BATCH_SIZE, steps_per_epoch=STEPS, epochs=2)
    name = config.name if data_dir else f"{config.name}-synthetic"
    with tempfile.TemporaryDirectory(prefix="infovaegan-smoke-") as folder:
        whole, resumed = (pathlib.Path(folder, part) for part in ("whole", "resumed"))
        options = Options(
            data_dir,
            "real" if data_dir else "synthetic",
            Cache(pathlib.Path(folder, "cache")),
            whole,
            resume=False,
            overwrite=False,
            deterministic=True,
            figures=QUICK_FIGURES,
        )
        train(config, options, load)
        shutil.copytree(whole, resumed)
        folders = Folders.of(name, resumed)
        first, second = reversed(saved(folders.models))
        os.unlink(f"{second}.index")
        train(config, dataclasses.replace(options, out=resumed, resume=True, evaluation=QUICK_EVALUATION), load)
        differing = _differences(saved(Folders.of(name, whole).models)[0], saved(folders.models)[0])
        if differing:
            raise Failed(
                f"FAIL: after going on from {os.path.basename(first)}, {len(differing)} variables differ from the uninterrupted run's, the first {differing[0]}"
            )
        missing = [file for file in FIGURES if not (folders.results / file).is_file()]
        if missing:
            raise Failed(f"FAIL: {', '.join(missing)} not written")
    print(
        f"PASS: data, training, checkpoint, resume, evaluation and figures of {name} work here ({time.monotonic() - began:.0f} s)"
    )


def _differences(first: str, second: str) -> list[str]:
    """The names of the variables that differ between two checkpoints: in any bit, or for the sums of losses by more than rounding."""
    a, b = tf.train.load_checkpoint(first), tf.train.load_checkpoint(second)

    def same(name):
        if not b.has_tensor(name):
            return False
        if re.match(r"state/epoch_mean\..*\.Stotal/", name):
            return np.allclose(a.get_tensor(name), b.get_tensor(name), rtol=1e-6, atol=0.0)
        return np.array_equal(a.get_tensor(name), b.get_tensor(name))

    return sorted(name for name in a.get_variable_to_shape_map() if name.startswith("state/") and not same(name))
