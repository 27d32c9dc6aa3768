"""Shuffled batches, whose order is a function of (seed, epoch) and which can start at any step."""

import numpy as np
import tensorflow as tf

from common.data.dataset import Images
from common.data.pixels import RANGES
from common.errors import UserError

_FIXED = tf.data.Options()
_FIXED.autotune.enabled = False  # Destroying an iterator waits up to 60 s for its autotuning thread.
_STREAM = 0x0DA7A << 32  # Separates the order of the data from the other uses of the seed.


class Batches:
    """Shuffled batches of one data set.

    Each epoch visits the images in a new order and drops the remainder of n / batch_size, as the original does. The
    order takes constant memory, and no array of images is copied.

    Args:
        images: uint8 [n, h, w, c].
        batch_size: B. UserError if it exceeds n.
        scaling: a key of `pixels.RANGES`.
        seed: decides the order.
    """

    def __init__(self, images: Images, batch_size: int, scaling: str, seed: int):
        if batch_size > len(images):
            raise UserError(f"--batch-size {batch_size} is larger than the data set of {len(images)} images")
        self._images, self._batch_size, self._scaling, self._seed = images, batch_size, scaling, seed
        self._shape = images[np.arange(1)].shape[1:]
        self.failure: Exception | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the data set."""
        return len(self._images) // self._batch_size

    def indices(self, step: tf.Tensor) -> tf.Tensor:
        """Return the images of training step `step` (int64 scalar, counted over all epochs): int64 [B]."""
        epoch, batch = step // self.steps_per_epoch, tf.math.floormod(step, self.steps_per_epoch)
        positions = batch * self._batch_size + tf.range(self._batch_size, dtype=tf.int64)
        seed = tf.stack([tf.constant(self._seed + _STREAM, tf.int64), epoch])
        last = tf.constant(len(self._images) - 1, tf.int64)
        return tf.random.experimental.index_shuffle(positions, seed, last)  # pyright: ignore[reportAttributeAccessIssue]

    def from_step(self, first: int, last: int) -> tf.data.Dataset:
        """Return the batches of steps [first, last): float32 [B, h, w, c], scaled."""
        steps = tf.data.Dataset.range(first, last)
        return steps.map(self._load, num_parallel_calls=2, deterministic=True).prefetch(2).with_options(_FIXED)

    def _load(self, step: tf.Tensor) -> tf.Tensor:
        images = tf.numpy_function(self._gather, [self.indices(step)], tf.uint8)
        return scale(tf.ensure_shape(images, (self._batch_size, *self._shape)), self._scaling)

    def _gather(self, indices: np.ndarray) -> np.ndarray:
        try:
            return self._images[indices]
        except UserError as error:
            self.failure = error  # Kept so that training can re-raise it: TensorFlow keeps only its text.
            raise


def scale(images: tf.Tensor, scaling: str) -> tf.Tensor:
    """Convert stored pixels, uint8 [...], to the networks' float32 values; `scaling` is a key of `pixels.RANGES`."""
    return RANGES[scaling].to_network(tf.cast(images, tf.float32))
