"""Posterior samples and divergences against their formulas in float64 and against TFP; priors; draws as functions of
seeds.
"""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from common.config import LatentSpec
from common.nn.distributions import (
    NoisePosterior,
    Posterior,
    code_entropy,
    kl_categorical,
    kl_continuous,
    log_normal,
    priors,
    sample_noise,
    sample_prior,
)

pytestmark = pytest.mark.fast

tfd = tfp.distributions

SPEC = LatentSpec(noise=3, categories=4, continuous=2)
SEED = tf.constant([3, 14], tf.int32)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def relaxed_one_hot(logits, uniform):
    """Section 3 in float64."""
    gumbel = -np.log(-np.log(uniform + 1e-20) + 1e-20)
    return softmax((np.log(softmax(logits) + 1e-10) + gumbel) / 0.1)


def posterior(logits, mean=None, stddev=None):
    return Posterior(*(None if v is None else tf.constant(v, tf.float32) for v in (logits, mean, stddev)))


def sample_categorical(logits, uniform):
    return posterior(logits).sample_categorical(tf.constant(uniform, tf.float32)).numpy()


@pytest.fixture(scope="module")
def arrays():
    """logits, mean, stddev, normal and uniform noise of 60 images, exact in float32."""
    random = np.random.RandomState(0)
    values = (
        random.normal(0, 2, (60, 4)),
        random.normal(0, 1, (60, 2)),
        random.uniform(0.1, 2, (60, 2)),
        random.normal(0, 1, (60, 2)),
        random.uniform(0, 1, (60, 4)),
    )
    return [v.astype(np.float32).astype(np.float64) for v in values]


def test_continuous_samples_are_mean_plus_stddev_times_noise(arrays):
    logits, mean, stddev, normal, _ = arrays
    sample = posterior(logits, mean, stddev).sample_continuous(tf.constant(normal, tf.float32))
    np.testing.assert_allclose(sample, mean + stddev * normal, rtol=1e-6, atol=1e-6)


def test_without_a_deviation_the_continuous_sample_is_the_mean(arrays):
    logits, mean, _, normal, uniform = arrays
    q = posterior(logits, mean)
    np.testing.assert_array_equal(q.sample_continuous(tf.constant(normal, tf.float32)), mean)
    np.testing.assert_array_equal(q.sample(sample_noise(SPEC, 60, SEED))[:, 4:], mean)


def test_inferred_noise_has_the_samples_and_the_kl_of_its_normal():
    """Section 8: q(z|x); a shift by m costs m^2 / 2 and a deviation s (s^2 - 1) / 2 - log s."""
    q = NoisePosterior(tf.constant([[3.0, -1.0], [0.0, 0.0]]), tf.constant([[1.0, 1.0], [2.0, 0.5]]))
    np.testing.assert_array_equal(q.sample(tf.constant([[1.0, 2.0], [-1.0, 4.0]])), [[4, 1], [-2, 2]])
    np.testing.assert_allclose(kl_continuous(q), [5, 1.5 - 0.375], rtol=1e-6)


def test_log_normal_is_tfps(arrays):
    logits, mean, stddev, value, _ = arrays
    q = posterior(logits, mean, stddev)
    got = log_normal(tf.constant(value, tf.float32), q)
    assert got.shape == (60,)
    np.testing.assert_allclose(
        got,
        tf.reduce_sum(tfp.distributions.Normal(q.mean, q.stddev).log_prob(tf.constant(value, tf.float32)), axis=1),
        rtol=1e-4,
        atol=1e-5,
    )


def test_log_normal_of_no_deviation_is_finite():
    """At a deviation of 0 the floor 1e-8 under the variance is left: 2 log N(0; 0, 1e-8)."""
    got = log_normal(tf.zeros((1, 2)), posterior(np.zeros((1, 4)), np.zeros((1, 2)), np.zeros((1, 2))))
    np.testing.assert_allclose(got, [-np.log(2 * np.pi * 1e-8)], rtol=1e-5)


def test_the_entropy_of_the_code_is_that_of_its_priors():
    """H(u) of eq. 11: log 4 for d, and log 2 for each of the two c."""
    prior = priors(SPEC)
    np.testing.assert_allclose(code_entropy(SPEC), np.log(4) + 2 * np.log(2), rtol=1e-12)
    np.testing.assert_allclose(
        code_entropy(SPEC), prior["category"].entropy() + prior["continuous"].entropy(), rtol=1e-6
    )


