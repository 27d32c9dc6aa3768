"""Every loss against the same formula in numpy's float64."""

import numpy as np
import pytest
import tensorflow as tf

from common import losses

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
    """An undecided discriminator pays log 2 either way; a sure one pays its logit where it is wrong, nothing where it is right."""
    undecided, sure = tf.zeros((3, 1)), tf.fill((3, 1), 1000.0)
    np.testing.assert_allclose([losses.adversarial(undecided, real) for real in (True, False)], np.log([2, 2]), rtol=1e-6)
    np.testing.assert_allclose([losses.adversarial(sure, real) for real in (True, False)], [0, 1000], rtol=1e-6)


def test_categorical_information_is_the_mean_cross_entropy():
    logits = RANDOM.normal(0, 2, (6, 4)).astype(np.float32)
    categories = np.array([0, 3, 1, 1, 2, 0])
    p = np.exp(logits.astype(np.float64))
    wanted = -np.log((p / p.sum(axis=1, keepdims=True))[np.arange(6), categories]).mean()
    got = losses.categorical_information(tf.constant(logits), tf.one_hot(categories, 4))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_continuous_information_sums_over_codes_and_means_over_the_batch():
    estimate, continuous = tf.constant([[1.0, 2.0], [0.0, 0.0], [0.5, 0.0]]), tf.constant([[0.0, 0.0], [1.0, -1.0], [0.5, 0.0]])
    np.testing.assert_allclose(losses.continuous_information(estimate, continuous), (5 + 2 + 0) / 3, rtol=1e-6)


def test_squared_error_sums_over_pixels_and_channels_and_means_over_the_batch():
    x, reconstruction = (RANDOM.uniform(-1, 1, (5, 4, 3, 2)).astype(np.float32) for _ in range(2))
    wanted = np.square(x.astype(np.float64) - reconstruction).sum() / 5
    np.testing.assert_allclose(losses.squared_error(tf.constant(x), tf.constant(reconstruction)), wanted, rtol=1e-6)


def test_all_losses_are_scalars():
    values = (losses.adversarial(tf.zeros((2, 1)), True), losses.categorical_information(tf.zeros((2, 3)), tf.one_hot([0, 1], 3)),
              losses.continuous_information(tf.zeros((2, 3)), tf.ones((2, 3))),
              losses.squared_error(tf.zeros((2, 3, 3, 1)), tf.ones((2, 3, 3, 1))))
    assert [v.shape for v in values] == [()] * 4
