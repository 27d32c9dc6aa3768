"""Encoder q(u|x), generator G(z, u) and discriminator D(x, u) for 28, 32 and 64 pixels (docs/original.md, section 2).

Each builder returns a functional `keras.Model`. Layer names follow the original's variable scopes, so that its
checkpoints map by name (hence `e_h*` in the discriminator too). Inputs and outputs are float32 in every precision.
"""

import dataclasses
import functools
import math
from collections.abc import Collection

import keras

from common.config import Config
from common.errors import UserError
from common.nn.layers import BatchNorm, conv, deconv, layer_seed, linear, lrelu


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The sizes of the three networks at one resolution.

    Attributes:
        kernel: kernel size of every convolution, transposed or not.
        trunk: filters of the stride-2 convolutions of encoder and discriminator.
        encoder_hidden: units of the encoder's dense layers after the trunk.
        discriminator_hidden: units of the discriminator's.
        dense_norm: whether those dense layers are normalised.
        generator_linear: units of the generator's dense layers.
        seed_shape: the shape that the last of them is reshaped to.
        deconvs: (filters, stride) of each transposed convolution but the last.
        last_name: name of the last transposed convolution, which makes the image.
        last_stride: its stride.
        activation: its activation.
    """

    kernel: int
    trunk: tuple[int, ...]
    encoder_hidden: tuple[int, ...]
    discriminator_hidden: tuple[int, ...]
    dense_norm: bool
    generator_linear: tuple[int, ...]
    seed_shape: tuple[int, int, int]
    deconvs: tuple[tuple[int, int], ...]
    last_name: str
    last_stride: int
    activation: str


_PLAN_28 = _Plan(4, (64, 128), (1024, 64), (1024,), True, (1024, 6272), (7, 7, 128), ((64, 2),), "g_h4", 2, "sigmoid")
_PLAN_64 = _Plan(
    3,
    (64, 128, 256, 512),
    (1024,),
    (1024,),
    False,
    (16384,),
    (8, 8, 256),
    ((256, 2), (256, 1), (256, 2), (256, 1), (128, 2)),
    "g_h8",
    1,
    "tanh",
)
# The original's networks for 32 pixels are those for 64 without the generator's layer of 128 filters.
_PLAN_32 = dataclasses.replace(_PLAN_64, deconvs=_PLAN_64.deconvs[:-1])
_PLANS = {28: _PLAN_28, 32: _PLAN_32, 64: _PLAN_64}


def _plan(config: Config) -> _Plan:
    require_square(config, _PLANS)
    return _scaled(_PLANS[config.image_shape[0]], config.hyper.width)


def require_square(config: Config, sides: Collection[int]) -> None:
    """Raise UserError unless images are square, with a side among `sides` (pixels) and 1 or 3 channels."""
    height, width, channels = config.image_shape
    if height != width or height not in sides or channels not in (1, 3):
        raise UserError(
            f"no networks for images of {height}x{width}x{channels}; there are some for "
            f"{', '.join(map(str, sides))} pixels square with 1 or 3 channels"
        )


def scaled_units(n: int, width: float) -> int:
    """`width` times `n` filters or hidden units, in multiples of 8 and at least 8; 1 changes nothing."""
    return n if width == 1.0 else max(8, 8 * round(n * width / 8))


def _scaled(plan: _Plan, width: float) -> _Plan:
    """`plan` with `width` times the filters and hidden units, in multiples of 8 and at least 8; 1 changes nothing."""
    if width == 1.0:
        return plan

    scale = functools.partial(scaled_units, width=width)

    height, columns, filters = plan.seed_shape
    seed_shape = (height, columns, scale(filters))
    return dataclasses.replace(
        plan,
        trunk=tuple(map(scale, plan.trunk)),
        encoder_hidden=tuple(map(scale, plan.encoder_hidden)),
        discriminator_hidden=tuple(map(scale, plan.discriminator_hidden)),
        generator_linear=(*map(scale, plan.generator_linear[:-1]), math.prod(seed_shape)),
        seed_shape=seed_shape,
        deconvs=tuple((scale(filters), stride) for filters, stride in plan.deconvs),
    )


def in_its_precision(build):
    """Decorator: build the network under the dtype policy of `config.precision`; layers that name a dtype keep it."""

    @functools.wraps(build)
    def built(config: Config, *args, **kwargs) -> keras.Model:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32" if config.precision == "float32" else f"mixed_{config.precision}")
        try:
            return build(config, *args, **kwargs)
        finally:
            keras.config.set_dtype_policy(before)

    return built


def norm(config: Config, name: str) -> BatchNorm:
    """Return a batch norm with the configured statistics in inference."""
    return BatchNorm(statistics=config.batch_norm, synchronized=config.sync_batch_norm, name=name)


def _trunk(x, plan: _Plan, config: Config, seed: int, normalise: bool = True):
    """Return the convolutions of encoder and discriminator: [B, h, w, channels] -> [B, features]."""
    for i, filters in enumerate(plan.trunk, start=1):
        normalised = normalise and (i > 1 or config.hyper.first_batch_norm)
        x = conv(filters, plan.kernel, 2, seed, f"e_h{i}_conv")(x)
        if normalised and i > 1:
            x = norm(config, f"d_bn{i}")(x)
        elif normalised:
            # The default of TF1's contrib layer, which the original calls without arguments here.
            x = BatchNorm(
                0.999, 1e-3, config.batch_norm, scale=False, synchronized=config.sync_batch_norm, name="BatchNorm"
            )(x)
        x = lrelu()(x)
    return keras.layers.Flatten()(x)


def _hidden(h, units: tuple[int, ...], plan: _Plan, config: Config, seed: int, *, normalise: bool = True):
    for i, n in enumerate(units, start=len(plan.trunk) + 1):
        h = linear(n, seed, f"e_h{i}_lin")(h)
        if normalise and plan.dense_norm:
            h = norm(config, f"d_bn{i}")(h)
        h = lrelu()(h)
    return h


@in_its_precision
def build_encoder(config: Config, stddev: bool = True) -> keras.Model:
    """q(u|x): images [B, h, w, c] -> dict of `logits` [B, K], `mean` [B, C] and, with `stddev`, `stddev` [B, C] > 0.

    Without categories there are no `logits`.
    `stddev` is softplus(linear): the original names that head `e_log_sigma_sq`, but uses it as a standard deviation.
    InfoGAN's encoder has none (section 5).
    """
    plan, seed = _plan(config), layer_seed(config.seed, "encoder")
    images = keras.Input(config.image_shape, name="images")
    h = _hidden(_trunk(images, plan, config, seed), plan.encoder_hidden, plan, config, seed)
    outputs = {}
    if config.latent.categories:
        outputs["logits"] = linear(config.latent.categories, seed, "e_mix", dtype="float32")(h)
    outputs["mean"] = linear(config.latent.continuous, seed, "e_mean", dtype="float32")(h)
    if stddev:
        outputs["stddev"] = linear(
            config.latent.continuous, seed, "e_log_sigma_sq", activation="softplus", dtype="float32"
        )(h)
    return keras.Model(images, outputs, name="encoder")


@in_its_precision
def build_noise_encoder(config: Config) -> keras.Model:
    """q(z|x) of the paper's variant (section 8): images [B, h, w, c] -> dict of `mean` [B, Z] and `stddev` [B, Z] > 0.

    It has the encoder's layers with its own weights; the paper describes no other.
    """
    plan, seed = _plan(config), layer_seed(config.seed, "noise_encoder")
    images = keras.Input(config.image_shape, name="images")
    h = _hidden(_trunk(images, plan, config, seed), plan.encoder_hidden, plan, config, seed)
    outputs = {
        "mean": linear(config.latent.noise, seed, "e_mean", dtype="float32")(h),
        "stddev": linear(config.latent.noise, seed, "e_log_sigma_sq", activation="softplus", dtype="float32")(h),
    }
    return keras.Model(images, outputs, name="noise_encoder")


@in_its_precision
def build_discriminator(config: Config, conditional: bool = True, normalise: bool = True) -> keras.Model:
    """D(x, u), or D(x) if not `conditional`: images [B, h, w, c] (and codes [B, K+C]) -> logits [B, 1] of being real.

    Without `normalise` it has no batch norm: a WGAN-GP critic must judge each image by itself (section 8).
    """
    plan, seed = _plan(config), layer_seed(config.seed, "discriminator")
    images = keras.Input(config.image_shape, name="images")
    code = keras.Input((config.latent.code,), name="code")
    h = _trunk(images, plan, config, seed, normalise)
    if conditional:
        h = keras.layers.Concatenate()([h, code])
    h = _hidden(h, plan.discriminator_hidden, plan, config, seed, normalise=normalise)
    logits = linear(1, seed, "e_mix", dtype="float32")(h)
    return keras.Model([images, code] if conditional else images, logits, name="discriminator")


@in_its_precision
def build_generator(config: Config) -> keras.Model:
    """G(z, u): noise [B, Z], codes [B, K+C] -> images [B, h, w, c] in [0, 1] (28 pixels, sigmoid) or [-1, 1] (tanh)."""
    plan, seed = _plan(config), layer_seed(config.seed, "generator")
    noise = keras.Input((config.latent.noise,), name="noise")
    code = keras.Input((config.latent.code,), name="code")
    h = keras.layers.Concatenate()([noise, code])
    count = len(plan.generator_linear)
    for i, units in enumerate(plan.generator_linear, start=1):
        h = linear(units, seed, f"g_h{i}_lin")(h)
        # Reshaped before its batch norm at 32 and 64 pixels, after it at 28: there each flat feature is normalised.
        if i == count and not plan.dense_norm:
            h = keras.layers.Reshape(plan.seed_shape)(h)
        h = keras.layers.ReLU()(norm(config, f"g_bn{i}")(h))
    if plan.dense_norm:
        h = keras.layers.Reshape(plan.seed_shape)(h)
    for i, (filters, stride) in enumerate(plan.deconvs, start=count + 1):
        h = deconv(filters, plan.kernel, stride, seed, f"g_h{i}")(h)
        h = keras.layers.ReLU()(norm(config, f"g_bn{i}")(h))
    h = deconv(config.image_shape[-1], plan.kernel, plan.last_stride, seed, plan.last_name)(h)
    images = keras.layers.Activation(plan.activation, dtype="float32")(h)
    return keras.Model([noise, code], images, name="generator")
