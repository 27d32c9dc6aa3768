"""The networks of one expert, and the decoder that all experts share (docs/mixture.md, section 1).

Layers have the names of the original's variables. Those of the dense networks are called h0, h1 and ho, for w0 and b0,
w1 and b1, wo and bo. Inputs and outputs are float32 in every `config.precision`.
"""

import math
from typing import Any

import keras
import tensorflow as tf

from common.config import Config
from common.errors import UserError
from common.nn import mixture_sampling
from common.nn.layers import conv, deconv, layer_seed, linear, lrelu
from common.nn.networks import in_its_precision, norm, scaled_units

DENSE, CONVOLUTIONAL = 28, 64  # Pixels.
EPSILON = 1e-6  # Added to the dense experts' standard deviations and mixing weights.
HIDDEN = 500  # Units of each hidden layer of the dense networks.
_TRUNK = (64, 128, 256, 512)  # Filters of the encoder's convolutions.
_TRUNK_UNITS = 1024
_SEED_FILTERS, _SEED_SIDE = 256, 8  # The convolutional sub-decoders return maps of this size.
_DECONVS = ((256, 2), (256, 1), (256, 2), (256, 1), (128, 2))  # Filters and stride of each.


def is_dense(config: Config) -> bool:
    """Whether the experts are dense (28 pixels) or convolutional (64). Raises UserError for other images."""
    height, width, channels = config.image_shape
    if height != width or (height, channels) not in ((DENSE, 1), (CONVOLUTIONAL, 1), (CONVOLUTIONAL, 3)):
        raise UserError(
            f"--model mixture has no networks for images of {height}x{width}x{channels}; "
            "use images of 28x28x1, 64x64x1 or 64x64x3"
        )
    return height == DENSE


def build_expert_encoder(config: Config, name: str) -> keras.Model:
    """Images [B, h, w, c] -> dict of `mean` and `stddev` [B, D] of q_k(z|x), and the weight `mixing` [B, 1] as it is.

    Raises UserError for images of another size.
    """
    return _dense_encoder(config, name) if is_dense(config) else _convolutional_encoder(config, name)


def build_sub_decoder(config: Config, name: str) -> keras.Model:
    """Codes [B, D] -> hidden values: [B, 500], or maps [B, 8, 8, 256] for 64 pixels."""
    return _dense_sub_decoder(config, name) if is_dense(config) else _convolutional_sub_decoder(config, name)


def build_final_decoder(config: Config) -> keras.Model:
    """Mixed hidden values -> dict of `images` [B, h, w, c], in [0, 1] at 28 pixels, else in [-1, 1].

    At 28 pixels the dict has the `logits` of the images too.
    """
    return _dense_final_decoder(config) if is_dense(config) else _convolutional_final_decoder(config)


def _dense(units: int, fan_in: int, seed: int, name: str, **kwargs) -> keras.layers.Dense:
    """A dense layer whose kernel starts as with TF1's contrib variance scaling: factor 2, fan-in, truncated at 2 sd."""
    initializer = keras.initializers.TruncatedNormal(stddev=math.sqrt(1.3 * 2 / fan_in), seed=layer_seed(seed, name))
    return keras.layers.Dense(units, kernel_initializer=initializer, name=name, **kwargs)


@in_its_precision
def _dense_encoder(config: Config, name: str) -> keras.Model:
    seed, hidden, length = layer_seed(config.seed, name), _hidden(config), config.latent.continuous
    images = keras.Input(config.image_shape, name="images")
    h = keras.layers.Flatten()(images)
    h = _dense(hidden, math.prod(config.image_shape), seed, "h0", activation="elu")(h)
    h = _dense(hidden, hidden, seed, "h1", activation="tanh")(h)
    h: Any = _dense(2 * length + 1, hidden, seed, "ho", dtype="float32")(h)
    outputs = {
        "mean": h[:, :length],
        "stddev": keras.ops.softplus(h[:, length : 2 * length]) + EPSILON,
        "mixing": keras.ops.softplus(h[:, 2 * length :]) + EPSILON,
    }
    return keras.Model(images, outputs, name=name)


@in_its_precision
def _dense_sub_decoder(config: Config, name: str) -> keras.Model:
    length = config.latent.continuous
    code = keras.Input((length,), name="code")
    seed = layer_seed(config.seed, name)
    return keras.Model(code, _dense(_hidden(config), length, seed, "h0", activation="tanh")(code), name=name)


