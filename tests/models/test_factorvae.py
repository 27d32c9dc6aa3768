"""FactorVAE: permuted codes, the total correlation by the density-ratio trick, and who learns from what."""

import math

import numpy as np
import pytest
import tensorflow as tf

from common.models.factorvae import permute_codes
from common.nn import losses
from common.nn.optimizers import TF1Adam
from common.nn.vae_networks import build_code_discriminator
from helpers.systems import EVERY, make_config, sampled
from helpers.vae import plain_vae


@pytest.fixture
def factorvae(build_system):
    return build_system(**EVERY["factorvae"])


def test_permuted_codes_keep_every_marginal():
    codes = tf.random.stateless_normal([50, 4], [1, 2])
    permuted = permute_codes(codes, tf.random.stateless_uniform([50, 4], [3, 4])).numpy()
    np.testing.assert_array_equal(np.sort(permuted, axis=0), np.sort(codes, axis=0))
    origins = [[int(np.flatnonzero(codes[:, j] == value)[0]) for value in permuted[:, j]] for j in range(4)]
    assert len({tuple(column) for column in origins}) == 4  # Each column has a permutation of its own.


def test_permutation_follows_the_order_given():
    codes = tf.constant([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    order = tf.constant([[0.3, 0.1], [0.1, 0.2], [0.2, 0.3]])
    np.testing.assert_array_equal(permute_codes(codes, order), [[2, 10], [3, 20], [1, 30]])


def test_the_discriminator_tells_codes_from_permuted_ones(factorvae, images):
    random, discriminator = sampled(factorvae), factorvae.networks["discriminator"]
    posterior = factorvae.networks["encoder"](images)
    code = posterior["mean"] + posterior["stddev"] * random.noise.normal
    joint, product = (np.float64(discriminator(one)) for one in (code, permute_codes(code, random.order)))
    wanted = (np.logaddexp(0, -joint).mean() + np.logaddexp(0, product).mean()) / 2
    assert float(factorvae.objective(images, random)["d_loss"]) == pytest.approx(wanted, rel=1e-6)


def test_density_ratio_finds_a_gaussians_total_correlation():
    """Two codes with correlation r: the total correlation is -log(1 - r^2) / 2 = 0.51 nats."""
    correlation = 0.8
    discriminator = build_code_discriminator(make_config(**{**EVERY["factorvae"], "discriminator_units": 32}))
    optimizer = TF1Adam(2e-3, 0.5, 0.9)
    optimizer.build(discriminator.trainable_variables)

    def codes(step, size):
        normal = tf.random.stateless_normal([size, 3], [step, 0])
        second = correlation * normal[:, 0] + math.sqrt(1 - correlation**2) * normal[:, 1]
        return tf.stack([normal[:, 0], second, normal[:, 2]], axis=1)

    @tf.function
    def update(step):
        batch = codes(step, 512)
        permuted = permute_codes(batch, tf.random.stateless_uniform([512, 3], [step, 1]))
        with tf.GradientTape() as tape:
            real, product = discriminator(batch), discriminator(permuted)
            loss = losses.adversarial(real, real=True) + losses.adversarial(product, real=False)
        optimizer.apply(tape.gradient(loss, discriminator.trainable_variables), discriminator.trainable_variables)

    for step in range(400):
        update(tf.constant(step))
    estimate = float(tf.reduce_mean(discriminator(codes(-1, 20_000))))
    assert estimate == pytest.approx(-0.5 * math.log(1 - correlation**2), rel=0.15)


def test_with_gamma_0_the_loss_is_a_vaes(build_system, images):
    system = build_system(**EVERY["factorvae"], total_correlation_weight=0.0)
    random = sampled(system)
    assert float(system.objective(images, random)["loss"]) == pytest.approx(
        sum(plain_vae(system, images, random.noise.normal)), rel=1e-5
    )


def test_gamma_weighs_the_mean_logit(factorvae, images):
    random = sampled(factorvae)
    got = factorvae.objective(images, random)
    posterior = factorvae.networks["encoder"](images)
    code = posterior["mean"] + posterior["stddev"] * random.noise.normal
    correlation = float(tf.reduce_mean(factorvae.networks["discriminator"](code)))
    assert float(got["total_correlation"]) == pytest.approx(correlation, rel=1e-5)
    wanted = float(got["reconstruction_loss"] + got["continuous_kl"]) + 10 * correlation
    assert float(got["loss"]) == pytest.approx(wanted, rel=1e-6)


def test_an_undecided_discriminator_sees_no_correlation(factorvae, images):
    last = factorvae.networks["discriminator"].get_layer("logits")
    last.kernel.assign(tf.zeros_like(last.kernel))
    got = factorvae.objective(images, sampled(factorvae))
    assert float(got["total_correlation"]) == 0
    assert float(got["d_loss"]) == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize(("optimizer", "moved"), [("vae", {"encoder", "decoder"}), ("d", {"discriminator"})])
def test_an_optimizer_moves_its_own_networks(factorvae, images, monkeypatch, optimizer, moved):
    apply = type(factorvae).apply_gradients
    monkeypatch.setattr(
        type(factorvae), "apply_gradients", lambda self, gradients: apply(self, {optimizer: gradients[optimizer]})
    )
    before = {name: network.get_weights() for name, network in factorvae.networks.items()}
    factorvae.update(images, sampled(factorvae))
    changed = {
        name
        for name, network in factorvae.networks.items()
        if any((a != b).any() for a, b in zip(before[name], network.get_weights(), strict=True))
    }
    assert changed == moved
