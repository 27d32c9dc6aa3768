"""The layers of the original's networks, with its initialisers and its batch norm (REFERENCE.md section 2)."""

import zlib

import keras
import tensorflow as tf

from common.nn import replicas

STDDEV = 0.02  # Of every kernel at the start.


def layer_seed(seed: int, name: str) -> int:
    """A seed for the network or layer `name` below `seed`, so that no initial weights depend on which other layers exist."""
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF


def conv(filters: int, kernel: int, stride: int, seed: int, name: str, before_norm: bool = False) -> keras.layers.Layer:
    """SAME convolution [B, h, w, c] -> [B, ceil(h/stride), ceil(w/stride), filters]; truncated normal kernel, zero bias.

    With `before_norm` its bias is not added but given apart, as a second result [filters], for the `BatchNorm` that follows.
    """
    return (ConvBeforeNorm if before_norm else keras.layers.Conv2D)(
        filters,
        kernel,
        stride,
        padding="same",
        name=name,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=STDDEV, seed=layer_seed(seed, name)),
    )


def deconv(
    filters: int, kernel: int, stride: int, seed: int, name: str, before_norm: bool = False
) -> keras.layers.Layer:
    """SAME transposed convolution [B, h, w, c] -> [B, h*stride, w*stride, filters]; normal kernel, zero bias.

    `before_norm` as in `conv`.
    """
    return (DeconvBeforeNorm if before_norm else keras.layers.Conv2DTranspose)(
        filters,
        kernel,
        stride,
        padding="same",
        name=name,
        kernel_initializer=keras.initializers.RandomNormal(stddev=STDDEV, seed=layer_seed(seed, name)),
    )


def linear(units: int, seed: int, name: str, **kwargs) -> keras.layers.Layer:
    """Dense layer [B, n] -> [B, units]; normal kernel, zero bias."""
    return keras.layers.Dense(
        units,
        name=name,
        kernel_initializer=keras.initializers.RandomNormal(stddev=STDDEV, seed=layer_seed(seed, name)),
        **kwargs,
    )


def lrelu(name: str | None = None) -> keras.layers.Layer:
    """max(x, 0.2 x)."""
    return keras.layers.LeakyReLU(negative_slope=0.2, name=name)


@keras.saving.register_keras_serializable(package="infovaegan")
class ConvBeforeNorm(keras.layers.Conv2D):
    """A convolution that gives its bias apart: [B, h, w, c] -> (outputs without it, the bias [filters]).

    Batch statistics take a bias away again with the mean. Adding it to every pixel, and summing all pixels up for a gradient
    that is 0 but for rounding, takes time.
    """

    def call(self, inputs):
        """([B, h', w', filters], [filters])."""
        return self.convolution_op(inputs, self.kernel), tf.convert_to_tensor(self.bias)

    def compute_output_shape(self, input_shape):
        """Of both results."""
        return super().compute_output_shape(input_shape), (self.filters,)


@keras.saving.register_keras_serializable(package="infovaegan")
class DeconvBeforeNorm(keras.layers.Conv2DTranspose):
    """As `ConvBeforeNorm`, transposed."""

    def call(self, inputs):
        """([B, h*stride, w*stride, filters], [filters])."""
        return keras.ops.conv_transpose(inputs, self.kernel, list(self.strides), self.padding), tf.convert_to_tensor(
            self.bias
        )

    def compute_output_shape(self, input_shape):
        """Of both results."""
        return super().compute_output_shape(input_shape), (self.filters,)


@keras.saving.register_keras_serializable(package="infovaegan")
class BatchNorm(keras.layers.BatchNormalization):
    """Batch norm over all axes but the last, on batch statistics in inference as well, as in the original.

    Keras's own layer can use batch statistics only in training, and then always moves the averages. Here `training` decides
    whether the averages move, and `statistics` what inference normalises with. One fused kernel does the arithmetic, with
    statistics in float32 whatever the type of the inputs.

    Args:
        statistics: "batch", the original's behaviour, or "moving": inference (`training=False`) reads the moving averages.
        synchronized: of several replicas, whether each normalises with the statistics of the joint batch, not of its own share.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, statistics="batch", **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        if statistics not in ("batch", "moving"):
            raise ValueError(f"statistics must be 'batch' or 'moving'; got {statistics!r}")
        self.statistics = statistics

    def call(self, inputs, bias=None, training=False):
        """Normalises `inputs` [B, ..., c] plus `bias` [c]; with `training`, moves the averages towards this batch's mean and (unbiased) variance."""
        if self.statistics == "moving" and not training:
            return super().call(inputs if bias is None else inputs + bias, training=False)
        normalise = self._jointly if self.synchronized and replicas.in_replica_context() else self._fused
        offset = tf.convert_to_tensor(self.beta)
        if bias is not None:
            bias = tf.cast(bias, offset.dtype)
            offset += 0.0 * bias  # Which gives it the gradient that it has.
        outputs, mean, variance = normalise(inputs, offset)
        if training:
            # Batch statistics take the bias away with the mean, so that only the mean itself has it.
            self._move(self.moving_mean, mean if bias is None else mean + bias)
            self._move(self.moving_variance, variance)
        return outputs

    def _fused(self, inputs, offset):
        """(normalised inputs, their mean, their unbiased variance)."""
        # The fused kernel wants four axes; features of a dense layer are images of one pixel to it.
        images = inputs if inputs.shape.rank == 4 else tf.reshape(inputs, [-1, 1, 1, inputs.shape[-1]])
        scale = self.gamma if self.scale else tf.ones_like(self.beta)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            images, tf.convert_to_tensor(scale), offset, epsilon=self.epsilon, is_training=True
        )
        return outputs if inputs.shape.rank == 4 else tf.reshape(outputs, [-1, inputs.shape[-1]]), mean, variance

    def _jointly(self, inputs, offset):
        """As `_fused`, over the shares of all replicas; gradients go through their joint statistics."""
        axes, values = list(range(inputs.shape.rank - 1)), tf.cast(inputs, tf.float32)
        mean = replicas.all_reduce_mean(tf.reduce_mean(values, axes))
        # Not by the mean of the squares, whose digits cancel where the mean is large.
        variance = replicas.all_reduce_mean(tf.reduce_mean(tf.math.squared_difference(values, mean), axes))
        scale = tf.convert_to_tensor(self.gamma) if self.scale else None
        outputs = tf.nn.batch_normalization(values, mean, variance, offset, scale, self.epsilon)
        count = tf.cast(replicas.replicas() * tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        return tf.cast(outputs, inputs.dtype), mean, variance * count / (count - 1.0)

    def add_weight(self, *args, trainable=True, **kwargs):
        """As in Keras, but that replicas whose averages move apart take the mean of them."""
        return super().add_weight(
            *args, trainable=trainable, **({} if trainable else {"aggregation": "mean"}), **kwargs
        )

    def _move(self, average, value):
        average.assign(average * self.momentum + value * (1.0 - self.momentum))

    def get_config(self):
        """The layer's arguments, for `.keras` files."""
        return {**super().get_config(), "statistics": self.statistics}
