"""The kernel distance by hand, without bias, and over subsets."""

import itertools

import numpy as np
import pytest

from common.evaluation.metrics.kid import kid, squared_mmd

pytestmark = pytest.mark.fast


def column(*values):
    return np.array(values, float)[:, None]


def test_by_hand():
    """k(a, b) = (ab + 1)^3: 1 within x, 1 within y, and 1, 1, 1, 27 between them."""
    assert squared_mmd(column(0, 1), column(0, 2)) == 1 + 1 - 2 * 30 / 4


def test_the_kernel_divides_by_the_number_of_dimensions():
    """(4 / 2 + 1)^3 within x, 1 within y and between."""
    assert squared_mmd(np.array([[2.0, 0.0], [2.0, 0.0]]), np.zeros((2, 2))) == 27 + 1 - 2


def test_the_estimate_has_no_bias():
    """Over all draws of two and of three from the same distribution the mean is exactly 0."""
    values = [-1.0, 0.0, 2.0]
    estimates = [
        squared_mmd(column(*x), column(*y))
        for x in itertools.product(values, repeat=2)
        for y in itertools.product(values, repeat=3)
    ]
    assert np.mean(estimates) == pytest.approx(0.0, abs=1e-12)
    assert min(estimates) < -1 and max(estimates) > 1


def test_the_distance_of_two_distributions_is_found():
    """X always 0, y uniform on {-1, 1}: 1 + E k(y, y') - 2, where k is 8 or 0."""
    estimates = [squared_mmd(column(0, 0), column(*y)) for y in itertools.product([-1.0, 1.0], repeat=2)]
    assert np.mean(estimates) == 1 + 4 - 2


def test_the_order_of_features_does_not_matter():
    x, y = np.random.RandomState(0).rand(2, 20, 5)
    assert squared_mmd(x[::-1], y) == pytest.approx(squared_mmd(x, y), abs=1e-12)
    assert squared_mmd(y, x) == pytest.approx(squared_mmd(x, y), abs=1e-12)


def test_subsets_give_a_mean_and_its_standard_error():
    """Subsets of all features are all alike: the mean is the estimate itself, and nothing is uncertain."""
    x, y = np.random.RandomState(0).rand(2, 20, 5)
    mean, error = kid(x, y, 3, 20, np.random.RandomState(0))
    assert mean == pytest.approx(squared_mmd(x, y), abs=1e-12)
    assert error == pytest.approx(0.0, abs=1e-12)


def test_two_subsets_by_hand():
    x, y = np.random.RandomState(1).rand(2, 30, 4)
    random = np.random.RandomState(5)
    first, second = (squared_mmd(x[random.permutation(30)[:7]], y[random.permutation(30)[:7]]) for _ in range(2))
    mean, error = kid(x, y, 2, 7, np.random.RandomState(5))
    assert mean == pytest.approx((first + second) / 2)
    assert error == pytest.approx(abs(first - second) / 2)
    assert type(mean) is type(error) is float


def test_the_same_distribution_is_near_0_and_another_is_far():
    random = np.random.RandomState(0)
    x, y = random.randn(2, 2000, 8)
    mean, error = kid(x, y, 50, 100, np.random.RandomState(0))
    far, _ = kid(x, y + 1.0, 50, 100, np.random.RandomState(0))
    assert abs(mean) < 5 * error < 0.2 < 1 < far


def test_nothing_and_too_little_are_errors():
    with pytest.raises(ValueError, match="two of each"):
        squared_mmd(np.zeros((0, 3)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="same length"):
        squared_mmd(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="3 subsets of 5 from 9 and 4"):
        kid(np.zeros((9, 2)), np.zeros((4, 2)), 3, 5, np.random.RandomState(0))
    with pytest.raises(ValueError, match="at least 2"):
        kid(np.zeros((9, 2)), np.zeros((9, 2)), 1, 5, np.random.RandomState(0))
