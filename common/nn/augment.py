"""Images as the encoder may see them: stretched, slanted and moved by a little, at random. No step of the original's."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp


class Affine(NamedTuple):
    """What is done to each image of a batch, about its middle and in this order.

    `stretch` [B, 2], factors of height and width; `shear` [B], the columns by which a row is moved right of the row above it;
    `shift` [B, 2], pixels down and right. Float32.
    """

    stretch: tf.Tensor
    shear: tf.Tensor
    shift: tf.Tensor


def sample_affine(seed: tf.Tensor, batch_size: int, shift: int, shear: float, stretch: float) -> Affine:
    """A view of each image, from `seed`, int32 [2]: moved by whole pixels up to `shift` and slanted up to `shear` each way, stretched from exp(-stretch) to exp(stretch).

    All uniformly; factors are so in their logarithms.
    """
    shears, stretches = tfp.random.split_seed(tf.random.fold_in(seed, 1), 2)
    shifts = tf.random.stateless_uniform([batch_size, 2], seed, -shift, shift + 1, tf.int32)
    return Affine(
        tf.exp(tf.random.stateless_uniform([batch_size, 2], stretches, -stretch, stretch)),
        tf.random.stateless_uniform([batch_size], shears, -shear, shear),
        tf.cast(shifts, tf.float32),
    )


def seen(images: tf.Tensor, view: Affine) -> tf.Tensor:
    """Images [B, h, w, c], each under its view, bilinearly; what comes in repeats the edge. Whole pixels alone move to the bit."""
    height, width = images.shape[1:3]
    middle, centre = (height - 1) / 2, (width - 1) / 2
    # Where each pixel comes from. Its row follows from its row alone, so that one axis comes after the other.
    rows = tf.range(height, dtype=tf.float32) - middle - view.shift[:, :1]
    columns = (
        tf.range(width, dtype=tf.float32)
        - centre
        - view.shift[:, None, 1:]
        - view.shear[:, None, None] * rows[..., None]
    )
    images = tf.einsum("biy,byxc->bixc", _weights(rows / view.stretch[:, :1] + middle, height), images)
    return tf.einsum("bijx,bixc->bijc", _weights(columns / view.stretch[:, None, 1:] + centre, width), images)


def _weights(position: tf.Tensor, size: int) -> tf.Tensor:
    """[...] -> [..., size]: how much of each of `size` pixels is at `position`."""
    position = tf.clip_by_value(position, 0.0, size - 1.0)
    return tf.nn.relu(1.0 - tf.abs(position[..., None] - tf.range(size, dtype=tf.float32)))
