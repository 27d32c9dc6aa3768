"""The mixture of autoencoders: what a pass computes, what learns from what, inference, and --corrected."""

import numpy as np
import pytest
import tensorflow as tf

from common.config import LatentSpec
from common.errors import UserError
from common.models import registry
from common.nn import mixture_losses, mixture_sampling
from common.nn.distributions import Latents
from common.nn.mixture_sampling import GivenGamma
from helpers.systems import EVERY, make_config, sampled, tried, values

DENSE = EVERY["mixture"]
CONVOLUTIONAL = {**DENSE, "image_shape": (64, 64, 1), "scaling": "tanh", "batch_size": 4, "width": 0.03}
MASKS = ("none", "bernoulli", "concrete", "gaussian", "hard")
SEED = tf.constant([1, 2])


@pytest.fixture
def mixture(build_system):
    return build_system(**DENSE)


@pytest.fixture(scope="module")
def large_images():
    return tf.random.stateless_uniform([4, 64, 64, 1], [1, 2], -1.0)


def reconstruction_gradients(system, images, layer, reparameterised):
    """Of the first encoder's variables of that layer; None if the reconstruction does not reach them."""
    variables = system.networks["encoder1"].get_layer(layer).trainable_variables
    with tf.GradientTape() as tape:
        result = system.forward(images, sampled(system), training=True, reparameterised=reparameterised)
        value = system.losses(images, result)["reconstruction_loss"]
    return tape.gradient(value, variables)


def test_dense_weights_are_the_masked_sample_normalised(mixture, images):
    result = mixture.forward(images, sampled(mixture), training=False)
    wanted = result.mask * result.sample
    np.testing.assert_allclose(result.weights, wanted / tf.reduce_sum(wanted, axis=1, keepdims=True), rtol=1e-6)
    mixing = result.mixing / tf.reduce_sum(result.mixing, axis=1, keepdims=True)
    np.testing.assert_allclose(result.concentration, mixing, rtol=1e-6)