def test_categorical_samples_follow_the_formula(arrays):
    """At temperature 0.1 rounding of the logits counts ten times."""
    logits, *_, uniform = arrays
    wanted = relaxed_one_hot(logits, uniform)
    np.testing.assert_allclose(sample_categorical(logits, uniform), wanted, atol=1e-4)
    assert 0.1 < np.partition(wanted, -2, axis=1)[:, -2].max() < 0.5  # Not all one-hot: soft, not straight-through.


def test_the_floor_lets_an_impossible_category_win():
    """log(0 + 1e-10) + 46.05 = 23.03 is above log(1) - 3.83; without the floor the second category could never win."""
    logits, uniform = np.array([[0.0, -1000.0]]), np.array([[0.0, 1.0]])
    np.testing.assert_allclose(relaxed_one_hot(logits, uniform), [[0, 1]], atol=1e-12)
    np.testing.assert_allclose(sample_categorical(logits, uniform), [[0, 1]], atol=1e-12)


def test_the_floor_under_the_probabilities_is_1e_10():
    """With the largest uniform float32 below 1 for the impossible category and 0 for the other: exp((16.64 - 23.03 +
    3.83) / 0.1).
    """
    logits, uniform = np.array([[0.0, -1000.0]]), np.array([[0.0, 1 - 2.0**-24]])
    wanted = relaxed_one_hot(logits, uniform)[0, 1]
    assert 1e-12 < wanted < 1e-10
    np.testing.assert_allclose(sample_categorical(logits, uniform)[0, 1], wanted, rtol=1e-3)


def test_the_floor_inside_the_logarithm_of_the_noise():
    """gumbel(0) = -log(46.05) = -3.83: against a category with gumbel(1/e) = 0, odds of e^3.8 nearly make up for it."""
    logits, uniform = np.array([[0.0, 3.8]]), np.array([[np.exp(-1), 0.0]])
    wanted = softmax(np.array([[0.0, 3.8 - np.log(-np.log(1e-20))]]) / 0.1)
    assert 0.4 < wanted[0, 1] < 0.45
    np.testing.assert_allclose(sample_categorical(logits, uniform), wanted, atol=1e-4)


def test_the_floor_outside_the_logarithm_of_the_noise():
    """gumbel(1) = 46.05, not infinite: two of them cancel, and one outweighs the largest float32 below 1 (16.64) at any
    odds.
    """
    np.testing.assert_allclose(
        sample_categorical(np.array([[0.05, 0.0]]), np.ones((1, 2))), softmax(np.array([[0.5, 0.0]])), atol=1e-4
    )
    np.testing.assert_allclose(
        sample_categorical(np.array([[-50.0, 50.0]]), np.array([[1.0, 1 - 2.0**-24]])), [[1, 0]], atol=1e-6
    )


def test_samples_are_on_the_simplex_and_u_is_concat_d_c(arrays):
    logits, mean, stddev, normal, uniform = arrays
    q = posterior(logits, mean, stddev)
    noise = sample_noise(SPEC, 60, SEED)
    u = q.sample(noise).numpy()
    assert u.shape == (60, 6)
    np.testing.assert_allclose(u[:, :4].sum(axis=1), 1, atol=1e-6)
    assert (u[:, :4] >= 0).all()
    np.testing.assert_array_equal(u[:, :4], q.sample_categorical(noise.uniform))
    np.testing.assert_array_equal(u[:, 4:], q.sample_continuous(noise.normal))


def test_categorical_samples_are_distributed_as_tfps():
    """Given uniform noise, the argmax falls as the softmax says, and the soft values have the moments of TFP's own
    samples.
    """
    n, logits = 40_000, np.array([1.0, -0.5, 0.3, 2.0])
    p = softmax(logits)
    uniform = tf.random.stateless_uniform([n, 4], seed=[1, 2])
    q = posterior(np.tile(logits, (n, 1)))
    ours = q.sample_categorical(uniform).numpy()
    theirs = q.categorical().sample(seed=SEED).numpy()
    four_sigma = 4 * np.sqrt(p * (1 - p) / n)
    for sample in (ours, theirs):
        frequency = np.bincount(sample.argmax(axis=1), minlength=4) / n
        assert (np.abs(frequency - p) < four_sigma).all(), frequency
    for power in (1, 2):
        assert (np.abs((ours**power).mean(axis=0) - (theirs**power).mean(axis=0)) < 1.5 * four_sigma).all()


