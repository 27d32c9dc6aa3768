"""The FactorVAE score of codes whose score is known, and what its plan draws."""

import numpy as np
import pytest

from common.evaluation.metrics import factor_vae
from common.evaluation.metrics.codes import Codes
from common.evaluation.metrics.factor_vae import DISENTANGLEMENT_LIB, PAPER, Plan, Sizes, active_dimensions, plan, score

pytestmark = pytest.mark.fast

GRID = np.stack(np.meshgrid(*map(np.arange, (3, 4, 8, 8)), indexing="ij"), axis=-1).reshape(-1, 4)
SMALL = Sizes(variance_samples=500, batch=20, train_votes=300, eval_votes=200, prune=0.05)
PERFECT = Codes(GRID[:, 1:] / 8, GRID[:, 0], 3)


def score_of(codes, factors=GRID, sizes=SMALL, seed=0):
    drawn = plan(factors, sizes, np.random.RandomState(seed))
    return score(drawn, codes.take(drawn.images))


@pytest.mark.parametrize("sizes", [SMALL, PAPER, DISENTANGLEMENT_LIB])
def test_perfect_codes_score_one(sizes):
    assert score_of(PERFECT, sizes=sizes) == 1.0
    assert type(score_of(PERFECT, sizes=sizes)) is float


def test_the_preset_sizes():
    assert DISENTANGLEMENT_LIB == (10_000, 64, 10_000, 5_000, 0.05)
    assert (PAPER.batch, PAPER.train_votes, PAPER.eval_votes) == (100, 500, 0)


def test_constant_codes_score_zero():
    assert score_of(Codes(np.ones((len(GRID), 3)))) == 0.0
    assert score_of(Codes(np.ones((len(GRID), 3)), np.zeros(len(GRID), int), 3)) == 0.0


def test_a_single_dimension_scores_its_majority_factor():
    """All votes go to the one dimension, so the score is the fraction of the factor that most train votes fix."""
    drawn = plan(GRID, SMALL, np.random.RandomState(0))
    expected = (drawn.fixed[300:] == np.bincount(drawn.fixed[:300]).argmax()).mean()
    assert score(drawn, Codes(GRID[drawn.images, 2:3] / 8)) == expected
    assert 0.15 < expected < 0.35


def test_duplicated_dimensions_cost_nothing():
    assert score_of(Codes(np.hstack([GRID, GRID]) / 8)) == 1.0


def test_the_order_sign_and_scale_of_dimensions_do_not_matter():
    noisy = GRID / 8 + np.random.RandomState(1).randn(*GRID.shape)
    expected = score_of(Codes(noisy))
    assert expected < 1.0
    assert score_of(Codes(noisy[:, [2, 0, 3, 1]])) == expected
    assert score_of(Codes(noisy * [2.0, -4.0, 1.0, 8.0] + [0.0, 1.0, -1.0, 2.0])) == expected


def test_a_rotation_lowers_the_score():
    rotation, _ = np.linalg.qr(np.random.RandomState(0).randn(4, 4))
    factors = np.random.RandomState(1).randint(0, 8, (3000, 4))
    assert score_of(Codes(factors / 8), factors) == 1.0
    assert score_of(Codes(factors / 8 @ rotation), factors) < 0.9


def test_codes_of_noise_score_little_more_than_chance():
    assert 0.15 < score_of(Codes(np.random.RandomState(0).randn(len(GRID), 4))) < 0.4


def test_the_names_of_the_categories_do_not_matter():
    wrong = np.where(np.random.RandomState(0).rand(len(GRID)) < 0.5, GRID[:, 0], 2)
    expected = score_of(PERFECT._replace(category=wrong))
    assert score_of(PERFECT._replace(category=np.array([1, 2, 0])[wrong])) == expected


def test_two_categories_have_the_variance_of_0_and_1():
    """Gini's variance of two values is the unbiased variance of 0 and 1, so a category votes like a number."""
    random = np.random.RandomState(3)
    bit, noisy = random.randint(0, 2, len(GRID)), GRID / 8 + random.randn(*GRID.shape) / 2
    as_category = score_of(Codes(noisy, bit, 2))
    assert as_category == score_of(Codes(np.hstack([noisy, bit[:, None]])))
    drawn = Plan(np.arange(6), np.arange(6), np.array([[0, 1, 2, 3, 4, 5]]), np.array([0]), SMALL)
    codes = Codes(np.array([[0.0], [0.0], [1.0], [1.0], [1.0], [1.0]]), np.array([2, 2, 5, 5, 5, 5]), 6)
    np.testing.assert_allclose(factor_vae._variances(codes, drawn.votes), [[4 / 15, 4 / 15]], rtol=1e-15)


def test_ginis_variance_by_hand():
    """Counts 3, 2, 1 of 6: (36 - 14) / (2 * 6 * 5)."""
    codes = Codes(np.zeros((6, 0)), np.array([0, 0, 0, 1, 1, 3]), 4)
    np.testing.assert_allclose(factor_vae._variances(codes, np.arange(6)[None]), [[22 / 60]], rtol=1e-15)


