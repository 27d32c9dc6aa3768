"""Encoders and decoders of the variational autoencoders, and FactorVAE's discriminator (docs/baselines.md).

Each builder returns a plain functional `keras.Model`. Images are in [0, 1]; decoders return the logits of their pixels.
Inputs and outputs are float32 in every `config.precision`.
"""

import math
from typing import Any

import keras

from common.config import Config
from common.nn.layers import layer_seed, lrelu
from common.nn.networks import in_its_precision, require_square

_KERNEL = 4
_SEED_SHAPE = (4, 4, 64)  # What all images are halved to, and grow from.
_FILTERS = {
    32: ((32, 64, 64), (32, 32)),
    64: ((32, 32, 64, 64), (64, 32, 32)),
}  # Of encoder and decoder (its last layer has the image's channels), by the side of what the convolutions see.
_SIDES = {28: 32, 32: 32, 64: 64}  # Side of the images -> of what the convolutions see.
_HIDDEN = 256
_DISCRIMINATOR_LAYERS = 6


def initializer(kind: str, seed: int, name: str) -> Any:
    """Return a kernel's initialiser: "glorot", as TensorFlow 1, or "fan_in", U(-1/sqrt(n), 1/sqrt(n)), as PyTorch."""
    seed = layer_seed(seed, name)
    if kind == "glorot":
        return keras.initializers.GlorotUniform(seed)
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed)


def _dense(units: int, kind: str, seed: int, name: str, **kwargs) -> keras.layers.Layer:
    return keras.layers.Dense(units, name=name, kernel_initializer=initializer(kind, seed, name), **kwargs)


def side_of_convolutions(config: Config) -> int:
    """Return the side in pixels to which images are resized. Raises UserError if there are no networks for them."""
    require_square(config, _SIDES)
    return _SIDES[config.image_shape[0]]


def _resized(images: keras.KerasTensor, side: int, **kwargs) -> keras.KerasTensor:
    """Return square images [B, h, h, c] at another side, bilinearly."""
    return images if images.shape[1] == side else keras.layers.Resizing(side, side, name="resize", **kwargs)(images)


@in_its_precision
def build_conv_encoder(config: Config, kind: str = "glorot") -> keras.Model:
    """q(u|x): images [B, h, w, c] -> dict of `mean` [B, C], `stddev` [B, C] > 0 and, with categories, `logits` [B, K].

    Convolutions of stride 2 until the image has 4x4 positions, then a dense layer (Higgins et al. 2017; at 32 pixels
    one convolution fewer, and 28 pixels resized to 32, as in Dupont 2018). Raises UserError if there are no networks
    for these images.

    Args:
        config: its image shape and latents.
        kind: of the initial kernels (`initializer`).
    """
    side = side_of_convolutions(config)
    filters, _ = _FILTERS[side]
    seed, latent = layer_seed(config.seed, "encoder"), config.latent
    images = keras.Input(config.image_shape, name="images")
    h = _resized(images, side)
    for i, n in enumerate(filters, start=1):
        name = f"conv{i}"
        h = keras.layers.Conv2D(
            n, _KERNEL, 2, "same", activation="relu", name=name, kernel_initializer=initializer(kind, seed, name)
        )(h)
    h = _dense(_HIDDEN, kind, seed, "hidden", activation="relu")(keras.layers.Flatten(name="features")(h))
    log_variance = _dense(latent.continuous, kind, seed, "log_variance", dtype="float32")(h)
    outputs = {
        "mean": _dense(latent.continuous, kind, seed, "mean", dtype="float32")(h),
        "stddev": keras.ops.exp(0.5 * log_variance),
    }
    if latent.categories:
        outputs["logits"] = _dense(latent.categories, kind, seed, "logits", dtype="float32")(h)
    return keras.Model(images, outputs, name="encoder")


@in_its_precision
def build_conv_decoder(config: Config, kind: str = "glorot") -> keras.Model:
    """p(x|u): codes [B, K+C] -> logits of the pixels [B, h, w, c]; the encoder's layers in reverse.

    What is drawn at 32 pixels is resized to 28. Raises UserError if there are no networks for these images.
    """
    _, filters = _FILTERS[side_of_convolutions(config)]
    seed = layer_seed(config.seed, "decoder")
    code = keras.Input((config.latent.code,), name="code")
    h = _dense(_HIDDEN, kind, seed, "hidden", activation="relu")(code)
    h = _dense(math.prod(_SEED_SHAPE), kind, seed, "features", activation="relu")(h)
    h = keras.layers.Reshape(_SEED_SHAPE, name="seed")(h)
    layers = [(n, "relu") for n in filters] + [(config.image_shape[-1], "linear")]
    for i, (n, activation) in enumerate(layers, start=1):
        name = f"deconv{i}"
        h = keras.layers.Conv2DTranspose(
            n, _KERNEL, 2, "same", activation=activation, name=name, kernel_initializer=initializer(kind, seed, name)
        )(h)
    h = _resized(h, config.image_shape[0], dtype="float32")
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(h)
    return keras.Model(code, logits, name="decoder")


