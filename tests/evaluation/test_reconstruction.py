"""The squared error by hand, and over batches."""

import numpy as np
import pytest

from common.evaluation.metrics.reconstruction import SquaredError

pytestmark = pytest.mark.fast


def error_of(*batches):
    error = SquaredError()
    for images, reconstructions in batches:
        error.add(images, reconstructions)
    return error


def test_by_hand():
    """Two images of 1x2 pixels: squares 1 + 4 and 0 + 9."""
    images = np.array([0.0, 0.0, 1.0, 1.0]).reshape(2, 1, 2, 1)
    error = error_of((images, np.array([1.0, 2.0, 1.0, 4.0]).reshape(2, 1, 2, 1)))
    assert (error.per_value, error.per_image, error.images) == (14 / 4, 14 / 2, 2)


def test_perfect_reconstructions_have_none():
    images = np.random.RandomState(0).rand(5, 4, 4, 3)
    assert error_of((images, images)).per_value == 0.0


def test_batch_size_and_order_do_not_matter():
    x, y = np.random.RandomState(0).rand(2, 30, 4, 4, 3).astype(np.float32)
    whole = error_of((x, y))
    parts = error_of((x[20:], y[20:]), (x[:1], y[:1]), (x[1:20], y[1:20]), (x[:0], y[:0]))
    assert parts.per_value == pytest.approx(whole.per_value, rel=1e-13)
    assert parts.per_image == pytest.approx(48 * whole.per_value, rel=1e-13)
    assert type(parts.per_image) is float


def test_stored_pixels_do_not_wrap_around():
    assert error_of((np.zeros((1, 1, 1, 1), np.uint8), np.full((1, 1, 1, 1), 200, np.uint8))).per_image == 40_000


def test_nothing_and_other_shapes_are_errors():
    with pytest.raises(ValueError, match="no images"):
        SquaredError().per_value
    with pytest.raises(ValueError, match=r"\[2, 4, 4, 1\]"):
        SquaredError().add(np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 4, 3)))