@in_its_precision
def _dense_final_decoder(config: Config) -> keras.Model:
    hidden, seed = _hidden(config), layer_seed(config.seed, "final")
    mixed = keras.Input((hidden,), name="hidden")
    h = _dense(hidden, hidden, seed, "h1", activation="elu")(mixed)
    h = _dense(math.prod(config.image_shape), hidden, seed, "ho", dtype="float32")(h)
    logits = keras.layers.Reshape(config.image_shape, dtype="float32")(h)
    return keras.Model(mixed, {"logits": logits, "images": keras.ops.sigmoid(logits)}, name="final")


def _hidden(config: Config) -> int:
    return scaled_units(HIDDEN, config.hyper.width)


@in_its_precision
def _convolutional_encoder(config: Config, name: str) -> keras.Model:
    seed, width = layer_seed(config.seed, name), config.hyper.width
    h = images = keras.Input(config.image_shape, name="images")
    for i, filters in enumerate(_TRUNK, start=1):
        h = conv(scaled_units(filters, width), 3, 2, seed, f"e_h{i}_conv")(h)
        h = lrelu()(norm(config, f"d_bn{i}")(h) if i > 1 else h)
    h = lrelu()(linear(scaled_units(_TRUNK_UNITS, width), seed, "e_h5_lin")(keras.layers.Flatten()(h)))

    def head(units: int, layer: str, **kwargs):
        return linear(units, seed, layer, dtype="float32", **kwargs)(h)

    outputs = {
        "mean": head(config.latent.continuous, "e_mean"),
        # A standard deviation, although the original's name says otherwise.
        "stddev": head(config.latent.continuous, "e_log_sigma_sq", activation="softplus"),
        "mixing": head(1, "e_mix", activation="softplus"),
    }
    return keras.Model(images, outputs, name=name)


def _maps(config: Config) -> tuple[int, int, int]:
    return _SEED_SIDE, _SEED_SIDE, scaled_units(_SEED_FILTERS, config.hyper.width)


@in_its_precision
def _convolutional_sub_decoder(config: Config, name: str) -> keras.Model:
    seed, maps = layer_seed(config.seed, name), _maps(config)
    code = keras.Input((config.latent.continuous,), name="code")
    h = keras.layers.Reshape(maps)(linear(math.prod(maps), seed, "g_h1_lin")(code))
    return keras.Model(code, keras.layers.ReLU()(norm(config, "g_bn1")(h)), name=name)


@in_its_precision
def _convolutional_final_decoder(config: Config) -> keras.Model:
    seed = layer_seed(config.seed, "final")
    h = mixed = keras.Input(_maps(config), name="hidden")
    for i, (filters, stride) in enumerate(_DECONVS, start=2):
        h = deconv(scaled_units(filters, config.hyper.width), 3, stride, seed, f"g_h{i}")(h)
        h = keras.layers.ReLU()(norm(config, f"g_bn{i}")(h))
    h = deconv(config.image_shape[-1], 3, 1, seed, "g_h8")(h)
    return keras.Model(mixed, {"images": keras.layers.Activation("tanh", dtype="float32")(h)}, name="final")


@keras.saving.register_keras_serializable(package="infovaegan")
class Mask(keras.layers.Layer):
    """A random mask over the experts: noise -> mask [B, K]; its one variable is the original's `dropout`, [1].

    Args:
        kind: a choice of `MixtureHyperparameters.mask` but "none".
        corrected: as `mixture_sampling.mask` takes it.
        **kwargs: those of every Keras layer.
    """

    def __init__(self, kind: str, corrected: bool = False, **kwargs):
        super().__init__(**{**kwargs, "autocast": False, "dtype": "float32"})
        self.kind, self.corrected = kind, corrected

    def build(self, input_shape):
        """Create the variable, at the original's initial value."""
        initial = keras.initializers.Constant(mixture_sampling.INITIAL[self.kind])
        self.dropout = self.add_weight(shape=(1,), initializer=initial, name="dropout")

    def call(self, inputs):
        """The mask of noise `inputs`, of the shape and type that `mixture_sampling.mask_noise` gives it."""
        return mixture_sampling.mask(self.kind, tf.convert_to_tensor(self.dropout), inputs, self.corrected)

    def compute_output_spec(self, inputs):
        """Float32 [B, K], whatever the noise."""
        return keras.KerasTensor(inputs.shape[:2], "float32")

    def get_config(self):
        """The layer's arguments, for `.keras` files."""
        return {**super().get_config(), "kind": self.kind, "corrected": self.corrected}


def build_mask(kind: str, experts: int, corrected: bool) -> keras.Model:
    """The noise of a mask over `experts` -> the mask [B, K]."""
    shape = (experts, 2) if kind == "bernoulli" else (experts,)
    noise = keras.Input(shape, dtype="float64" if kind in ("gaussian", "hard") else "float32", name="noise")
    return keras.Model(noise, Mask(kind, corrected, name="experts")(noise), name="mask")