@in_its_precision
def build_code_discriminator(config: Config) -> keras.Model:
    """FactorVAE's D(c): codes [B, C] -> logits [B, 1] that they come from q(c), not from the product of its marginals.

    Six hidden layers of leaky ReLUs (Kim & Mnih 2018, appendix A). Theirs has two outputs, of which only the
    difference matters: this one is it.
    """
    seed = layer_seed(config.seed, "discriminator")
    code = keras.Input((config.latent.continuous,), name="code")
    h = code
    for i in range(1, _DISCRIMINATOR_LAYERS + 1):
        h = lrelu()(_dense(config.hyper.discriminator_units, "glorot", seed, f"hidden{i}")(h))
    return keras.Model(code, _dense(1, "glorot", seed, "logits", dtype="float32")(h), name="discriminator")


@keras.saving.register_keras_serializable(package="infovaegan")
class PerClass(keras.layers.Layer):
    """A dense layer on concat(h, one-hot c), for every class c at once: h [B, n] -> [B, classes, units].

    Args:
        classes: K.
        units: of the output.
        kind: of the initial kernels (`initializer`); their fan-in is n + K.
        seed: of the initial kernels.
        **kwargs: those of the Keras layer.
    """

    def __init__(self, classes: int, units: int, kind: str, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.units, self.kind, self.seed = classes, units, kind, seed

    def build(self, shape):
        """Create the kernel, whose last `classes` rows belong to c, and the bias."""
        self.kernel = self.add_weight(
            shape=(shape[-1] + self.classes, self.units),
            initializer=initializer(self.kind, self.seed, self.name),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        super().build(shape)

    def call(self, inputs):
        """Return the outputs of all classes."""
        shared = keras.ops.matmul(inputs, self.kernel[: -self.classes]) + self.bias
        return keras.ops.expand_dims(shared, 1) + self.kernel[-self.classes :]

    def get_config(self):
        """Return the layer's arguments, for `.keras` files."""
        own = {"classes": self.classes, "units": self.units, "kind": self.kind, "seed": self.seed}
        return {**super().get_config(), **own}


@in_its_precision
def build_class_encoder(config: Config, units: int) -> keras.Model:
    """InfoCatVAE's q(d|x) and q(z|x, d): images [B, h, w, c] and a dropout mask [B, units] -> a dict.

    `logits` is [B, K]; `mean` and `log_variance` of each class are [B, K, C].
    """
    seed, latent = layer_seed(config.seed, "encoder"), config.latent
    images = keras.Input(config.image_shape, name="images")
    mask = keras.Input((units,), name="mask")
    h = _dense(units, "fan_in", seed, "hidden", activation="relu")(keras.layers.Flatten(name="pixels")(images))
    h = keras.layers.Multiply(name="dropout")([h, mask])
    outputs = {"logits": _dense(latent.categories, "fan_in", seed, "logits", dtype="float32")(h)}
    for name in ("mean", "log_variance"):
        head = PerClass(
            latent.categories, latent.continuous, "fan_in", layer_seed(seed, name), name=name, dtype="float32"
        )
        outputs[name] = head(h)
    return keras.Model([images, mask], outputs, name="encoder")


@in_its_precision
def build_dense_decoder(config: Config, units: int) -> keras.Model:
    """InfoCatVAE's p(x|z): z [B, C] and a dropout mask [B, units] -> logits of the pixels [B, h, w, c]."""
    seed = layer_seed(config.seed, "decoder")
    z, mask = keras.Input((config.latent.continuous,), name="z"), keras.Input((units,), name="mask")
    h = _dense(units, "fan_in", seed, "hidden", activation="relu")(z)
    h = keras.layers.Multiply(name="dropout")([h, mask])
    h = _dense(math.prod(config.image_shape), "fan_in", seed, "pixels", dtype="float32")(h)
    return keras.Model(
        [z, mask], keras.layers.Reshape(config.image_shape, name="logits", dtype="float32")(h), name="decoder"
    )
