"""The Frechet distance against closed forms, and on singular covariances."""

import numpy as np
import pytest

from common.evaluation.metrics.frechet import frechet_distance

pytestmark = pytest.mark.fast


def gaussian(mean, factor):
    """Features with exactly this mean [d] and the covariance factor @ factor.T, from factor [d, r]."""
    steps = np.asarray(factor, float).T * np.sqrt((2 * np.shape(factor)[1] - 1) / 2)
    return np.concatenate([mean + steps, mean - steps])


def test_the_helper_makes_what_it_says():
    made = gaussian(np.array([1.0, 2.0]), np.array([[2.0], [1.0]]))
    np.testing.assert_allclose(made.mean(axis=0), [1, 2], rtol=1e-14)
    np.testing.assert_allclose(np.cov(made, rowvar=False), [[4, 2], [2, 1]], rtol=1e-14)


def test_a_set_has_distance_zero_from_itself():
    features = np.random.RandomState(0).rand(300, 40)
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("count", [5, 20])
def test_few_features_have_distance_zero_from_themselves(count):
    features = 100 * np.random.RandomState(0).rand(count, 200)
    assert frechet_distance(features, features) < 1e-10 * features.var(axis=0, ddof=1).sum()


def test_one_dimension():
    """(m_a - m_b)^2 + (s_a - s_b)^2."""
    distance = frechet_distance(gaussian([1.0], [[2.0]]), gaussian([4.0], [[7.0]]))
    assert distance == pytest.approx(9 + 25, rel=1e-12)
    assert type(distance) is float


def test_covariances_that_commute():
    """The sum of (m_a - m_b)^2 + (s_a - s_b)^2 over the axes, in any common basis."""
    basis, _ = np.linalg.qr(np.random.RandomState(0).randn(3, 3))
    a = gaussian(basis @ [1.0, 0.0, -2.0], basis @ np.diag([1.0, 2.0, 3.0]))
    b = gaussian(basis @ [0.0, 0.0, 2.0], basis @ np.diag([4.0, 2.0, 1.0]))
    assert frechet_distance(a, b) == pytest.approx(1 + 16 + 9 + 0 + 4, rel=1e-12)


def test_covariances_that_do_not_commute():
    """For 2x2 matrices tr(M^1/2) = sqrt(tr M + 2 sqrt(det M)), M = S_a S_b."""
    root_a, root_b = np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [-2.0, 3.0]])
    s_a, s_b = root_a @ root_a.T, root_b @ root_b.T
    assert np.abs(s_a @ s_b - s_b @ s_a).max() > 1
    product = s_a @ s_b
    expected = np.trace(s_a) + np.trace(s_b) - 2 * np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    assert frechet_distance(gaussian(np.zeros(2), root_a), gaussian(np.zeros(2), root_b)) == pytest.approx(
        expected, rel=1e-12
    )


def test_singular_covariances():
    """Rank 1 along a and b: |a|^2 + |b|^2 - 2 |a.b|, in many dimensions, and nothing of it complex."""
    a, b = np.random.RandomState(0).randn(2, 100)
    distance = frechet_distance(gaussian(np.zeros(100), a[:, None]), gaussian(np.zeros(100), b[:, None]))
    assert distance == pytest.approx(a @ a + b @ b - 2 * abs(a @ b), rel=1e-9)


def test_a_singular_covariance_next_to_a_full_one():
    """Rank 1 along the first axis against unit variance: (2 - 1)^2 there, 1 on each other axis."""
    axis = np.zeros((50, 1))
    axis[0] = 2.0
    assert frechet_distance(gaussian(np.zeros(50), axis), gaussian(np.zeros(50), np.eye(50))) == pytest.approx(
        1 + 49, rel=1e-9
    )


def test_features_that_never_vary():
    constant = np.full((4, 3), 2.0)
    assert frechet_distance(constant, constant) == 0.0
    assert frechet_distance(constant, np.full((9, 3), 5.0)) == pytest.approx(27)


def test_the_distance_is_symmetric():
    a, b = (np.random.RandomState(i).rand(30, 40) * (i + 1) for i in (0, 1))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


@pytest.mark.parametrize("x, y", [(np.zeros((0, 3)), np.eye(3)), (np.eye(3), np.zeros((1, 3))), (np.eye(3), np.eye(2))])
def test_too_few_features_or_other_dimensions_are_errors(x, y):
    with pytest.raises(ValueError, match="it takes two of each, of the same length"):
        frechet_distance(x, y)


def test_features_that_are_not_finite_are_an_error():
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(np.array([[1.0, np.nan], [0.0, 0.0]]), np.eye(2))