def test_kl_continuous_is_its_definition(arrays):
    logits, mean, stddev, *_ = arrays
    stddev = stddev.copy()
    stddev[0] = [1e-6, 0.0]  # Where the floor 1e-8 counts.
    wanted = 0.5 * (mean**2 + stddev**2 - np.log(1e-8 + stddev**2) - 1).sum(axis=1)
    got = kl_continuous(posterior(logits, mean, stddev))
    assert got.shape == (60,)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_kl_continuous_is_tfps(arrays):
    logits, mean, stddev, *_ = arrays
    q = posterior(logits, mean, stddev)
    np.testing.assert_allclose(
        kl_continuous(q),
        tf.reduce_sum(tfd.kl_divergence(tfd.Normal(q.mean, q.stddev), tfd.Normal(0.0, 1.0)), axis=1),
        rtol=1e-5,
    )


def test_kl_continuous_is_0_at_the_standard_normal():
    np.testing.assert_allclose(
        kl_continuous(posterior(np.zeros((1, 4)), np.zeros((1, 2)), np.ones((1, 2)))), [0], atol=1e-6
    )


def test_kl_categorical_is_its_definition_and_tfps(arrays):
    logits = arrays[0]
    p = softmax(logits)
    got = kl_categorical(tf.constant(logits, tf.float32))
    assert got.shape == (60,)
    np.testing.assert_allclose(got, (p * (np.log(p + 1e-10) - np.log(1 / 4))).sum(axis=1), rtol=1e-5, atol=1e-7)
    tfps = tfd.kl_divergence(
        tfd.Categorical(logits=tf.constant(logits, tf.float32)), tfd.Categorical(logits=tf.zeros(4))
    )
    np.testing.assert_allclose(got, tfps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("logits", "kl"),
    [([2.0, 2.0, 2.0, 2.0], 0.0), ([0.0, 1000.0, 0.0, 0.0], np.log(4)), ([50.0, 50.0, -50.0, -50.0], np.log(2))],
)
def test_kl_categorical_known_answers(logits, kl):
    np.testing.assert_allclose(kl_categorical(tf.constant([logits])), [kl], atol=1e-6)


