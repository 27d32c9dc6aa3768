"""Batches in an order that is a function of (seed, epoch), from any step on."""

import numpy as np
import tensorflow as tf

from common.data.dataset import Images
from common.errors import UserError

_FIXED = tf.data.Options()
_FIXED.autotune.enabled = False  # Destroying an iterator waits up to 60 s for its autotuning thread.
_STREAM = 0x0DA7A << 32  # Keeps the order of the data apart from everything else that the seed decides.


class Batches:
    """Shuffled batches of one data set.

    Each epoch visits the images in a new order and drops the remainder of n / batch_size, as the original does. The order
    takes constant memory, and no array of images is ever copied.

    Args:
        images: uint8 [n, h, w, c].
        batch_size: B. UserError where it exceeds n.
        scaling: see `scale`.
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
        """The images of training step `step` (int64 scalar, counted over all epochs): int64 [B]."""
        epoch, batch = step // self.steps_per_epoch, step % self.steps_per_epoch
        positions = batch * self._batch_size + tf.range(self._batch_size, dtype=tf.int64)
        seed = tf.stack([tf.constant(self._seed + _STREAM, tf.int64), epoch])
        return tf.random.experimental.index_shuffle(positions, seed, tf.constant(len(self._images) - 1, tf.int64))

    def from_step(self, first: int, last: int) -> tf.data.Dataset:
        """The batches of steps [first, last): float32 [B, h, w, c], scaled."""
        return (
            tf.data.Dataset.range(first, last)
            .map(self._load, num_parallel_calls=2, deterministic=True)
            .prefetch(2)
            .with_options(_FIXED)
        )

    def _load(self, step: tf.Tensor) -> tf.Tensor:
        images = tf.ensure_shape(
            tf.numpy_function(self._gather, [self.indices(step)], tf.uint8), (self._batch_size, *self._shape)
        )
        return scale(images, self._scaling)

    def _gather(self, indices: np.ndarray) -> np.ndarray:
        try:
            return self._images[indices]
        except UserError as error:
            self.failure = error  # TensorFlow keeps only its text; whoever runs the pipeline can raise it as it was.
            raise


def scale(images: tf.Tensor, scaling: str) -> tf.Tensor:
    """Stored pixels, uint8 [...], as the networks see them, float32: "unit" x/255, "tanh" x/127.5 - 1, "binary" x as it is."""
    images = tf.cast(images, tf.float32)
    if scaling == "unit":
        return images / 255.0
    return images / 127.5 - 1.0 if scaling == "tanh" else images
