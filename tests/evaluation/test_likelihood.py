"""The bound of proposition 1: terms in closed form, and models whose likelihood is known."""

import numpy as np
import pytest

from common.evaluation.metrics.likelihood import kl_normal, kl_uniform, log_likelihood_bound, log_pixels

pytestmark = pytest.mark.fast

RANDOM = np.random.RandomState(0)


def test_kl_normal_known_answers():
    """0 for the standard normal; a shift by m costs m^2 / 2; a deviation s costs (s^2 - 1) / 2 - log s."""
    got = kl_normal([[0, 0], [3, -1], [0, 0]], [[1, 1], [1, 1], [2, 0.5]])
    np.testing.assert_allclose(got, [0, 5, 1.5 - np.log(2) + (0.25 - 1) / 2 + np.log(2)], atol=1e-12)


def test_kl_uniform_known_answers():
    got = kl_uniform(np.array([[2.0, 2, 2, 2], [0, 5000, 0, 0], [50, 50, -50, -50]]))
    np.testing.assert_allclose(got, [0, np.log(4), np.log(2)], atol=1e-12)


def test_log_pixels_is_the_log_of_the_density():
    images, reconstructions = RANDOM.uniform(0, 1, (2, 3, 4, 2, 1))
    density = np.exp(-((images - reconstructions) ** 2)) / np.sqrt(np.pi)
    np.testing.assert_allclose(log_pixels(images, reconstructions), np.log(density).sum(axis=(1, 2, 3)), rtol=1e-12)


def test_a_model_that_ignores_its_latents_is_bounded_exactly():
    """With the posteriors at the priors nothing is lost: the bound is log N(x; x^, I/2)."""
    images = RANDOM.uniform(0, 1, (5, 2, 2, 1))
    constant = np.broadcast_to(RANDOM.uniform(0, 1, (2, 2, 1)), (3, 5, 2, 2, 1))
    codes = np.zeros((5, 4)), np.zeros((5, 2)), np.ones((5, 2))
    noise = {"noise_mean": np.zeros((5, 3)), "noise_stddev": np.ones((5, 3))}
    got = log_likelihood_bound(images, constant, *codes, **noise)
    np.testing.assert_allclose(got, log_pixels(images, constant[0]), rtol=1e-12)


def test_a_bound_is_tight_for_the_models_own_posterior_alone():
    """With x = w z + e, z ~ N(0, 1), e ~ N(0, 1/2), z given x is N(w x / (w^2 + 1/2), 1 / (1 + 2 w^2))."""
    w, x, draws = 1.3, np.array([-1.0, 0.2, 2.0]), 20_000
    truth = -0.5 * (x**2 / (w**2 + 0.5) + np.log(2 * np.pi * (w**2 + 0.5)))
    mean, stddev = w * x / (w**2 + 0.5), np.full(3, 1 / np.sqrt(1 + 2 * w**2))

    def bound(mean, stddev):
        z = mean + stddev * RANDOM.normal(size=(draws, 3))
        flat = np.zeros((3, 2)), np.zeros((3, 1)), np.ones((3, 1))  # Neither d nor c is used.
        images, made = x.reshape(3, 1, 1, 1), (w * z).reshape(draws, 3, 1, 1, 1)
        return log_likelihood_bound(images, made, *flat, noise_mean=mean[:, None], noise_stddev=stddev[:, None])

    np.testing.assert_allclose(bound(mean, stddev), truth, atol=0.03)
    assert (bound(mean + 0.5, 2 * stddev) < truth - 0.3).all()
