"""Systems for tests: a small configuration, systems built once, their state as arrays, what a step samples.

`EVERY` names all systems that the tests of everything around a system run over. Two of them exist in the tests alone: a
VAE with
neither discriminator nor category, and a system with a network inside a network.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from common.config import Config, LatentSpec
from common.models import registry
from common.models.hyperparameters import Hyperparameters, hyperparameter
from common.models.system import System
from common.nn import losses
from common.nn.distributions import Latents, Posterior, kl_continuous
from common.nn.layers import BatchNorm, linear
from common.nn.optimizers import TF1Adam

KEPT = 6  # Systems that a builder holds at once.
NETWORKS = ("encoder", "generator", "discriminator")


def make_config(**changes) -> Config:
    """For 28-pixel images; no two sizes or multipliers are alike. Hyper-parameters are named like other fields."""
    fields = {field.name for field in dataclasses.fields(Config)}
    model, variant = changes.get("model", "infovaegan"), changes.get("variant", "code")
    hyper = {name: value for name, value in changes.items() if name not in fields}
    if (model, variant) == ("infovaegan", "code"):
        defaults = {"information_multiplier": 3.0, "vae_multiplier": 2.0, "categorical_kl_weight": 0.5}
        hyper = {**defaults, **hyper}
    config = Config(
        name="tiny",
        checkpoint_name="tiny",
        dataset="mnist",
        image_shape=(28, 28, 1),
        scaling="unit",
        latent=LatentSpec(noise=7, categories=4, continuous=3),
        epochs=1,
        batch_size=8,
        hyper=registry.find(model, variant).hyperparameters(**hyper),
        seed=0,
    )
    return dataclasses.replace(config, **{name: value for name, value in changes.items() if name in fields})


def builder(make_config):
    """`build(**changes)`: the system of `make_config(**changes)` at its initial weights.

    The last few are kept and set back. At the original's width each takes hundreds of MB.
    """
    built = {}

    def build(**changes):
        config = make_config(**changes)
        if config not in built:
            while len(built) >= KEPT:
                built.pop(next(iter(built)))
            system = registry.build(config)
            built[config] = system, values(system)
        system, initial = built[config]
        assign(system, initial)
        return system

    return build


def values(system):
    """The whole state as arrays, by name."""
    return {name: v.numpy() for name, v in system.state().items()}


def assign(system, state):
    """Sets the whole state to `state`, as `values` gives it."""
    for name, variable in system.state().items():
        variable.assign(state[name])


def sampled(system, step=5):
    """Everything random of a step."""
    return system.sample_step(tf.constant(step, tf.int64), system.config.batch_size)


def tried(system, images, random):
    """One update's losses and the state after it; the system is then set back to where it was."""
    start = values(system)
    values_ = system.update(images, random)
    after = values(system)
    assign(system, start)
    return values_, after


def assert_close(gradients, wanted, tolerance=1e-4, *, least, negligible):
    """Each gradient within `tolerance` of the largest norm among those wanted, which is above `least`.

    Most of those wanted have a norm above `negligible` of the largest. Where none is wanted, since none reaches a
    variable, it is 0.
    """
    wanted = [np.zeros_like(g) if w is None else w for g, w in zip(gradients, wanted, strict=True)]
    scale = max(np.linalg.norm(w) for w in wanted)
    assert scale > least
    for g, w in zip(gradients, wanted, strict=True):
        assert np.linalg.norm(np.asarray(g) - np.asarray(w)) <= tolerance * scale, g.shape
    assert sum(np.linalg.norm(w) > negligible * scale for w in wanted) > len(wanted) / 2


@dataclasses.dataclass(frozen=True)
class PlainHyperparameters(Hyperparameters):
    """Those of both test systems."""

    learning_rate: float = hyperparameter(1e-3, "learning rate", above=0)