def test_convolutional_mask_acts_on_the_concentrations(build_system, large_images):
    system = build_system(**CONVOLUTIONAL)
    result = system.forward(large_images, sampled(system), training=False)
    masked = result.mask * result.mixing
    np.testing.assert_allclose(result.concentration, masked / tf.reduce_sum(masked, axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(result.weights, result.sample)


def test_codes_are_reparameterised_and_decoded_in_hidden_space(mixture, images):
    random = sampled(mixture)
    result = mixture.forward(images, random, training=False)
    np.testing.assert_allclose(result.codes, result.mean + result.stddev * random.normal, rtol=1e-6)
    mixed = sum(
        result.weights[:, k : k + 1] * mixture.networks[f"decoder{k + 1}"](result.codes[:, k]) for k in range(4)
    )
    np.testing.assert_allclose(result.outputs["images"], mixture.networks["final"](mixed)["images"], rtol=1e-5)


def test_loss_is_the_weighted_sum_of_its_terms(build_system, images):
    system = build_system(**DENSE, kl_weight=0.3)
    result = system.forward(images, sampled(system), training=False)
    terms = system.losses(images, result)
    wanted = terms["reconstruction_loss"] + 0.3 * terms["kl"] + terms["kl_dirichlet"] + terms["dhsic"]
    np.testing.assert_allclose(terms["loss"], wanted + terms["regularizer"], rtol=1e-6)
    kl = tf.reduce_mean(mixture_losses.gaussian_kl(result.mean, result.stddev))
    np.testing.assert_allclose(terms["kl"], kl, rtol=1e-6)


def test_reconstruction_reaches_weights_if_reparameterised(build_system, large_images):
    system = build_system(**CONVOLUTIONAL, mask="none")
    assert reconstruction_gradients(system, large_images, "e_mix", reparameterised=False) == [None, None]
    assert all(np.abs(g).max() > 0 for g in reconstruction_gradients(system, large_images, "e_mix", True))
    assert all(np.abs(g).max() > 0 for g in reconstruction_gradients(system, large_images, "e_mean", False))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("corrected", [False, True])
def test_every_variant_takes_a_finite_step(build_system, images, mask, corrected):
    system = build_system(**DENSE, mask=mask, corrected=corrected)
    before = values(system)
    losses, after = tried(system, images, sampled(system))
    assert all(np.isfinite(value) for value in losses.values())
    assert set(losses) >= set(system.trackers)
    moved = {name for name, value in after.items() if not np.array_equal(value, before[name])}
    kernels = {name for name in before if name.endswith("kernel") and not name.startswith("adam")}
    assert kernels <= moved and all(np.isfinite(after[name]).all() for name in kernels)


def test_a_hard_mask_without_regularizer_keeps_its_variable(build_system, images):
    system = build_system(**DENSE, mask="hard", mask_regularizer=False)
    losses, after = tried(system, images, sampled(system))
    assert "regularizer" not in losses and losses["dropout"] == 0.5
    assert [value for name, value in after.items() if name.endswith("mask/experts/dropout")][0] == [0.5]


def test_vanished_weights_are_nan_unless_corrected(build_system, images):
    """All expert weights but the first are at the floor, and the mask drops the first."""
    noise = sampled(build_system(**DENSE))
    drop_first = np.full([8, 4, 2], 0.5, np.float32)
    drop_first[:, 0] = [1 - 1e-7, 1e-7]
    drop_first[:, 1:] = [1 - 1e-7, 1e-7]
    random = noise._replace(mask=tf.constant(drop_first), gamma=GivenGamma(tf.constant([[1.0, 0, 0, 0]] * 8)))
    for corrected in (False, True):
        system = build_system(**DENSE, corrected=corrected)
        losses, after = tried(system, images, random)
        finite = all(
            np.isfinite(value).all() for value in (*losses.values(), *after.values()) if value.dtype != np.int64
        )
        assert finite == corrected


def test_corrected_steps_stay_finite_if_a_concentration_vanishes(build_system, large_images):
    system = build_system(**CONVOLUTIONAL, corrected=True)
    for k in (1, 2):
        layer = system.networks[f"encoder{k}"].get_layer("e_mix")
        layer.bias.assign([-200.0])
    losses, after = tried(system, large_images, sampled(system))
    assert all(np.isfinite(value) for value in losses.values())
    assert all(np.isfinite(value).all() for name, value in after.items() if "mix" in name)


def test_noise_is_a_function_of_seed_and_step(mixture):
    first, again, other = sampled(mixture, 5), sampled(mixture, 5), sampled(mixture, 6)
    for one, same, different in zip(*map(tf.nest.flatten, (first, again, other)), strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, different)


def test_encoding_has_the_moments_of_the_mixture(mixture, images):
    result = mixture.forward(images, sampled(mixture), training=False, masked=False)
    posterior = mixture.encode(images)
    pi, mean, stddev = (part.numpy().astype(np.float64) for part in (result.concentration, result.mean, result.stddev))
    wanted = (pi[..., None] * mean).sum(axis=1)
    second = (pi[..., None] * (stddev**2 + mean**2)).sum(axis=1)
    np.testing.assert_allclose(tf.exp(posterior.logits), pi, rtol=1e-5)
    np.testing.assert_allclose(posterior.mean, wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(posterior.stddev, np.sqrt(second - wanted**2), rtol=1e-4)


def test_prior_weights_are_a_dirichlet_sample_and_codes_normal(mixture):
    latents = mixture.sample_prior(4000, SEED)
    np.testing.assert_allclose(tf.reduce_sum(latents.category, axis=1), np.ones(4000), rtol=1e-5)
    np.testing.assert_allclose(tf.reduce_mean(latents.category, axis=0), [0.25] * 4, atol=0.02)
    np.testing.assert_allclose(
        [tf.reduce_mean(latents.continuous), tf.math.reduce_std(latents.continuous)], [0, 1], atol=0.03
    )
    assert latents.noise.shape == (4000, 0)


def test_one_hot_weights_generate_from_one_expert(mixture):
    z = tf.random.stateless_normal([5, 3], SEED)
    made = mixture.generate(Latents(tf.zeros([5, 0]), tf.one_hot([2] * 5, 4), z))
    alone = mixture.networks["final"](mixture.networks["decoder3"](z))["images"]
    np.testing.assert_allclose(made, alone, rtol=1e-5, atol=1e-6)


def test_reconstructions_without_the_mask_have_the_same_noise(mixture, images):
    noise = mixture.sample_noise(SEED, 8)
    masked = mixture.forward(images, noise, training=False).outputs["images"]
    plain = mixture.forward(images, noise, training=False, masked=False).outputs["images"]
    np.testing.assert_allclose(mixture.reconstruct(images, SEED), masked, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mixture.reconstruct_unmasked(images, SEED), plain, rtol=1e-5, atol=1e-6)


def test_contributions_set_the_other_experts_codes_to_zero(mixture, images):
    result = mixture.forward(images, mixture.sample_noise(SEED, 8), training=False, masked=False)
    codes = result.codes.numpy()
    codes[:, [0, 1, 3]] = 0
    wanted = mixture.decode(result.weights, tf.constant(codes))["images"]
    made = mixture.contributions(images, SEED)
    assert made.shape == (4, 8, 28, 28, 1)
    np.testing.assert_allclose(made[2], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask", MASKS)
def test_experts_in_use_are_those_that_masks_leave(build_system, mask):
    """4 without a mask; 9 of 10 with the soft masks, half of them with the others, at the start."""
    wanted = {"none": 4.0, "bernoulli": 3.6, "concrete": 3.6, "gaussian": 2.0, "hard": 2.0}[mask]
    in_use = build_system(**DENSE, mask=mask).experts_in_use(4000, SEED)
    np.testing.assert_allclose(in_use, wanted, atol=0.12)


@pytest.mark.parametrize("latent", [LatentSpec(2, 4, 3), LatentSpec(0, 0, 3)])
def test_latents_of_other_kinds_are_refused(latent):
    with pytest.raises(UserError, match="--noise must be 0|--categories must be above 0"):
        registry.build(make_config(**{**DENSE, "latent": latent}))


def test_sizes_are_those_of_the_original_scripts():
    dense = registry.with_system(make_config(), "mixture", "code")
    large = registry.with_system(make_config(image_shape=(64, 64, 3)), "mixture", "code")
    assert (dense.latent, dense.batch_size, dense.epochs) == (LatentSpec(0, 4, 50), 128, 100)
    assert (dense.hyper.learning_rate, dense.hyper.kl_weight) == (1e-3, 1.0)
    assert (large.latent, large.batch_size, large.epochs) == (LatentSpec(0, 4, 256), 64, 5)
    assert (large.hyper.learning_rate, large.hyper.kl_weight) == (1e-4, 0.1)


def test_log_alpha_of_the_hard_mask_is_used_only_if_corrected(build_system):
    systems = [build_system(**DENSE, mask="hard", corrected=corrected) for corrected in (False, True)]
    got = [system._mask_regularizer() for system in systems]
    wanted = [mixture_losses.variational_dropout_kl(tf.constant([value])) for value in (0.5, 0.0)]
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    assert mixture_sampling.INITIAL["hard"] == 0.5
