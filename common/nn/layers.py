"""The layers of the original's networks, with its initialisers and its batch norm (docs/original.md, section 2)."""

import contextlib
import contextvars
import zlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from common.nn import replicas

STDDEV = 0.02  # Of every initial kernel.
_AVERAGES_FIXED = contextvars.ContextVar("averages_fixed", default=False)  # Each replica's thread has its own.


def layer_seed(seed: int, name: str) -> int:
    """Return a seed for the network or layer `name`: its initial weights do not depend on which others exist."""
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF


def conv(filters: int, kernel: int, stride: int, seed: int, name: str) -> keras.layers.Layer:
    """SAME convolution [B, h, w, c] -> [B, ceil(h/stride), ceil(w/stride), filters]; truncated normal kernel."""
    initializer = keras.initializers.TruncatedNormal(stddev=STDDEV, seed=layer_seed(seed, name))
    return keras.layers.Conv2D(filters, kernel, stride, padding="same", name=name, kernel_initializer=initializer)


def deconv(filters: int, kernel: int, stride: int, seed: int, name: str) -> keras.layers.Layer:
    """SAME transposed convolution [B, h, w, c] -> [B, h*stride, w*stride, filters]; normal kernel."""
    initializer = keras.initializers.RandomNormal(stddev=STDDEV, seed=layer_seed(seed, name))
    return keras.layers.Conv2DTranspose(
        filters, kernel, stride, padding="same", name=name, kernel_initializer=initializer
    )


def linear(units: int, seed: int, name: str, **kwargs) -> keras.layers.Layer:
    """Dense layer [B, n] -> [B, units]; normal kernel."""
    return keras.layers.Dense(
        units,
        name=name,
        kernel_initializer=keras.initializers.RandomNormal(stddev=STDDEV, seed=layer_seed(seed, name)),
        **kwargs,
    )


def lrelu() -> keras.layers.Layer:
    """max(x, 0.2 x)."""
    return keras.layers.LeakyReLU(negative_slope=0.2)


@contextlib.contextmanager
def fixed_averages() -> Iterator[None]:
    """Within, batch norm in training mode leaves its averages: for a network that is fixed while others learn."""
    token = _AVERAGES_FIXED.set(True)
    try:
        yield
    finally:
        _AVERAGES_FIXED.reset(token)


@keras.saving.register_keras_serializable(package="infovaegan")
class BatchNorm(keras.layers.BatchNormalization):
    """Batch norm over all axes but the last, on batch statistics in inference as well, as the original does.

    Keras's own layer can use batch statistics only in training, and then always moves the averages. Here `training`
    decides whether the averages move, if they are not fixed (`fixed_averages`), and `statistics` what inference
    normalises with. One fused kernel does the arithmetic, with statistics in float32 whatever the dtype of the inputs.

    Args:
        momentum: of the moving averages.
        epsilon: added to the variance.
        statistics: "batch", as the original; "moving" or "standing": inference (`training=False`) reads the averages,
            which are those of training, or were set after it.
        synchronized: whether several replicas compute their batch statistics together.
        **kwargs: those of the Keras layer.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, statistics="batch", **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        if statistics not in ("batch", "moving", "standing"):
            raise ValueError(f"statistics must be batch, moving or standing, got {statistics!r}")
        self.statistics = statistics
        self.observer: Callable | None = None  # Called with the mean and variance of each batch in batch statistics.

    def call(self, inputs, training=False):
        """Normalise `inputs` [B, ..., c]; `training` moves the averages towards its mean and unbiased variance."""
        if self.statistics != "batch" and not training:
            return super().call(inputs, training=False)
        together = self.synchronized and replicas.in_replica_context()
        outputs, mean, variance = self._synchronized(inputs) if together else self._fused(inputs)
        if self.observer is not None:
            self.observer(mean, variance)
        if training and not _AVERAGES_FIXED.get():
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance)
        return outputs

    def _fused(self, inputs):
        """(normalised inputs, their mean, their unbiased variance)."""
        # The fused kernel takes four axes: features of a dense layer become images of one pixel.
        images = inputs if inputs.shape.rank == 4 else tf.reshape(inputs, [-1, 1, 1, inputs.shape[-1]])
        scale = self.gamma if self.scale else tf.ones_like(self.beta)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            images, tf.convert_to_tensor(scale), tf.convert_to_tensor(self.beta), epsilon=self.epsilon, is_training=True
        )
        return outputs if inputs.shape.rank == 4 else tf.reshape(outputs, [-1, inputs.shape[-1]]), mean, variance

    def _synchronized(self, inputs):
        """As `_fused`, over the batches of all replicas; gradients flow through their common statistics."""
        axes, values = list(range(inputs.shape.rank - 1)), tf.cast(inputs, tf.float32)
        mean = replicas.all_reduce_mean(tf.reduce_mean(values, axes))
        # Not by the mean of the squares, whose digits cancel where the mean is large.
        variance = replicas.all_reduce_mean(tf.reduce_mean(tf.math.squared_difference(values, mean), axes))
        scale = tf.convert_to_tensor(self.gamma) if self.scale else None
        offset = tf.convert_to_tensor(self.beta)
        outputs = tf.nn.batch_normalization(values, mean, variance, offset, scale, self.epsilon)
        count = tf.cast(replicas.replicas() * tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        return tf.cast(outputs, inputs.dtype), mean, variance * count / (count - 1.0)

    def add_weight(self, *args, trainable=True, **kwargs):
        """As in Keras, but non-trainable weights are averaged over replicas."""
        return super().add_weight(
            *args, trainable=trainable, **({} if trainable else {"aggregation": "mean"}), **kwargs
        )

    def _move(self, average, value):
        average.assign(average * self.momentum + value * (1.0 - self.momentum))

    def get_config(self):
        """Return the layer's arguments, for `.keras` files."""
        return {**super().get_config(), "statistics": self.statistics}


def plain(network: keras.Model) -> keras.Model:
    """Return a copy of `network` with Keras's own batch norms, which read the averages: for `.keras` files."""

    def layer_of(layer):
        arguments = layer.get_config()
        if not isinstance(layer, BatchNorm):
            return type(layer).from_config(arguments)
        return keras.layers.BatchNormalization(**{k: v for k, v in arguments.items() if k != "statistics"})

    copy = keras.models.clone_model(network, clone_function=layer_of, recursive=True)
    copy.set_weights(network.get_weights())
    return copy
