"""A system and a data set so small that a whole run takes a second or two: for tests of training, not of the model."""

import dataclasses
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from common import commands
from common.config import Config, LatentSpec
from common.data.dataset import Dataset, Split
from common.models import registry
from common.models.hyperparameters import Hyperparameters, hyperparameter
from common.models.system import System
from common.nn.distributions import sample_prior
from common.nn.layers import BatchNorm, linear
from common.nn.optimizers import TF1Adam
from common.options import TrainingOptions
from common.training.checkpoint_files import saved

STEPS_PER_EPOCH = 5


@dataclasses.dataclass(frozen=True)
class TinyHyperparameters(Hyperparameters):
    """Of the system below: its size, and when its loss is NaN."""

    units: int = hyperparameter(3, "hidden units", minimum=1)
    nan_step: int = hyperparameter(-1, "step whose loss is NaN", minimum=-1)
    nan_rollbacks: int = hyperparameter(1, "how often that step is NaN", minimum=0)


def config(**changes) -> Config:
    """Of the system below: batches of 4 out of 20 images of 2x2 pixels. Hyper-parameters are named like fields."""
    hyper = {f.name: changes.pop(f.name) for f in dataclasses.fields(TinyHyperparameters) if f.name in changes}
    settings = {
        "name": "tiny",
        "checkpoint_name": "tiny",
        "dataset": "mnist",
        "image_shape": (2, 2, 1),
        "scaling": "unit",
        "latent": LatentSpec(2, 2, 1),
        "epochs": 1,
        "batch_size": 4,
        "model": "tiny",
        "hyper": TinyHyperparameters(**hyper),
    }
    return Config(**{**settings, **changes})


class Tiny(System):
    """Two small networks; a step depends on the images, on the latents and on both networks, and moves both."""

    CAPABILITIES = frozenset({"sample"})

    def __init__(self, config: Config, training=True):
        units = config.hyper.units
        images, noise, code = keras.Input((2, 2, 1)), keras.Input((2,)), keras.Input((3,))
        encoder = keras.Model(images, _dense(keras.layers.Flatten()(images), units, 1, 0))
        pixels = _dense(keras.layers.Concatenate()([noise, code]), units, 4, 1)
        generator = keras.Model([noise, code], keras.layers.Reshape((2, 2, 1))(pixels))
        optimizers = {"d": (TF1Adam(1e-2), ("encoder",)), "q": (TF1Adam(1e-3), ("encoder", "generator"))}
        networks = {"encoder": encoder, "generator": generator}
        super().__init__(config, networks, optimizers if training else {}, losses=("loss",))

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
        hyper = self.config.hyper
        nan = (self.step.value == hyper.nan_step) & (self.rollbacks.value < hyper.nan_rollbacks)
        return {"loss": tf.where(nan, np.nan, loss)}


def _dense(x, units, outputs, seed):
    return linear(outputs, seed, "last")(BatchNorm(name="norm")(linear(units, seed, "hidden")(x)))


registry.register(registry.SystemSpec("tiny", "code", "Tiny", f"{__name__}:Tiny", TinyHyperparameters))


def dataset(config: Config) -> Dataset:
    """20 images of noise."""
    images = np.random.RandomState(0).randint(0, 256, (20, *config.image_shape)).astype(np.uint8)
    return Dataset("noise", Split(images))


def train(config: Config, out: pathlib.Path, **changes) -> None:
    """Trains `config` into `out` on noise, resuming if there is a checkpoint, without evaluation in the end."""
    resume = bool(saved(out / "models" / config.name))
    options = TrainingOptions(
        **{"out": out, "cache_dir": out / "cache", "resume": resume, "evaluate": False, **changes}
    )
    commands.train(config, options, load=lambda *_: dataset(config))


def run(out: pathlib.Path, epochs: int = 2, hyper: dict | None = None, **changes) -> None:
    """Trains a `Tiny` into `out`."""
    train(config(epochs=epochs, **(hyper or {})), out, **changes)


def run_in_child(out: pathlib.Path, log: pathlib.Path, kwargs: dict, environment: dict | None = None) -> None:
    """`run`, in a process of its own, its output into the file `log`."""
    os.environ.update(environment or {})
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    run(out, **kwargs)


def final_state(out: pathlib.Path, name: str = "tiny") -> dict[str, np.ndarray]:
    """Every value in the newest checkpoint below `out`."""
    reader = tf.train.load_checkpoint(saved(out / "models" / name)[0])
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if key.startswith("state/")}


def assert_equal(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Of two states: the same names, the same bits."""
    assert got.keys() == wanted.keys()
    for name in got:
        np.testing.assert_array_equal(got[name], wanted[name], err_msg=name)
