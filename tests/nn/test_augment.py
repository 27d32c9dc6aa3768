"""Views: where each pixel comes from, by hand; that whole pixels move to the bit; that draws fill their ranges."""

import numpy as np
import pytest
import tensorflow as tf

from common.nn.augment import Affine, Rectangle, apply_affine, erase, sample_affine, sample_rectangle

pytestmark = pytest.mark.fast


def view(stretch=(1, 1), shear=0, shift=(0, 0)):
    """The view of a single image."""
    stretch, shear, shift = (tf.constant([value], tf.float32) for value in (stretch, shear, shift))
    return Affine(stretch, shear if shear[0] else None, shift)


def look(image, **how):
    return apply_affine(tf.constant(image, tf.float32)[None, :, :, None], view(**how)).numpy()[0, :, :, 0]


@pytest.mark.parametrize(
    ("shift", "wanted"),
    [
        ((0, 0), [[0, 1, 2], [3, 4, 5], [6, 7, 8]]),
        ((1, 0), [[0, 1, 2], [0, 1, 2], [3, 4, 5]]),
        ((0, -1), [[1, 2, 2], [4, 5, 5], [7, 8, 8]]),
        ((-2, 1), [[6, 6, 7]] * 3),
    ],
)
def test_shifted_images_repeat_their_edges(shift, wanted):
    np.testing.assert_array_equal(look(np.arange(9).reshape(3, 3), shift=shift), wanted)


def test_whole_pixels_move_any_image_to_the_bit():
    image = np.random.RandomState(0).uniform(-1, 1, (28, 28)).astype(np.float32)
    np.testing.assert_array_equal(look(image), image)
    np.testing.assert_array_equal(look(image, shift=(2, -1))[2:, :-1], image[:-2, 1:])


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        # About the middle row a row, about the middle column a column: a factor of 2 shows their half, bilinearly.
        ({"stretch": (2, 1)}, [[1.5] * 3, [3] * 3, [4.5] * 3]),
        ({"stretch": (1, 2)}, [[0, 0, 0], [3, 3, 3], [6, 6, 6]]),
        ({"stretch": (0.5, 1)}, [[0] * 3, [3] * 3, [6] * 3]),
        ({"stretch": (2, 1), "shift": (1, 0)}, [[0] * 3, [1.5] * 3, [3] * 3]),
    ],
)
def test_images_are_stretched_about_their_middle(how, wanted):
    np.testing.assert_allclose(look([[0, 0, 0], [3, 3, 3], [6, 6, 6]], **how), wanted, atol=1e-6)


def test_images_are_sheared_about_their_middle_row():
    """A column becomes a diagonal: each row moved right by `shear` of the row above it, the middle one not."""
    column = [[0, 0, 8, 0, 0]] * 5
    np.testing.assert_allclose(look(column, shear=1), 8 * np.eye(5), atol=1e-6)
    np.testing.assert_allclose(
        look(column, shear=-0.5)[[0, 2, 3]], [[0, 0, 0, 8, 0], [0, 0, 8, 0, 0], [0, 4, 4, 0, 0]], atol=1e-6
    )
    np.testing.assert_allclose(look(column, shear=1, shift=(1, 0))[1:], 8 * np.eye(5)[:4], atol=1e-6)


def test_no_shear_is_a_shear_of_zero():
    assert sample_affine(tf.constant([3, 4]), 2, 1, 0.0, 0.2).shear is None
    images = tf.constant(np.random.RandomState(1).normal(size=(2, 6, 4, 3)), tf.float32)
    none = sample_affine(tf.constant([3, 4]), 2, 1, 0.0, 0.2)
    np.testing.assert_allclose(apply_affine(images, none), apply_affine(images, none._replace(shear=tf.zeros(2))))


def test_each_image_has_its_own_view_in_all_channels():
    images = np.random.RandomState(1).normal(size=(2, 6, 4, 3)).astype(np.float32)
    views = sample_affine(tf.constant([3, 4]), 2, 1, 0.3, 0.2)
    both = apply_affine(tf.constant(images), views).numpy()
    assert both.shape == images.shape
    for i in range(2):
        for channel in range(3):
            alone = apply_affine(
                tf.constant(images[i : i + 1, :, :, channel : channel + 1]),
                Affine(*(part[i : i + 1] for part in views)),
            )
            np.testing.assert_allclose(both[i, :, :, channel], alone[0, :, :, 0], atol=1e-6)


def test_draws_are_uniform_up_to_the_most_each_way():
    n = 4000
    stretch, shear, shift = (part.numpy() for part in sample_affine(tf.constant([1, 2]), n, 2, 0.3, 0.2))
    counts = np.array([[(shift[:, axis] == value).sum() for value in range(-2, 3)] for axis in (0, 1)])
    assert (counts.sum(axis=1) == n).all() and np.abs(counts - n / 5).max() < 5 * np.sqrt(n * 0.16)  # Binomial.
    for values, most in ((shear, 0.3), (np.log(stretch[:, 0]), 0.2), (np.log(stretch[:, 1]), 0.2)):
        assert np.abs(values).max() <= most * 1.0001 and np.abs(values).max() > 0.99 * most
        assert abs(values.mean()) < 5 * most / np.sqrt(3 * n) and abs(values.std() - most / np.sqrt(3)) < 0.05 * most
    assert np.abs(np.corrcoef(np.column_stack([stretch, shear, shift]), rowvar=False) - np.eye(5)).max() < 5 / np.sqrt(
        n
    )


def test_nothing_to_draw_is_the_image_itself():
    images = np.random.RandomState(2).normal(size=(3, 8, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(
        apply_affine(tf.constant(images), sample_affine(tf.constant([1, 2]), 3, 0, 0.0, 0.0)), images
    )


# Erased rectangles


@pytest.mark.parametrize(
    ("first", "size", "erased"),
    [
        ((1, 1), (2, 1), [(1, 1), (2, 1)]),
        ((0.6, 0), (1, 1), [(1, 0)]),  # The middle of row 0 is at 0.5.
        ((0, 2.4), (0.5, 9), []),  # No middle of a row is inside.
        ((-1, -1), (9, 9), [(i, j) for i in range(3) for j in range(4)]),
    ],
)
def test_pixels_within_a_rectangle_take_the_lowest_value(first, size, erased):
    images = np.arange(-5.0, 19).reshape(1, 3, 4, 2).astype(np.float32)
    rectangle = Rectangle(tf.constant([first], tf.float32), tf.constant([size], tf.float32))
    wanted = images.copy()
    for i, j in erased:
        wanted[0, i, j] = -5
    np.testing.assert_array_equal(erase(tf.constant(images), rectangle), wanted)


def test_rectangles_are_drawn_within_the_image():
    n = 4000
    first, size = (part.numpy() for part in sample_rectangle(tf.constant([1, 2]), n, 8, 10, 12))
    assert size.min() >= 2 and size.max() <= 8 and (first >= 0).all() and (first + size <= (10.001, 12.001)).all()
    for values, low, high in ((size, 2, 8), (first / ((10, 12) - size), 0, 1)):
        spread = (high - low) / np.sqrt(12)
        assert np.abs(values.mean(axis=0) - (low + high) / 2).max() < 5 * spread / np.sqrt(n)
        assert np.abs(values.std(axis=0) - spread).max() < 0.05 * spread
