"""What images go through before networks see them in training: views and noise. Not part of the original."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp


class Affine(NamedTuple):
    """One transform per image of a batch, about the image's centre and in this order; float32.

    Attributes:
        stretch: factors of height and width, [B, 2].
        shear: columns by which each row moves right of the row above it, [B]; None for none, which is much faster.
        shift: pixels down and right, [B, 2].
    """

    stretch: tf.Tensor
    shear: tf.Tensor | None
    shift: tf.Tensor


class Rectangle(NamedTuple):
    """One rectangle per image of a batch, in pixels; float32 [B, 2], rows first: its `first` corner and its `size`."""

    first: tf.Tensor
    size: tf.Tensor


def sample_affine(seed: tf.Tensor, batch_size: int, shift: int, shear: float, stretch: float) -> Affine:
    """Return a transform per image, from `seed` (int32 [2]).

    Shifts are whole pixels in ±shift, shears in ±shear, logarithms of the stretch in ±stretch, all uniform.
    """
    shears, stretches = tfp.random.split_seed(tf.random.fold_in(seed, 1), 2)
    shifts = tf.random.stateless_uniform([batch_size, 2], seed, -shift, shift + 1, tf.int32)
    return Affine(
        tf.exp(tf.random.stateless_uniform([batch_size, 2], stretches, -stretch, stretch)),
        tf.random.stateless_uniform([batch_size], shears, -shear, shear) if shear else None,
        tf.cast(shifts, tf.float32),
    )


def apply_affine(images: tf.Tensor, view: Affine) -> tf.Tensor:
    """Transform images [B, h, w, c], bilinearly. Edges are replicated. Shifts alone are exact."""
    height, width = images.shape[1:3]
    middle, centre = (height - 1) / 2, (width - 1) / 2
    # Where each pixel comes from. Its source row depends on its row alone, so the axes can be done one after the other.
    rows = tf.range(height, dtype=tf.float32) - middle - view.shift[:, :1]
    columns = tf.range(width, dtype=tf.float32) - centre - view.shift[:, 1:]
    images = tf.einsum("biy,byxc->bixc", _weights(rows / view.stretch[:, :1] + middle, height), images)
    if view.shear is None:
        return tf.einsum("bjx,bixc->bijc", _weights(columns / view.stretch[:, 1:] + centre, width), images)
    columns = columns[:, None] - view.shear[:, None, None] * rows[..., None]
    return tf.einsum("bijx,bixc->bijc", _weights(columns / view.stretch[:, None, 1:] + centre, width), images)


def add_noise(images: tf.Tensor, noise: tf.Tensor | None) -> tf.Tensor:
    """Return images with instance noise of the same shape, if there is any (Sonderby et al. 2017)."""
    return images if noise is None else images + noise


def sample_rectangle(seed: tf.Tensor, batch_size: int, largest: float, height: int, width: int) -> Rectangle:
    """Return a rectangle per image of `height` x `width` pixels, from `seed` (int32 [2]).

    Sides are uniform from a quarter of `largest` to `largest`, and places uniform within the image, which a longer side
    covers.
    """
    sides, places = tfp.random.split_seed(seed, 2)
    size = tf.random.stateless_uniform([batch_size, 2], sides, largest / 4, largest)
    place = tf.random.stateless_uniform([batch_size, 2], places)
    return Rectangle(place * (tf.constant([height, width], tf.float32) - size), size)


def erase(images: tf.Tensor, rectangle: Rectangle) -> tf.Tensor:
    """Give the pixels of images [B, h, w, c] whose middle is in the rectangle the lowest value of their image."""

    def inside(axis: int) -> tf.Tensor:
        middles = tf.range(images.shape[1 + axis], dtype=tf.float32) + 0.5
        first, size = rectangle.first[:, axis, None], rectangle.size[:, axis, None]
        return (first <= middles) & (middles < first + size)

    erased = inside(0)[:, :, None, None] & inside(1)[:, None, :, None]
    return tf.where(erased, tf.reduce_min(images, axis=[1, 2, 3], keepdims=True), images)


def _weights(position: tf.Tensor, size: int) -> tf.Tensor:
    """[...] -> [..., size]: bilinear weights of `size` pixels at `position`."""
    position = tf.clip_by_value(position, 0.0, size - 1.0)
    return tf.nn.relu(1.0 - tf.abs(position[..., None] - tf.range(size, dtype=tf.float32)))