def test_votes_by_hand():
    """In training, dimension k is constant if factor k is fixed. Two of three other votes agree."""
    still_0, still_1 = [0, 1], [2, 3]
    drawn = Plan(
        np.arange(4),
        np.arange(4),
        np.array([still_0, still_1, still_0, still_1, still_1]),
        np.array([0, 1, 0, 1, 0]),
        Sizes(4, 2, train_votes=2, eval_votes=3, prune=0.0),
    )
    codes = Codes(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.5], [1.0, 0.5]]))
    assert score(drawn, codes) == 2 / 3
    fitted_only = drawn._replace(votes=drawn.votes[:2], fixed=drawn.fixed[:2], sizes=drawn.sizes._replace(eval_votes=0))
    assert score(fitted_only, codes) == 1.0


def test_a_dimension_without_a_vote_is_the_first_factor():
    codes = Codes(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]))
    votes, fixed = np.array([[0, 1], [0, 2], [0, 2]]), np.array([1, 0, 1])
    assert score(Plan(np.arange(4), np.arange(4), votes, fixed, Sizes(4, 2, 1, 2, 0.0)), codes) == 0.5


def test_collapsed_dimensions_are_pruned():
    codes = Codes(np.hstack([GRID / 8, 0.01 * np.random.RandomState(0).randn(len(GRID), 1), np.zeros((len(GRID), 1))]))
    drawn = plan(GRID, SMALL, np.random.RandomState(0))
    np.testing.assert_array_equal(active_dimensions(drawn, codes.take(drawn.images)), [True] * 4 + [False] * 2)
    unpruned = drawn._replace(sizes=SMALL._replace(prune=0.0))
    np.testing.assert_array_equal(active_dimensions(unpruned, codes.take(drawn.images)), [True] * 5 + [False])
    assert score(drawn, codes.take(drawn.images)) == score(unpruned, codes.take(drawn.images)) == 1.0


def test_every_vote_fixes_its_factor_and_nothing_else():
    drawn = plan(GRID, SMALL, np.random.RandomState(0))
    levels = GRID[drawn.images[drawn.votes]]
    same = (levels == levels[:, :1]).all(axis=1)
    np.testing.assert_array_equal(same, np.eye(4, dtype=bool)[drawn.fixed])
    np.testing.assert_array_equal(np.unique(drawn.fixed), [0, 1, 2, 3])


def test_a_plan_names_each_image_once_and_follows_from_its_seed():
    a, b, c = (plan(GRID, SMALL, np.random.RandomState(seed)) for seed in (0, 0, 1))
    assert (np.diff(a.images) > 0).all() and a.images[-1] < len(GRID)
    assert a.variance.shape == (500,) and a.votes.shape == (500, 20)
    for x, y in zip(a[:4], b[:4], strict=True):
        np.testing.assert_array_equal(x, y)
    assert not np.array_equal(a.fixed, c.fixed)


def test_tables_may_lack_combinations_levels_and_order():
    """Factors that never vary freely, levels with gaps and of one image, a constant factor, one all different."""
    factors = np.array([[4, 0, 1, 10], [9, 0, 1, 11], [4, 7, 1, 12], [9, 7, 1, 13], [4, 3, 1, 14]])
    drawn = plan(factors, SMALL, np.random.RandomState(0))
    levels = factors[drawn.images[drawn.votes]]
    np.testing.assert_array_equal(np.unique(drawn.fixed), [0, 1])
    for k in (0, 1):
        assert (levels[drawn.fixed == k, :, k] == levels[drawn.fixed == k, :1, k]).all()
    np.testing.assert_array_equal(np.unique(levels[drawn.fixed == 1, :, 1]), [0, 7])  # Level 3 has a single image.
    share = (levels[drawn.fixed == 0, 0, 0] == 4).mean()
    assert abs(share - 3 / 5) < 0.1  # As often as it occurs.


@pytest.mark.parametrize(
    "factors, message",
    [(np.zeros((0, 3), int), "no images"), (np.zeros((9, 3), int), "no factor"), (np.arange(9)[:, None], "no factor")],
)
def test_nothing_to_fix_is_an_error(factors, message):
    with pytest.raises(ValueError, match=message):
        plan(factors, SMALL, np.random.RandomState(0))


def test_a_batch_of_one_and_codes_of_other_images_are_errors():
    with pytest.raises(ValueError, match="batch of 1"):
        plan(GRID, SMALL._replace(batch=1), np.random.RandomState(0))
    drawn = plan(GRID, SMALL._replace(train_votes=3, eval_votes=2), np.random.RandomState(0))
    with pytest.raises(ValueError, match="codes of 768 images"):
        score(drawn, PERFECT)
    with pytest.raises(ValueError, match="2 continuous codes and 3 categories"):
        score(drawn, Codes(np.zeros((2, 1)), np.zeros(3, int), 2))
