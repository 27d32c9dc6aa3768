"""The measures and figures of a mixture's experts."""

import numpy as np
import pytest
import tensorflow as tf

from common.data.dataset import Dataset, Factor, Split
from common.evaluation import draw_experts, experts
from common.evaluation.encode import RECONSTRUCTIONS, evaluation_seed
from common.models import registry
from helpers.systems import EVERY, make_config


@pytest.fixture(scope="module")
def system():
    return registry.build(make_config(**EVERY["mixture"]), training=False)


@pytest.fixture(scope="module")
def pixels():
    return np.random.RandomState(0).randint(0, 256, (8, 28, 28, 1)).astype(np.uint8)


def test_mean_weights_known_answer():
    weights = np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    table = experts.mean_weights(weights, np.array([2, 0, 2]))
    np.testing.assert_allclose(table, [[0.5, 0.5], [np.nan, np.nan], [0.6, 0.4]])


def test_weight_tables_have_each_factor(pixels):
    factors = (Factor("left", (0, 1)), Factor("right", (0, 1, 2)))
    split = Split(pixels, np.array([[0, 0], [1, 2]] * 4))
    dataset = Dataset("noise", split, None, factors)
    tables = experts.weight_tables(np.tile([[0.25, 0.75]], (8, 1)), dataset, split)
    assert {name: table.shape for name, table in tables.items()} == {"left": (2, 2), "right": (3, 2)}
    assert experts.weight_tables(np.ones((8, 1)), dataset, Split(pixels)) == {}


def test_an_expert_that_is_rarely_the_heaviest_does_not_count():
    weights = np.zeros((1000, 3))
    weights[:, 0] = 0.6
    weights[:11, 1], weights[11:20, 2] = 0.9, 0.9
    assert experts.heaviest(weights) == 2


def test_mixing_weights_are_those_of_each_image(system, pixels):
    weights = experts.mixing_weights(system, pixels)
    logits = system.encode(tf.constant(pixels, tf.float32) / 255).logits
    np.testing.assert_allclose(weights, np.exp(logits), rtol=1e-4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_squared_errors_are_per_image_with_and_without_the_mask(system, pixels):
    order = np.random.RandomState(system.config.seed).permutation(8)
    inputs, seed = tf.constant(pixels[order], tf.float32) / 255, evaluation_seed(3, RECONSTRUCTIONS, 0)
    wanted = [
        float(tf.reduce_sum(tf.square(inputs - made)) / 8)
        for made in (system.reconstruct(inputs, seed), system.reconstruct_unmasked(inputs, seed))
    ]
    scores = experts.squared_errors(system, pixels, 3)
    np.testing.assert_allclose([scores[name] for name in experts.ERRORS], wanted, rtol=1e-5)
    assert wanted[0] != wanted[1]


def test_scores_have_both_numbers_of_experts(system, pixels):
    weights = experts.mixing_weights(system, pixels)
    scores = experts.expert_scores(system, pixels, weights, 0)
    assert set(scores) == {*experts.ERRORS, *experts.IN_USE}
    assert 0 < scores["experts_in_use"] <= 4 and scores["experts_heaviest"] == experts.heaviest(weights)


def test_rows_of_samples_are_each_expert_and_then_the_mixture(system):
    rows = draw_experts.sample_rows(system, 3, 0)
    assert rows.shape == (5, 3, 28, 28, 1)
    assert len({row.tobytes() for row in rows}) == 5


def test_rows_of_contributions_begin_with_the_images(system, pixels):
    rows = draw_experts.contribution_rows(system, pixels, 0)
    assert rows.shape == (7, 8, 28, 28, 1)
    np.testing.assert_allclose(rows[0], pixels / np.float32(255), rtol=1e-6)


def test_figures_have_a_heat_map_per_factor_with_few_levels(system, pixels):
    split = Split(pixels, np.stack([np.arange(8) % 2, np.arange(8) * 10], axis=1))
    factors = (Factor("class", (0, 1)), Factor("identity", tuple(range(80))))
    figures = draw_experts.expert_figures(
        system,
        Dataset("noise", split, split, factors),
        pixels,
        count=2,
        images=8,
        seed=0,
        title="{}",
        to_uint8=np.uint8,
    )
    assert [name for name, *_ in figures] == [
        "figure_expert_contributions",
        "figure_expert_samples",
        "figure_expert_weights_class",
    ]
