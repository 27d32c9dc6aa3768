"""Synthetic MNIST: no digit is clipped, and the digits are the main difference between images."""

import itertools

import numpy as np
import pytest

from common.data.synthetic import digits

pytestmark = pytest.mark.fast

COLUMNS = {factor.name: column for column, factor in enumerate(digits.FACTORS)}


def test_strokes_are_white_on_black():
    images = digits.images(np.arange(100))
    assert (images.min(axis=(1, 2, 3)) == 0).all()
    assert (images.max(axis=(1, 2, 3)) >= 240).all()


@pytest.mark.parametrize("column", range(len(digits.FACTORS)), ids=list(COLUMNS))
def test_each_factor_shows(column):
    """Two images whose levels differ in one factor only differ by at least 4 pixels' worth of light."""
    table = digits.factors(np.arange(digits.SIZE))
    _, group = np.unique(np.delete(table, column, axis=1), axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    same = group.reshape(-1)[order][1:] == group.reshape(-1)[order][:-1]
    first, second = order[:-1][same], order[1:][same]
    different = np.flatnonzero(table[first, column] != table[second, column])[:50]
    assert len(different) == 50
    changes = digits.images(first[different]).astype(int) - digits.images(second[different])
    assert np.abs(changes).sum(axis=(1, 2, 3)).min() > 4 * 255


def test_no_digit_touches_the_border():
    """Checked for every extreme pose of every glyph."""
    extremes = [(factor.values[0], factor.values[-1]) for factor in digits.FACTORS[1:6]]
    matrices = digits._sampling(*np.array(list(itertools.product(*extremes)), np.float64).T).tolist()
    largest = np.zeros((28, 28), np.uint8)
    for digit, stroke_width in itertools.product(range(10), digits.FACTORS[COLUMNS["stroke_width"]].values):
        glyph = digits._glyph(digit, stroke_width)
        for matrix in matrices:
            image = glyph.transform((28, 28), digits.Image.Transform.AFFINE, matrix, digits.Image.Resampling.BILINEAR)
            largest = np.maximum(largest, image)
    assert largest.max() == 255
    largest[1:-1, 1:-1] = 0
    assert largest.max() <= 10  # At most the faint end of an edge.


def test_shifts_and_strokes_have_their_stated_units():
    """The centre of light follows the shift px by px; wider strokes have more light."""
    table, images = digits.factors(np.arange(4000)), digits.images(np.arange(4000))[..., 0] / 255.0
    light = images.sum(axis=(1, 2))
    for name, axis in (("shift_x", 1), ("shift_y", 2)):
        centre = images.sum(axis=axis) @ (np.arange(28) + 0.5) / light
        shift = np.array(digits.FACTORS[COLUMNS[name]].values)[table[:, COLUMNS[name]]]
        slope, offset = np.polyfit(shift, centre, 1)
        assert slope == pytest.approx(1, abs=0.05)
        assert offset == pytest.approx(14, abs=0.5)
    by_stroke = [light[table[:, COLUMNS["stroke_width"]] == level].mean() for level in range(4)]
    assert (np.diff(by_stroke) > 5).all()


def test_digit_is_the_main_difference():
    """The nearest of 4,000 images nearly always shows the same digit, which explains a fifth of the variance."""
    indices = np.arange(4400)
    labels, images = digits.factors(indices)[:, 0], digits.images(indices).reshape(4400, -1).astype(np.float32)
    known, asked = images[:4000], images[4000:]
    distance = (known**2).sum(axis=1) - 2 * asked @ known.T
    assert (labels[distance.argmin(axis=1)] == labels[4000:]).mean() > 0.97
    means = np.stack([images[labels == digit].mean(axis=0) for digit in range(10)])
    assert means[labels].var(axis=0).sum() / images.var(axis=0).sum() > 0.2
