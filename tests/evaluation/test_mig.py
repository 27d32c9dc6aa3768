"""Mutual information by hand, and the gap of codes whose gap is known."""

import numpy as np
import pytest

from common.evaluation.metrics import mutual_information
from common.evaluation.metrics.codes import Codes
from common.evaluation.metrics.mig import mutual_information_gap

pytestmark = pytest.mark.fast

GRID = np.stack(np.meshgrid(*map(np.arange, (3, 4, 5)), indexing="ij"), axis=-1).reshape(-1, 3)
PERFECT = Codes(GRID[:, 1:].astype(np.float32), GRID[:, 0], 3)


def test_mutual_information_by_hand():
    """Joint 1/2, 1/4, 0, 1/4: sum p ln(p / (p_row p_column)), rows 3/4 and 1/4, columns 1/2 and 1/2."""
    codes, factors = Codes(np.zeros((4, 0)), np.array([0, 0, 0, 1]), 2), np.array([[5], [5], [8], [8]])
    expected = 1 / 2 * np.log(4 / 3) + 1 / 4 * np.log(2 / 3) + 1 / 4 * np.log(2)
    np.testing.assert_allclose(mutual_information.matrix(codes, factors), [[expected]], rtol=1e-14)


def test_entropies_are_in_nats():
    factors = np.array([[0, 7, 3], [1, 7, 3], [2, 7, 5], [3, 7, 5]])
    np.testing.assert_allclose(mutual_information.entropies(factors), [np.log(4), 0, np.log(2)], rtol=1e-14)


def test_bins_have_equal_width_and_the_last_holds_the_largest():
    levels = mutual_information.discretise(Codes(np.array([[0.0], [0.049], [0.051], [0.5], [0.96], [1.0]])))
    np.testing.assert_array_equal(levels[:, 0], [0, 0, 1, 10, 19, 19])
    np.testing.assert_array_equal(
        mutual_information.discretise(Codes(np.array([[0.0], [9.0], [10.0]])), bins=2)[:, 0], [0, 1, 1]
    )


def test_the_matrix_has_one_row_per_dimension_category_last():
    matrix = mutual_information.matrix(PERFECT, GRID)
    np.testing.assert_allclose(matrix, [[0, np.log(4), 0], [0, 0, np.log(5)], [np.log(3), 0, 0]], atol=1e-12)
    assert (matrix >= 0).all()


def test_perfect_codes_have_a_gap_of_one():
    assert mutual_information_gap(PERFECT, GRID) == pytest.approx(1.0, abs=1e-12)
    assert type(mutual_information_gap(PERFECT, GRID)) is float


def test_duplicated_codes_have_no_gap():
    assert mutual_information_gap(Codes(np.hstack([GRID, GRID]).astype(float)), GRID) == pytest.approx(0.0, abs=1e-12)


def test_constant_codes_have_no_gap():
    assert mutual_information_gap(Codes(np.full((60, 2), 0.3), np.ones(60, int), 3), GRID) == 0.0


def test_the_order_sign_and_scale_of_dimensions_do_not_matter():
    codes = GRID + np.random.RandomState(0).randn(60, 3)
    expected = mutual_information_gap(Codes(codes), GRID)
    assert 0 < expected < 1
    assert mutual_information_gap(Codes(codes[:, [2, 0, 1]]), GRID) == pytest.approx(expected, abs=1e-12)
    assert mutual_information_gap(Codes(codes * [2.0, 4.0, 0.5]), GRID) == pytest.approx(expected, abs=1e-12)
    assert mutual_information_gap(Codes(-GRID.astype(float)), GRID) == pytest.approx(1.0, abs=1e-12)


def test_a_rotation_lowers_the_gap():
    """By 45 degrees both dimensions say the same about either of two factors of equal levels."""
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 2)
    rotated = Codes(np.stack([grid.sum(axis=1), grid[:, 0] - grid[:, 1]], axis=1).astype(float))
    assert mutual_information_gap(rotated, grid) == pytest.approx(0.0, abs=1e-12)


def test_a_single_dimension_has_no_second_best():
    assert mutual_information_gap(Codes(GRID[:, :1].astype(float)), GRID) == pytest.approx(1 / 3, abs=1e-12)


def test_factors_of_one_level_are_left_out():
    assert mutual_information_gap(PERFECT, np.hstack([GRID, np.full((60, 1), 2)])) == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ValueError, match="no factor"):
        mutual_information_gap(PERFECT, np.zeros((60, 2), int))


def test_nothing_and_tables_of_other_images_are_errors():
    with pytest.raises(ValueError, match="no images"):
        mutual_information_gap(Codes(np.zeros((0, 2))), np.zeros((0, 3), int))
    with pytest.raises(ValueError, match="60 images and factors of 59"):
        mutual_information_gap(PERFECT, GRID[:-1])
    with pytest.raises(ValueError, match="no images"):
        mutual_information.entropies(np.zeros((0, 3), int))
