"""Synthetic dSprites: its grid, and every pixel of the 320 frames of the official animation."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from common.data.synthetic import sprites
from helpers.paths import SHARED

pytestmark = pytest.mark.fast

GIF = SHARED / "golden_images" / "dsprites.gif"
LEVELS = (1, 3, 6, 40, 32, 32)


def index(shape=0, scale=0, orientation=0, x=0, y=0):
    """The index in the official order of the image with these levels."""
    return (((shape * 6 + scale) * 40 + orientation) * 32 + x) * 32 + y


def animation():
    """The indices of the animation's 320 frames: each shape grows, shrinks and turns; the heart tours the image."""
    indices = []
    for shape in (2, 1, 0):
        grow, shrink = ([index(shape, scale) for scale in scales] for scales in (range(6), range(5, -1, -1)))
        turn = [index(shape, 5, orientation) for orientation in range(40)]
        tour = []
        if shape == 2:
            tour += [index(shape, 5, y=y) for y in range(32)] + [index(shape, 5, x=x, y=31) for x in range(32)]
            tour += [index(shape, 5, x=31, y=y) for y in range(31, -1, -1)]
            tour += [index(shape, 5, x=x) for x in range(31, -1, -1)]
        indices += grow + shrink + grow + turn + tour + shrink
    return np.array(indices)


def test_every_pixel_of_the_official_frames():
    if not GIF.exists():
        pytest.skip(f"needs {GIF}, the official animation of dSprites, which is not part of a clone")
    with Image.open(GIF) as file:
        frames = np.stack([np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(file)])
    drawn = sprites.images(animation())[..., 0]
    wrong = (drawn != frames // 255).sum(axis=(1, 2))
    assert wrong.tolist() == [0] * 320


def test_images_are_binary():
    images = sprites.images(np.arange(0, sprites.SIZE, 2917))
    assert np.unique(images).tolist() == [0, 1]


def test_grid_is_the_official_one():
    assert [factor.name for factor in sprites.FACTORS] == ["color", "shape", "scale", "orientation", "posX", "posY"]
    assert tuple(factor.levels for factor in sprites.FACTORS) == LEVELS
    assert sprites.FACTORS[2].values == pytest.approx((0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
    assert sprites.FACTORS[3].values[1] == pytest.approx(2 * np.pi / 39)
    assert sprites.FACTORS[5].values[1] == pytest.approx(1 / 31)
    table = sprites.factors(np.arange(sprites.SIZE))
    assert table.dtype == np.int64
    np.testing.assert_array_equal(table, np.indices(LEVELS).reshape(6, -1).T)


@pytest.mark.parametrize("column", range(1, 6))
def test_each_step_of_each_factor_shows(column):
    levels = np.repeat([[0, 2, 3, 7, 12, 20]], LEVELS[column], axis=0)
    levels[:, column] = np.arange(LEVELS[column])
    images = sprites.images(np.ravel_multi_index(levels.T, LEVELS)).astype(int)
    assert np.abs(np.diff(images, axis=0)).sum(axis=(1, 2, 3)).min() >= 4


def test_full_turn_changes_nothing():
    for shape in range(3):
        positions = np.arange(1024)
        first, last = (index(shape, 4, orientation) + positions for orientation in (0, 39))
        np.testing.assert_array_equal(sprites.images(first), sprites.images(last))


def test_sprites_are_whole_at_every_position():
    """A sprite's area changes with its position only at its boundary; its centre follows the position."""
    for shape, area in enumerate((9.598**2 * 4, np.pi * 12.775 * 7.22, 224)):
        images = sprites.images(index(shape, 5, 5) + np.arange(1024))[..., 0]
        assert images.sum(axis=(1, 2)) == pytest.approx(np.full(1024, area), rel=0.04)
        # In px, relative to the first position.
        centre = images.sum(axis=1) @ np.arange(64) / images.sum(axis=(1, 2))
        travel = (centre.reshape(32, 32) - centre.reshape(32, 32)[0]).mean(axis=1)
        assert travel == pytest.approx(np.arange(32) * 32 / 31, abs=0.3)