class PlainVAE(System):
    """A VAE: no discriminator, no category, no noise; 28-pixel images in [0, 1]."""

    CAPABILITIES = frozenset({"encode", "sample", "reconstruct"})

    def __init__(self, config, training=True):
        images, codes = keras.Input(config.image_shape), keras.Input((config.latent.continuous,))
        hidden = keras.layers.ReLU()(BatchNorm(name="norm")(linear(16, 0, "hidden")(keras.layers.Flatten()(images))))
        outputs = {
            "mean": linear(config.latent.continuous, 0, "mean")(hidden),
            "stddev": linear(config.latent.continuous, 0, "stddev", activation="softplus")(hidden),
        }
        pixels = linear(28 * 28, 0, "pixels", activation="sigmoid")(linear(16, 0, "hidden", activation="relu")(codes))
        networks = {
            "encoder": keras.Model(images, outputs, name="encoder"),
            "decoder": keras.Model(codes, keras.layers.Reshape(config.image_shape)(pixels), name="decoder"),
        }
        optimizers = {"vae": (TF1Adam(config.hyper.learning_rate), ("encoder", "decoder"))} if training else {}
        super().__init__(config, networks, optimizers, losses=("vae_loss",))

    def sample_step(self, step, batch_size):
        return tf.random.stateless_normal([batch_size, self.config.latent.continuous], self.step_seed(step))

    def update(self, images, random):
        with tf.GradientTape() as tape:
            posterior = Posterior(**self.networks["encoder"](images, training=True))
            decoded = self.networks["decoder"](posterior.sample_continuous(random), training=True)
            loss = losses.squared_error(images, decoded) + tf.reduce_mean(kl_continuous(posterior))
        self.apply_gradients({"vae": tape.gradient(loss, self.variables_of("vae"))})
        return {"vae_loss": loss}

    def sample_prior(self, batch_size, seed):
        empty = tf.zeros([batch_size, 0])
        return Latents(empty, empty, tf.random.stateless_normal([batch_size, self.config.latent.continuous], seed))

    def generate(self, latents):
        return self.networks["decoder"](latents.continuous, training=False)

    def encode(self, images):
        return Posterior(**self.networks["encoder"](images, training=False))

    def reconstruct(self, images, seed):
        return self.networks["decoder"](self.encode(images).mean, training=False)


class NestedClassifier(System):
    """A category alone, from a network that contains a network with layers of the same names; it cannot generate."""

    CAPABILITIES = frozenset({"encode"})

    def __init__(self, config, training=True):
        width = 8
        inner_input = keras.Input((width,))
        inner = keras.Model(inner_input, linear(width, 1, "hidden")(inner_input), name="inner")
        images = keras.Input(config.image_shape)
        hidden = linear(width, 0, "hidden")(keras.layers.Flatten()(images))
        blocks = keras.Sequential([linear(width, 2, "first"), linear(width, 3, "second")], name="blocks")
        logits = linear(config.latent.categories, 0, "logits")(blocks(inner(hidden)))
        networks = {"encoder": keras.Model(images, {"logits": logits}, name="encoder")}
        optimizers = {"e": (TF1Adam(config.hyper.learning_rate), ("encoder",))} if training else {}
        super().__init__(config, networks, optimizers, losses=("e_loss",))

    def sample_step(self, step, batch_size):
        return tf.random.stateless_normal([batch_size, 1, 1, 1], self.step_seed(step), stddev=0.1)

    def update(self, images, random):
        encoder = self.networks["encoder"]
        with tf.GradientTape() as tape:
            logits, noisy = (encoder(x, training=True)["logits"] for x in (images, images + random))
            loss = losses.regularised_information(logits, noisy)
        self.apply_gradients({"e": tape.gradient(loss, encoder.trainable_variables)})
        return {"e_loss": loss}

    def encode(self, images):
        return Posterior(**self.networks["encoder"](images, training=False))


for _name, _class, _latent in (
    ("test_vae", PlainVAE, LatentSpec(0, 0, 3)),
    ("test_nested", NestedClassifier, LatentSpec(0, 4, 0)),
):
    registry.register(
        registry.SystemSpec(
            _name,
            "code",
            _name,
            f"{__name__}:{_class.__name__}",
            PlainHyperparameters,
            adapt=lambda config, latent=_latent: dataclasses.replace(config, latent=latent),
            latents=(),
        )
    )

EVERY = {
    "infovaegan": {},
    "infovaegan_paper": {"variant": "paper"},
    "infogan": {"model": "infogan"},
    "ali": {"model": "ali"},
    "betavae": {"model": "betavae", "latent": LatentSpec(0, 0, 3)},
    "factorvae": {"model": "factorvae", "latent": LatentSpec(0, 0, 3), "discriminator_units": 16},
    "jointvae": {"model": "jointvae", "latent": LatentSpec(0, 4, 3)},
    "infocatvae": {"model": "infocatvae", "latent": LatentSpec(0, 4, 8)},
    "mixture": {"model": "mixture", "latent": LatentSpec(0, 4, 3), "width": 0.05},
    "test_vae": {"model": "test_vae", "latent": LatentSpec(0, 0, 3)},
    "test_nested": {"model": "test_nested", "latent": LatentSpec(0, 4, 0)},
}