def test_extreme_encoder_outputs_have_finite_gradients():
    logits = tf.constant([[1e4, -1e4, 0.0, 1e4], [-1e30, 0.0, 1e30, 0.0], [0.0, 0.0, 0.0, 0.0]])
    mean, stddev = (
        tf.constant([[1e4, -1e4], [0.0, 0.0], [0.0, 0.0]]),
        tf.constant([[1e4, 1e-20], [0.0, 0.0], [1e-6, 1.0]]),
    )
    uniform = tf.constant([[0.0, 1.0, 1 - 2.0**-24, 1e-38], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch([logits, mean, stddev])
        q = Posterior(logits, mean, stddev)
        values = [
            q.sample_categorical(uniform),
            q.sample_continuous(tf.ones((3, 2))),
            kl_continuous(q),
            kl_categorical(logits),
        ]
        total = tf.add_n([tf.reduce_sum(v) for v in values])
    for value in values + tape.gradient(total, [logits, mean, stddev]):
        assert np.isfinite(value).all(), value
    np.testing.assert_allclose(tf.reduce_sum(values[0], axis=1), 1, atol=1e-6)


def test_priors_are_tfp_distributions_of_one_images_latents():
    prior = priors(SPEC)
    assert [tuple(prior[name].event_shape) for name in ("category", "continuous", "noise")] == [(4,), (2,), (3,)]
    np.testing.assert_allclose(prior["category"].log_prob([0.0, 1.0, 0.0, 0.0]), np.log(1 / 4), rtol=1e-6)
    np.testing.assert_allclose(prior["continuous"].log_prob([0.9, -0.9]), 2 * np.log(1 / 2), rtol=1e-6)
    np.testing.assert_allclose(prior["noise"].log_prob([0.9, -0.9, 0.0]), 3 * np.log(1 / 2), rtol=1e-6)


def test_prior_draws_are_one_hot_and_uniform():
    """Frequencies, means and variances (1/3 for U(-1, 1)) within 4.5 standard errors; no two values go together."""
    n = 20_000
    noise, category, continuous = (v.numpy() for v in sample_prior(SPEC, n, SEED))
    assert (noise.shape, category.shape, continuous.shape) == ((n, 3), (n, 4), (n, 2))
    assert noise.dtype == category.dtype == continuous.dtype == np.float32
    uniform = np.concatenate([continuous, noise], axis=1)
    np.testing.assert_array_equal(np.sort(category, axis=1), np.tile([0, 0, 0, 1], (n, 1)))
    np.testing.assert_allclose(category.mean(axis=0), 1 / 4, atol=4.5 * np.sqrt(3 / 16 / n))
    assert -1 <= uniform.min() < -0.999 and 0.999 < uniform.max() <= 1
    np.testing.assert_allclose(uniform.mean(axis=0), 0, atol=4.5 * np.sqrt(1 / 3 / n))
    np.testing.assert_allclose(uniform.var(axis=0), 1 / 3, atol=4.5 * np.sqrt(4 / 45 / n))
    correlation = np.corrcoef(np.concatenate([category[:, :3], uniform], axis=1).T)
    assert np.abs(correlation[3:] - np.eye(8)[3:]).max() < 4.5 / np.sqrt(n)


def test_noise_may_be_normal_and_leaves_the_code_as_it_was():
    """Section 8 of the reference: z ~ N(0, I)."""
    n = 20_000
    normal, uniform = (sample_prior(SPEC, n, SEED, noise) for noise in ("normal", "uniform"))
    np.testing.assert_array_equal(normal.code, uniform.code)
    noise = normal.noise.numpy()
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=4.5 / np.sqrt(n))
    np.testing.assert_allclose(noise.var(axis=0), 1, atol=4.5 * np.sqrt(2 / n))
    np.testing.assert_allclose((np.abs(noise) < 1).mean(axis=0), 0.6827, atol=4.5 * np.sqrt(0.22 / n))


def test_noise_and_continuous_codes_are_not_the_same_draws():
    latents = sample_prior(LatentSpec(noise=3, categories=4, continuous=3), 50, SEED)
    assert (latents.noise.numpy() != latents.continuous.numpy()).all()


def test_empty_latents_are_empty_tensors_and_change_no_other():
    latents, whole = sample_prior(LatentSpec(0, 0, 2), 5, SEED), sample_prior(SPEC, 5, SEED)
    assert [v.shape for v in latents] == [(5, 0), (5, 0), (5, 2)] and latents.code.shape == (5, 2)
    np.testing.assert_array_equal(latents.continuous, whole.continuous)


def test_posterior_noise_is_standard_normal_and_uniform():
    n = 20_000
    normal, uniform = (v.numpy() for v in sample_noise(SPEC, n, SEED))
    assert normal.shape == (n, 2) and uniform.shape == (n, 4)
    np.testing.assert_allclose(normal.mean(axis=0), 0, atol=4.5 / np.sqrt(n))
    np.testing.assert_allclose(normal.var(axis=0), 1, atol=4.5 * np.sqrt(2 / n))
    np.testing.assert_allclose((np.abs(normal) < 1).mean(axis=0), 0.6827, atol=4.5 * np.sqrt(0.22 / n))
    assert 0 <= uniform.min() < 0.001 and 0.999 < uniform.max() < 1
    np.testing.assert_allclose(uniform.mean(axis=0), 0.5, atol=4.5 * np.sqrt(1 / 12 / n))


@pytest.mark.parametrize("draw", [sample_prior, sample_noise])
def test_draws_are_a_function_of_the_seed(draw):
    first, again, compiled = draw(SPEC, 4, SEED), draw(SPEC, 4, SEED), tf.function(draw)(SPEC, 4, SEED)
    others = [draw(SPEC, 4, tf.constant(seed, tf.int32)) for seed in ([4, 14], [3, 15])]
    for i in range(2):
        np.testing.assert_array_equal(first[i], again[i])
        np.testing.assert_array_equal(first[i], compiled[i])
        assert all((first[i].numpy() != other[i].numpy()).any() for other in others)
