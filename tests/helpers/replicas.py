"""A process of its own for tests of several devices: trains from a checkpoint, and saves the result.

python replicas.py STRATEGY [CONFIG CHECKPOINTS OUT]...: each run whose configuration is a file CONFIG, from the newest
checkpoint in the folder CHECKPOINTS, into a folder OUT. "mirrored" is two virtual CPUs. OUT also gets losses.json.
"""

import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

from common.data.pipeline import Batches
from common.models import registry
from common.run_json import read_config
from common.training import devices
from common.training.checkpoints import Checkpoints

STEPS, COUNT = 2, 24  # Of training, from wherever the checkpoint is; images of noise.


def batches(config) -> Batches:
    images = np.random.RandomState(1).randint(0, 256, (COUNT, *config.image_shape)).astype(np.uint8)
    return Batches(images, config.batch_size, config.scaling, config.seed)


def train(system) -> dict[str, float]:
    """Trains `STEPS` steps by `fit`, the first one separately, and returns its losses."""
    step, data = int(system.step.numpy()), batches(system.config)
    first = system.fit(data.from_step(step, step + 1), steps_per_epoch=1, shuffle=False, verbose=0)
    system.fit(data.from_step(step + 1, step + STEPS), steps_per_epoch=STEPS - 1, shuffle=False, verbose=0)
    return {name: float(values[0]) for name, values in first.history.items()}


def main(name: str, *runs: str) -> None:
    if name == "mirrored":
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
        )
    strategy = devices.open_strategy(name)
    assert strategy.num_replicas_in_sync == 2
    paths = list(map(pathlib.Path, runs))
    for config, start, out in zip(paths[::3], paths[1::3], paths[2::3], strict=True):
        with strategy.scope():
            system = registry.build(read_config(config))
        Checkpoints(system, start, "a").restore_latest()
        losses = train(system)
        out.mkdir()
        Checkpoints(system, out, "a").save()
        (out / "losses.json").write_text(json.dumps({**losses, "chief": devices.is_chief(strategy)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
