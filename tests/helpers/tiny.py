"""A system and a data set so small that a whole run takes a second or two: for tests of training, not of the model."""

import os
import pathlib
import unittest.mock

import keras
import numpy as np
import tensorflow as tf

from common.config import Config, LatentSpec
from common.data.dataset import Dataset, Split
from common.models.registry import InfoVAEGANHyperparameters
from common.models.system import System
from common.nn.distributions import sample_prior
from common.nn.layers import BatchNorm, linear
from common.nn.optimizers import TF1Adam
from common.options import Cache, Options
from common.training import train
from common.training.checkpoints import saved

STEPS_PER_EPOCH = 5


def config(**changes) -> Config:
    """Of the system below: batches of 4 out of 20 images of 2x2 pixels."""
    settings = {
        "name": "tiny",
        "checkpoint_name": "tiny",
        "dataset": "mnist",
        "image_shape": (2, 2, 1),
        "scaling": "unit",
        "latent": LatentSpec(2, 2, 1),
        "epochs": 1,
        "batch_size": 4,
        "hyper": InfoVAEGANHyperparameters(),
    }
    return Config(**{**settings, **changes})


class Tiny(System):
    """Two small networks; a step depends on the images, on the latents and on both networks, and moves both.

    Args:
        nan: a function of (step, rollbacks), whether the loss of that step is to be NaN.
    """

    CAPABILITIES = frozenset({"encode", "sample"})

    def __init__(self, config: Config = config(), training=True, units: int = 3, nan=lambda step, rollbacks: False):
        images, noise, code = keras.Input((2, 2, 1)), keras.Input((2,)), keras.Input((3,))
        encoder = keras.Model(images, _dense(keras.layers.Flatten()(images), units, 1, 0))
        pixels = _dense(keras.layers.Concatenate()([noise, code]), units, 4, 1)
        generator = keras.Model([noise, code], keras.layers.Reshape((2, 2, 1))(pixels))
        optimizers = {"d": (TF1Adam(1e-2), ("encoder",)), "q": (TF1Adam(1e-3), ("encoder", "generator"))}
        super().__init__(
            config, {"encoder": encoder, "generator": generator}, optimizers if training else {}, losses=("loss",)
        )
        self._nan = nan

    def sample_step(self, step, batch_size):
        return self.sample_latents(step, batch_size)

    def sample_prior(self, batch_size, seed):
        return sample_prior(self.config.latent, batch_size, seed)

    def generate(self, latents):
        return self.networks["generator"]([latents.noise, latents.code], training=False)

    def update(self, images, random):
        for name in self.optimizers:
            with tf.GradientTape() as tape:
                fake = self.networks["generator"]([random.noise, random.code], training=True)
                score = tf.reduce_sum((self.networks["encoder"](images, training=True) - 1) ** 2)
                loss = score + tf.reduce_sum((fake - random.noise[:, :1, None, None]) ** 2)
            self.apply_gradients({name: tape.gradient(loss, self.variables_of(name))})
        return {"loss": tf.where(self._nan(self.step.value, self.rollbacks.value), np.nan, loss)}


def _dense(x, units, outputs, seed):
    return linear(outputs, seed, "last")(BatchNorm(name="norm")(linear(units, seed, "hidden")(x)))


def dataset() -> Dataset:
    """20 images of noise."""
    return Dataset("noise", Split(np.random.RandomState(0).randint(0, 256, (20, 2, 2, 1)).astype(np.uint8)))


def options(out: pathlib.Path, **changes) -> Options:
    """To train into `out`, without evaluating in the end."""
    settings = {
        "data_dir": None,
        "data": "auto",
        "cache": Cache(out / "cache"),
        "out": out,
        "resume": False,
        "overwrite": False,
    }
    return Options(**{**settings, **changes})


def run(out: pathlib.Path, epochs: int = 2, build=Tiny, **changes) -> System:
    """Trains a `Tiny` into `out` by `common.training.train`, resuming where there is a checkpoint."""
    resume = bool(saved(out / "models" / "tiny"))
    with unittest.mock.patch.object(train.registry, "build", build):
        return train.train(
            config(epochs=epochs), options(out, **{"resume": resume, **changes}), load=lambda *_: dataset()
        )


def run_in_child(out: pathlib.Path, log: pathlib.Path, kwargs: dict) -> None:
    """`run`, in a process of its own, its output into the file `log`."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    run(out, **kwargs)


def final_state(out: pathlib.Path) -> dict[str, np.ndarray]:
    """Every value in the newest checkpoint below `out`."""
    reader = tf.train.load_checkpoint(saved(out / "models" / "tiny")[0])
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if key.startswith("state/")}


def assert_equal(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Of two states: the same names, the same bits."""
    assert got.keys() == wanted.keys()
    for name in got:
        np.testing.assert_array_equal(got[name], wanted[name], err_msg=name)
