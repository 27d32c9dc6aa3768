"""SAP of codes whose score is known, and its classifier against its own optimum (and scikit-learn's, if installed)."""

import numpy as np
import pytest

from common.evaluation.metrics import sap
from common.evaluation.metrics.codes import Codes

pytestmark = pytest.mark.fast

BITS = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (25, 1))


def score(codes, factors):
    return sap.separated_attribute_predictability(codes, factors, codes, factors)


def test_perfect_codes_of_two_levels():
    """The right dimension is right always, the other half of the time."""
    codes = Codes(BITS * 2.0 - 1.0)
    np.testing.assert_array_equal(sap.matrix(codes, BITS, codes, BITS), [[1.0, 0.5], [0.5, 1.0]])
    assert score(codes, BITS) == 0.5
    assert type(score(codes, BITS)) is float


def test_a_perfect_category_of_many_levels():
    levels = np.tile(np.arange(5), 20)
    assert score(Codes(np.zeros((100, 1)), np.array([3, 0, 4, 1, 2])[levels], 5), levels[:, None]) == pytest.approx(0.8)


def test_duplicated_and_constant_codes_score_zero():
    assert score(Codes(np.hstack([BITS, BITS]).astype(float)), BITS) == 0.0
    assert score(Codes(np.ones((100, 3)), np.zeros(100, int), 2), BITS) == 0.0


def test_a_rotation_lowers_the_score_and_a_permutation_does_not():
    codes = BITS * 2.0 - 1.0 + 0.3 * np.random.RandomState(0).randn(100, 2)
    rotation = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    assert score(Codes(codes[:, ::-1]), BITS) == score(Codes(codes), BITS)
    assert score(Codes(codes @ rotation), BITS) < score(Codes(codes), BITS) - 0.2


def test_what_is_scored_is_the_test_set():
    """The test codes say the opposite of the training codes."""
    train, test = Codes(BITS * 2.0 - 1.0), Codes(1.0 - BITS * 2.0)
    np.testing.assert_array_equal(np.diag(sap.matrix(train, BITS, test, BITS)), [0.0, 0.0])


def test_the_optimum_by_hand():
    """Inputs -1 and 1, cost c each: w minimises w^2 / 2 + 2 c (1 - w)^2, so w = 4 c / (1 + 4 c); the bias is 0."""
    x = np.array([[-1.0, 1.0], [1.0, 1.0]])
    weights = sap._fit(x, np.array([-1.0, 1.0]), np.array([3.0, 3.0]))
    np.testing.assert_allclose(weights, [12 / 13, 0.0], atol=1e-12)


@pytest.mark.parametrize("size", [0.01, 1.0, 1000.0])
def test_no_direction_improves_on_the_optimum(size):
    random = np.random.RandomState(0)
    x = np.hstack([size * (random.randn(400, 1) + 1.0), np.ones((400, 1))])
    sign, cost = np.where(random.rand(400) < 0.3, 1.0, -1.0), random.rand(400)

    def loss(w):
        return 0.5 * w @ w + (cost * np.maximum(0.0, 1.0 - sign * (x @ w)) ** 2).sum()

    weights = sap._fit(x, sign, cost)
    for direction in random.randn(20, 2):
        assert loss(weights) < loss(weights + 1e-3 * direction / [size, 1.0])


@pytest.mark.parametrize("levels", [2, 3, 7])
def test_accuracies_are_those_of_scikit_learn(levels):
    svm = pytest.importorskip(
        "sklearn.svm", reason="compares with scikit-learn, if it is there: pip install scikit-learn"
    )
    random = np.random.RandomState(levels)
    factors, test_factors = random.randint(0, levels, 600) ** 2, random.randint(0, levels, 300) ** 2
    x, x_test = (f / levels + random.randn(len(f)) for f in (factors, test_factors))
    classifier = svm.LinearSVC(C=0.01, class_weight="balanced", dual=False, tol=1e-10, max_iter=10_000).fit(
        x[:, None], factors
    )
    expected = (classifier.predict(x_test[:, None]) == test_factors).mean()
    assert (
        sap.matrix(Codes(x[:, None]), factors[:, None], Codes(x_test[:, None]), test_factors[:, None])[0, 0] == expected
    )


def test_factors_of_one_level_are_left_out():
    codes = Codes(BITS * 2.0 - 1.0)
    assert score(codes, np.hstack([BITS, np.zeros((100, 1), int)])) == 0.5
    with pytest.raises(ValueError, match="two levels"):
        score(codes, np.zeros((100, 2), int))


def test_a_single_dimension_has_no_second_best():
    assert score(Codes(BITS[:, :1] * 2.0 - 1.0), BITS[:, :1]) == 1.0


def test_nothing_and_tables_of_other_images_are_errors():
    codes, nothing = Codes(BITS.astype(float)), Codes(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="no images"):
        sap.separated_attribute_predictability(codes, BITS, nothing, BITS[:0])
    with pytest.raises(ValueError, match="factors of 99"):
        score(codes, BITS[:-1])
