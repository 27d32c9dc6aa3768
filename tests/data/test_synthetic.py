"""What all synthetic data sets have in common: size, types, pure functions of the index, uniform factors."""

import numpy as np
import pytest

from common.data.synthetic import chairs, digits, faces, sprites

pytestmark = pytest.mark.fast

SHAPES = {chairs: (300, 300, 3), digits: (28, 28, 1), faces: (128, 128, 3), sprites: (64, 64, 1)}
SIZES = {chairs: 86_366, digits: 70_000, faces: 202_599, sprites: 737_280}
MODULES = pytest.mark.parametrize("module", SHAPES, ids=lambda module: module.__name__.rpartition(".")[2])


@MODULES
def test_size_is_that_of_the_real_data(module):
    assert SIZES[module] == module.SIZE


@MODULES
def test_image_depends_on_its_index_alone(module):
    indices = np.array([module.SIZE - 1, 0, 7, 7, 61, 62, 40_001])
    images = module.images(indices)
    assert images.dtype == np.uint8 and images.shape == (7, *SHAPES[module])
    for name in ("_chair", "_glyph", "_palette", "back", "mouth", "eyes", "front"):
        if hasattr(module, name):
            getattr(module, name).cache_clear()
    for index, image in zip(indices[::-1], images[::-1], strict=True):
        np.testing.assert_array_equal(module.images([index])[0], image)
    assert module.images([]).shape == (0, *SHAPES[module])


@MODULES
@pytest.mark.parametrize("function", ["images", "factors", "attributes"])
def test_index_out_of_range_is_an_error(module, function):
    if hasattr(module, function):
        for index in (-1, module.SIZE):
            with pytest.raises(IndexError):
                getattr(module, function)([0, index])


@pytest.mark.parametrize(
    "module, step, stop",
    [(chairs, chairs.VIEWS, chairs.SIZE), (digits, 1, digits.SIZE), (faces, 1, 20_000)],
    ids=["chairs", "digits", "faces"],
)
def test_levels_are_uniform_and_independent(module, step, stop):
    table = module.factors(np.arange(0, stop, step))
    assert table.dtype == np.int64 and table.shape[1] == len(module.FACTORS)
    table = table[:, table.any(axis=0)]  # Views of chairs are a grid.
    for column, factor in zip(table.T, module.FACTORS, strict=False):
        expected = len(table) / factor.levels
        counts = np.bincount(column, minlength=factor.levels)
        assert len(counts) == factor.levels and np.abs(counts - expected).max() < 4 * np.sqrt(expected)
    assert np.abs(np.corrcoef(table.T) - np.eye(table.shape[1])).max() < 4 / np.sqrt(len(table))
