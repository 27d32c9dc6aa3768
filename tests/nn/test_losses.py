"""Every loss against the same formula in numpy's float64."""

import numpy as np
import pytest
import tensorflow as tf

from common.nn import losses

pytestmark = pytest.mark.fast

RANDOM = np.random.RandomState(0)
LOGITS = RANDOM.normal(0, 3, (6, 1)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


@pytest.mark.parametrize("real", [True, False])
def test_adversarial_is_the_mean_cross_entropy(real):
    p = sigmoid(LOGITS)
    wanted = -np.log(p if real else 1 - p).mean()
    np.testing.assert_allclose(losses.adversarial(tf.constant(LOGITS), real=real), wanted, rtol=1e-6)


def test_adversarial_known_answers():
    """An undecided discriminator pays log 2 either way; a sure one pays its logit where it is wrong, nothing where it
    is right.
    """
    undecided, sure = tf.zeros((3, 1)), tf.fill((3, 1), 1000.0)
    np.testing.assert_allclose(
        [losses.adversarial(undecided, real) for real in (True, False)], np.log([2, 2]), rtol=1e-6
    )
    np.testing.assert_allclose([losses.adversarial(sure, real) for real in (True, False)], [0, 1000], rtol=1e-6)


def test_categorical_information_is_the_mean_cross_entropy():
    logits = RANDOM.normal(0, 2, (6, 4)).astype(np.float32)
    categories = np.array([0, 3, 1, 1, 2, 0])
    p = np.exp(logits.astype(np.float64))
    wanted = -np.log((p / p.sum(axis=1, keepdims=True))[np.arange(6), categories]).mean()
    got = losses.categorical_information(tf.constant(logits), tf.one_hot(categories, 4))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_continuous_information_is_a_sum_over_codes():
    estimate, continuous = (
        tf.constant([[1.0, 2.0], [0.0, 0.0], [0.5, 0.0]]),
        tf.constant([[0.0, 0.0], [1.0, -1.0], [0.5, 0.0]]),
    )
    np.testing.assert_allclose(losses.continuous_information(estimate, continuous), (5 + 2 + 0) / 3, rtol=1e-6)


def test_squared_error_is_a_sum_over_pixels_and_a_batch_mean():
    x, reconstruction = (RANDOM.uniform(-1, 1, (5, 4, 3, 2)).astype(np.float32) for _ in range(2))
    wanted = np.square(x.astype(np.float64) - reconstruction).sum() / 5
    np.testing.assert_allclose(losses.squared_error(tf.constant(x), tf.constant(reconstruction)), wanted, rtol=1e-6)


def test_critic_difference_known_answer():
    real, fake = tf.constant([[3.0], [1.0]]), tf.constant([[-1.0], [0.0], [4.0]])
    np.testing.assert_allclose(losses.critic_difference(real, fake), 2 - 1)


def linear_critic(weights):
    return lambda x: tf.reduce_sum(x * weights, axis=[1, 2, 3])[:, None]


@pytest.mark.parametrize("norm", [0.0, 0.5, 1.0, 4.0])
def test_gradient_penalty_of_a_critic_with_a_known_gradient_norm(norm):
    """<w, x> has the gradient w everywhere: (||w|| - 1)^2, the norm over all pixels and channels; and it falls towards
    norm 1.
    """
    weights = RANDOM.normal(size=(4, 3, 2))
    weights = tf.Variable(weights * norm / np.linalg.norm(weights), dtype=tf.float32)
    x, fake = (tf.constant(RANDOM.uniform(-1, 1, (5, 4, 3, 2)), tf.float32) for _ in range(2))
    with tf.GradientTape() as tape:
        penalty = losses.gradient_penalty(linear_critic(weights), x, fake, tf.fill((5, 1, 1, 1), 0.3))
    np.testing.assert_allclose(penalty, (norm - 1) ** 2, atol=1e-5)
    wanted = 2 * (norm - 1) * weights.numpy() / norm if norm else np.zeros((4, 3, 2))
    np.testing.assert_allclose(tape.gradient(penalty, weights), wanted, atol=1e-5)


def test_gradient_penalty_interpolates_with_one_factor_per_image():
    """||x||^2 / 2 has the gradient x: of two images that are 3 and 1 pixels of ones, and fakes of
    zeros, at 1/2 and 1.
    """
    x = np.zeros((2, 3, 3, 1), np.float32)
    x[0, 0], x[1, 1, 1] = 1, 1
    alpha = tf.reshape(tf.constant([0.5, 1.0]), [2, 1, 1, 1])
    got = losses.gradient_penalty(
        lambda x: tf.reduce_sum(x**2, axis=[1, 2, 3])[:, None] / 2, tf.constant(x), tf.zeros((2, 3, 3, 1)), alpha
    )
    np.testing.assert_allclose(got, ((np.sqrt(3) / 2 - 1) ** 2 + 0) / 2, rtol=1e-5)


def test_information_bound_is_entropy_less_cross_entropy():
    """Of d alone under a known posterior: sure and right, all of H(d); at the prior, none; of 0.7 for the right one of
    four, log(4 * 0.7).
    """
    category, entropy = tf.one_hot([0, 3, 1], 4), float(np.log(4))
    known = np.log(np.where(category.numpy() == 1, 0.7, 0.1)).astype(np.float32)
    for logits, wanted in ((1000 * category, np.log(4)), (tf.zeros((3, 4)), 0), (tf.constant(known), np.log(4 * 0.7))):
        got = losses.information_bound(logits, category, tf.zeros(3), entropy)
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_continuous_bound_is_below_its_channels_information():
    """c ~ U(-1, 1) read with normal noise of deviation s: log 2 - log(s sqrt(2 pi e)) in expectation; a wrong deviation
    gives less.
    """
    n, s = 40_000, 0.1
    error = s * RANDOM.normal(size=n)
    sure = 1000 * tf.ones((n, 1)), tf.ones((n, 1))  # One category: it carries nothing.

    def bound(deviation):
        log_continuous = -0.5 * (error / deviation) ** 2 - np.log(deviation * np.sqrt(2 * np.pi))
        return float(losses.information_bound(*sure, tf.constant(log_continuous, tf.float32), float(np.log(2))))

    np.testing.assert_allclose(bound(s), np.log(2) - np.log(s * np.sqrt(2 * np.pi * np.e)), atol=0.02)
    assert bound(2 * s) < bound(s) - 0.2 and bound(s / 2) < bound(s) - 0.2


# Regularised information maximisation


@pytest.mark.parametrize("both_ways", [None, 0, 1, 0.3])
def test_regularised_information_by_hand(both_ways):
    """Two images, two categories: q = (0.9, 0.1), (0.2, 0.8) and their views (0.6, 0.4), (0.5, 0.5)."""
    q, viewed = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.6, 0.4], [0.5, 0.5]])
    mean = q.mean(axis=0)
    conditional = -(q * np.log(q)).sum(axis=1).mean()
    agreement = -(q * np.log(viewed) + (both_ways or 0) * viewed * np.log(q)).sum(axis=1).mean()
    wanted = conditional + (mean * np.log(mean)).sum() + agreement
    got = losses.regularised_information(*(tf.constant(np.log(p), tf.float32) for p in (q, viewed)), both_ways)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("logits", "view_logits", "wanted", "both"),
    [
        (50 * np.eye(4), 50 * np.eye(4), -np.log(4), -np.log(4)),  # Perfect: sure, balanced, the same under views.
        (np.tile([50.0, 0, 0, 0], (4, 1)), np.tile([50.0, 0, 0, 0], (4, 1)), 0, 0),  # One category for all.
        (np.zeros((4, 4)), np.zeros((4, 4)), np.log(4), 2 * np.log(4)),  # No idea: log 4 - log 4 + log 4 each way.
        (50 * np.eye(4), np.zeros((4, 4)), 0, 37.5),  # Sure, but not under views: 0 - log 4 + log 4, + 50 * 3/4.
    ],
    ids=["perfect", "constant", "uniform", "forgotten"],
)
def test_regularised_information_of_known_cases(logits, view_logits, wanted, both):
    logits, view_logits = tf.constant(logits, tf.float32), tf.constant(view_logits, tf.float32)
    got = [losses.regularised_information(logits, view_logits, both_ways) for both_ways in (None, 1)]
    np.testing.assert_allclose(got, [wanted, both], atol=1e-5)


@pytest.mark.parametrize("both_ways", [0, 1])
def test_the_agreement_does_not_differentiate_its_targets(both_ways):
    logits, view_logits = (tf.constant(RANDOM.normal(size=(5, 3)), tf.float32) for _ in range(2))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([logits, view_logits])
        loss = losses.regularised_information(logits, view_logits, both_ways)
        p = tf.nn.softmax(logits)
        mean = tf.reduce_mean(p, 0)
        first = tf.reduce_sum(mean * tf.math.log(mean)) - tf.reduce_mean(tf.reduce_sum(p * tf.math.log(p), 1))
    difference = (tf.nn.softmax(view_logits) - tf.nn.softmax(logits)) / 5
    wanted = tape.gradient(first, logits) - both_ways * difference
    np.testing.assert_allclose(tape.gradient(loss, logits), wanted, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, view_logits), difference, atol=1e-6)
