"""Masks, Gamma draws and Dirichlet samples of the mixture."""

import math

import numpy as np
import pytest
import tensorflow as tf

from common.nn import mixture_sampling as sampling

SEED = tf.constant([1, 2])
SHAPE = [4000, 4]


def masks(kind, value, corrected=False):
    return sampling.mask(kind, tf.constant([value]), sampling.mask_noise(kind, SHAPE, SEED), corrected).numpy()


@pytest.mark.parametrize("concentration", [0.05, 0.25, 1.0, 3.0])
def test_gamma_draws_have_mean_and_variance_of_the_concentration(concentration):
    a = tf.fill([20_000, 1], concentration)
    draws = sampling.GammaNoise.sample([20_000, 1], SEED).draws(a).numpy()
    assert (draws >= 0).all() and np.isfinite(draws).all()
    np.testing.assert_allclose([draws.mean(), draws.var()], [concentration] * 2, rtol=0.12)


def test_gamma_draws_of_vanishing_concentrations_are_zero():
    draws = sampling.GammaNoise.sample([50, 1], SEED).draws(tf.fill([50, 1], 1e-8))
    np.testing.assert_array_equal(draws, np.zeros([50, 1]))


def test_dirichlet_samples_have_the_mean_of_their_concentrations():
    a = tf.constant([[0.1, 0.2, 0.7]]) * tf.ones([20_000, 1])
    sample = sampling.dirichlet(sampling.GammaNoise.sample([20_000, 3], SEED).draws(a)).numpy()
    np.testing.assert_allclose(sample.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(sample.mean(axis=0), [0.1, 0.2, 0.7], atol=0.01)


def test_gamma_draws_that_are_all_zero_give_equal_weights():
    np.testing.assert_allclose(sampling.dirichlet(tf.zeros([1, 4])), [[0.25] * 4])


def test_a_reparameterised_draw_has_the_slope_of_the_quantile():
    """Gamma(1, 1) is exponential: at the draw x the quantile moves by -dF/da / f; checked by differences of the CDF."""
    a, x, step = tf.constant([1.0]), tf.constant([0.8]), 1e-2
    with tf.GradientTape() as tape:
        tape.watch(a)
        value = sampling.reparameterised(a, x)
    slope = -(tf.math.igamma(a + step, x) - tf.math.igamma(a - step, x)) / (2 * step) / tf.exp(-x)
    np.testing.assert_array_equal(value, x)
    np.testing.assert_allclose(tape.gradient(value, a), slope, rtol=1e-3)


def test_a_reparameterised_draw_of_zero_has_no_slope():
    a = tf.constant([0.3])
    with tf.GradientTape() as tape:
        tape.watch(a)
        value = sampling.reparameterised(a, tf.zeros(1))
    np.testing.assert_array_equal(tape.gradient(value, a), [0.0])


def test_draws_are_constants_unless_reparameterised():
    a = tf.constant([[0.3, 0.7]])
    with tf.GradientTape() as tape:
        tape.watch(a)
        draws = sampling.GammaNoise.sample([1, 2], SEED).draws(a)
    assert tape.gradient(draws, a) is None


def test_given_draws_are_returned_as_they_are():
    assert sampling.GivenGamma(tf.constant([[1.0, 2.0]])).draws(tf.ones([1, 2])).numpy().tolist() == [[1, 2]]


def test_weights_that_all_vanish_are_nan_or_the_fallback():
    weights, fallback = tf.constant([[1.0, 3.0], [0.0, 0.0]]), tf.constant([[0.5, 0.5], [0.2, 0.8]])
    np.testing.assert_allclose(sampling.normalise(weights), [[0.25, 0.75], [np.nan, np.nan]])
    np.testing.assert_allclose(sampling.normalise(weights, fallback), [[0.25, 0.75], [0.2, 0.8]])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        values = sampling.normalise(weights, fallback)
    assert np.isfinite(tape.gradient(values, weights)).all()


@pytest.mark.parametrize("logit", [-40.0, -84.0])
def test_weights_that_nearly_vanish_have_a_gradient(logit):
    """A mask drops the expert that has all of the weight. Its share stays 1, so the slope is 0, but it overflows."""
    mask, sample = tf.constant([[logit, 9.0]]), tf.constant([[1.0, sampling.TINY]])
    slopes = []
    for fallback in (None, sample):
        with tf.GradientTape() as tape:
            tape.watch(mask)
            loss = 1e3 * sampling.normalise(tf.sigmoid(mask) * sample, fallback)[0, 0]
        slopes.append(tape.gradient(loss, mask).numpy())
    assert np.isfinite(slopes[0]).all() == (logit > -84)
    np.testing.assert_allclose(slopes[1], [[0.0, 0.0]], atol=1e-3)


@pytest.mark.parametrize("kind", ["bernoulli", "concrete"])
def test_soft_masks_drop_with_the_probability_of_their_logit(kind):
    """p = 1/10. Concrete is scaled up by 1 / (1 - p)."""
    mask = masks(kind, -math.log(9))
    top = 1.0 if kind == "bernoulli" else 1 / 0.9
    assert mask.min() >= 0 and mask.max() <= top + 1e-5
    np.testing.assert_allclose((mask < top / 2).mean(), 0.1, atol=0.01)


def test_bernoulli_mask_is_the_second_entry_of_the_softmax():
    """With U = exp(-1) everywhere all Gumbel noise is 0, and the mask sigmoid(logit(1 - p) / 0.1)."""
    noise = tf.fill([1, 1, 2], math.exp(-1))
    mask = sampling.mask("bernoulli", tf.constant([-0.1]), noise)
    np.testing.assert_allclose(mask, [[1 / (1 + math.exp(-1))]], rtol=1e-5)


def test_concrete_mask_known_answer():
    """u = 1/2 and logit p = -0.1: (1 - sigmoid(-1)) / (1 - p)."""
    mask = sampling.mask("concrete", tf.constant([-0.1]), tf.fill([1, 1], 0.5))
    wanted = (1 - 1 / (1 + math.e)) * (1 + math.exp(-0.1))
    np.testing.assert_allclose(mask, [[wanted]], rtol=1e-5)


def test_gaussian_mask_takes_a_negative_scale_as_it_is():
    noise = tf.constant([[0.05, -0.05, 0.2]], tf.float64)
    mask = sampling.mask("gaussian", tf.constant([-10.0]), noise)
    np.testing.assert_allclose(mask, [[0.5, 1.0, 1e-8]], rtol=1e-6)
    np.testing.assert_allclose((masks("gaussian", -10.0) == 1).mean(), 0.5, atol=0.02)


def test_corrected_gaussian_mask_has_the_log_of_the_variance():
    noise = tf.constant([[-1.0]], tf.float64)
    mask = sampling.mask("gaussian", tf.constant([2 * math.log(0.25)]), noise, corrected=True)
    np.testing.assert_allclose(mask, [[0.75]], rtol=1e-6)


@pytest.mark.parametrize(("value", "kept"), [(0.5, 0.5), (0.0, 0.2), (2.0, 1.0)])
def test_hard_mask_keeps_with_its_probability_from_one_fifth_on(value, kept):
    mask = masks("hard", value)
    assert set(np.unique(mask)) <= {np.float32(1e-8), np.float32(1)}
    np.testing.assert_allclose((mask == 1).mean(), kept, atol=0.02)


def test_hard_mask_has_no_gradient():
    variable = tf.constant([0.5])
    with tf.GradientTape() as tape:
        tape.watch(variable)
        mask = sampling.mask("hard", variable, sampling.mask_noise("hard", SHAPE, SEED))
    assert tape.gradient(mask, variable) is None


def test_log_alpha_is_finite_even_if_nothing_is_dropped():
    np.testing.assert_allclose(sampling.log_alpha(tf.constant([0.2])), [math.log(4)], rtol=1e-6)
    assert np.isfinite(sampling.log_alpha(tf.constant([1.0])))


def test_experts_in_use_known_answers():
    mask = tf.constant([[0.05, 0.1, 0.8, 1.0], [0.0, 0.0, 0.0, 0.5]])
    assert sampling.experts_in_use("bernoulli", mask) == 2.0 and sampling.experts_in_use("gaussian", mask) == 1.0


def test_without_a_mask_there_is_no_noise():
    assert sampling.mask_noise("none", SHAPE, SEED) is None
