"""Each term of the mixture's loss against values computed by hand, and against a known case."""

import math

import numpy as np
import pytest
import tensorflow as tf

from common.nn import mixture_losses as losses

EULER = 0.5772156649015329  # psi(1) = -EULER.


def gradient(function, value):
    value = tf.constant(value)
    with tf.GradientTape() as tape:
        tape.watch(value)
        result = function(value)
    return tape.gradient(result, value).numpy()


def test_cross_entropy_known_answers():
    x, y = tf.constant([[1.0, 0.0], [0.5, 1.0]]), tf.constant([[0.5, 0.75], [0.5, 0.25]])
    wanted = (math.log(2) + math.log(4) + math.log(2) + math.log(4)) / 2
    np.testing.assert_allclose(losses.cross_entropy(x, y), wanted, rtol=1e-6)
    logits = tf.math.log(y / (1 - y))
    np.testing.assert_allclose(losses.cross_entropy_from_logits(x, logits), wanted, rtol=1e-6)


def test_a_saturated_pixel_is_nan_unless_corrected():
    x = tf.ones([1, 1])
    assert np.isnan(losses.cross_entropy(x, tf.sigmoid([[50.0]])))
    np.testing.assert_allclose(losses.cross_entropy_from_logits(x, [[-200.0]]), 200.0)


def test_gaussian_kl_sums_over_codes_and_averages_over_the_batch():
    mean = tf.constant([[[0.0, 0.0], [1.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]])
    stddev = tf.constant([[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [2.0, 1.0]]])
    second = (0.5 + 2.0 + (0.5 * 3 - math.log(2))) / 2
    np.testing.assert_allclose(losses.gaussian_kl(mean, stddev), [0.0, second], atol=1e-7)


@pytest.mark.parametrize(("experts", "wanted"), [(4, 0.25), (6, 0.17), (10, 0.1)])
def test_prior_concentration_is_one_over_k_in_two_decimals(experts, wanted):
    assert losses.dirichlet_prior(experts) == wanted


def test_no_gradient_passes_concentrations_beyond_the_clip():
    a = [[0.05, 0.15, 0.8, 0.9]]
    np.testing.assert_allclose(losses.clip_concentration(tf.constant(a)), [[0.1, 0.15, 0.8, 0.8]])
    np.testing.assert_array_equal(gradient(lambda v: tf.reduce_sum(losses.clip_concentration(v)), a), [[0, 1, 1, 0]])


@pytest.mark.parametrize("corrected", [False, True])
def test_dirichlet_kl_of_one_half_each_from_one_each(corrected):
    """psi(1/2) = -EULER - 2 ln 2, G(1/2) = sqrt(pi), and sum a = 1, where both forms agree."""
    wanted = -2 * 0.5 * math.log(math.pi) + 2 * (0.5 - 1.0) * (-2 * math.log(2))
    got = losses.dirichlet_kl(tf.constant([[0.5, 0.5]]), [1.0, 1.0], corrected)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_dirichlet_kl_is_zero_for_equal_concentrations():
    a = tf.constant([[0.3, 0.7, 2.0], [1.0, 1.0, 1.0]])
    each = [losses.dirichlet_kl(row[None], row, corrected=True) for row in a]
    np.testing.assert_allclose(each, [0, 0], atol=1e-6)


def test_dirichlet_kl_has_psi_of_one_unless_corrected():
    """For a = (1, 1): sum a = 2, psi(2) = 1 - EULER. The forms differ by sum (a - b) (psi(2) - psi(1))."""
    a, b = tf.constant([[1.0, 1.0]]), 0.25
    difference = losses.dirichlet_kl(a, b) - losses.dirichlet_kl(a, b, corrected=True)
    np.testing.assert_allclose(difference, 2 * 0.75 * 1.0, rtol=1e-5)


def dhsic(codes):
    """By loops over the definition."""
    size, experts, length = codes.shape
    g = 2 * math.gamma((length + 1) / 2) / math.gamma(length / 2)
    kernel = [
        [[math.exp(-np.sum((codes[i, k] - codes[j, k]) ** 2) / (2 * g * g)) for j in range(size)] for i in range(size)]
        for k in range(experts)
    ]
    kernel = np.array(kernel)
    joint = kernel.prod(axis=0).mean()
    product = kernel.mean(axis=(1, 2)).prod()
    crossed = kernel.mean(axis=1).prod(axis=0).mean()
    return math.sqrt(joint + product - 2 * crossed)


def test_dhsic_is_its_definition():
    codes = np.random.RandomState(0).normal(0, 1, (7, 3, 4))
    for corrected in (False, True):
        got = losses.dhsic(tf.constant(codes, tf.float32), corrected)
        np.testing.assert_allclose(got, dhsic(codes), rtol=1e-5)


def test_dhsic_is_small_if_independent_and_large_if_equal():
    codes = np.random.RandomState(0).normal(0, 1, (256, 2, 2)).astype(np.float32)
    independent, equal = losses.dhsic(codes), losses.dhsic(codes[:, [0, 0]])
    assert independent < 0.03 and equal > 0.15


def test_dhsic_does_not_change_when_codes_are_shifted():
    codes = np.random.RandomState(0).normal(0, 1, (8, 2, 3)).astype(np.float32)
    shifted = codes + np.array([[1.0], [-2.0]], np.float32)
    np.testing.assert_allclose(losses.dhsic(codes), losses.dhsic(shifted), rtol=1e-5)


def test_dhsic_of_constant_codes_has_a_gradient_if_corrected():
    constant = np.ones((4, 2, 3), np.float32)
    assert not np.isfinite(gradient(losses.dhsic, constant)).all()
    assert np.isfinite(gradient(lambda codes: losses.dhsic(codes, True), constant)).all()


def test_entropy_is_squared_unless_corrected():
    """At p = 1/2, h = -ln 2; at p = 1/10, h = -0.325083."""
    logits = [[0.0], [-math.log(9)]]
    faithful = [losses.entropy_regularizer(tf.constant(one)) for one in logits]
    corrected = [losses.entropy_regularizer(tf.constant(one), True) for one in logits]
    np.testing.assert_allclose(faithful, [-10 * math.log(2) ** 2, -10 * 0.325083**2], rtol=1e-5)
    np.testing.assert_allclose(corrected, [-10 * math.log(2), -3.25083], rtol=1e-5)


@pytest.mark.parametrize("corrected", [False, True])
def test_entropy_regularizer_drives_the_probability_to_one_half(corrected):
    slopes = [gradient(lambda v: losses.entropy_regularizer(v, corrected), [logit])[0] for logit in (-1.0, 0.0, 1.0)]
    assert slopes[0] < 0 < slopes[2] and abs(slopes[1]) < 1e-6


def test_variational_dropout_kl_known_answers():
    """At log alpha = 0, and for large noise, where it vanishes."""
    wanted = -(0.63576 / (1 + math.exp(-1.8732)) - 0.5 * math.log(2) - 0.63576)
    np.testing.assert_allclose(losses.variational_dropout_kl(tf.constant([0.0])), wanted, rtol=1e-5)
    np.testing.assert_allclose(losses.variational_dropout_kl(tf.constant([20.0])), 0.0, atol=1e-6)
