"""InfoCatVAE: the mixture prior, its divergence by hand, the information term, and dropout."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from common.config import LatentSpec
from common.errors import UserError
from common.models import registry
from common.nn import losses, replicas
from common.nn.distributions import Latents
from helpers.systems import EVERY, make_config, sampled
from helpers.vae import cross_entropy, gaussian_kl

tfd = tfp.distributions


@pytest.fixture
def infocatvae(build_system):
    return build_system(**EVERY["infocatvae"])


def objective(system, images):
    return {name: float(value) for name, value in system.objective(images, sampled(system)).items()}


def test_a_class_has_its_own_coordinates(infocatvae):
    np.testing.assert_array_equal(
        infocatvae.class_means,
        [[2, 2, 0, 0, 0, 0, 0, 0], [0, 0, 2, 2, 0, 0, 0, 0], [0, 0, 0, 0, 2, 2, 0, 0], [0, 0, 0, 0, 0, 0, 2, 2]],
    )


def test_mixture_kl_known_answers():
    """0 at the class's own mean; 1/2 for one coordinate off by 1; a class that is not assigned costs nothing."""
    means = np.array([[2.0, 0.0], [0.0, 2.0]], np.float32)
    at = np.array([[[2.0, 0.0], [9.0, 9.0]], [[3.0, 0.0], [9.0, 9.0]]], np.float32)
    first = np.array([[1.0, 0.0]] * 2, np.float32)
    assert float(losses.mixture_kl(first, at, np.zeros_like(at), means)) == pytest.approx(0.25)  # Of 0 and 1/2.


def test_mixture_kl_is_the_weighted_mean_of_divergences():
    random = np.random.RandomState(0)
    assignment = random.dirichlet([1, 1, 1], 5).astype(np.float32)
    mean, log_variance = (random.normal(size=(5, 3, 4)).astype(np.float32) for _ in range(2))
    class_means = random.normal(size=(3, 4)).astype(np.float32)
    each = tfd.kl_divergence(tfd.Normal(mean, np.exp(log_variance / 2)), tfd.Normal(class_means, 1.0)).numpy()
    wanted = (assignment[..., None] * each).sum() / 5
    assert float(losses.mixture_kl(assignment, mean, log_variance, class_means)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("assignment", "wanted"), [([1.0, 0, 0, 0], math.log(1.001)), ([0.25] * 4, math.log(0.251))])
def test_negative_entropy_known_answers(assignment, wanted):
    assert float(losses.negative_entropy(tf.constant([assignment] * 3))) == pytest.approx(wanted, abs=1e-6)


def test_with_one_prior_for_all_classes_the_loss_is_a_vaes(build_system, images):
    """No information term, no dropout, and an encoder that ignores the class: a VAE next to a classifier."""
    system = build_system(**EVERY["infocatvae"], information_weight=0.0, prior_mean=0.0, dropout=0.0)
    encoder = system.networks["encoder"]
    for name in ("mean", "log_variance"):
        kernel = encoder.get_layer(name).kernel
        kernel.assign(tf.concat([kernel[:-4], tf.zeros_like(kernel[-4:])], axis=0))
    random, ones = sampled(system), tf.ones([8, 400])
    outputs = {name: v.numpy().astype(np.float64) for name, v in encoder([images, ones]).items()}
    mean, stddev = outputs["mean"][:, 0], np.exp(outputs["log_variance"][:, 0] / 2)
    z = tf.constant(mean + stddev * random.normal.numpy(), tf.float32)
    vae = cross_entropy(images, system.networks["decoder"]([z, ones])) + gaussian_kl(mean, stddev)
    got = objective(system, images)
    assert got["loss"] - got["negative_entropy"] == pytest.approx(vae, rel=1e-5)


def test_information_is_about_the_classes_of_generated_images(infocatvae, images):
    random = sampled(infocatvae)
    assert random.category.shape == (10 * 4, 4)
    centred = random.prior - tf.matmul(random.category, infocatvae.class_means)
    assert abs(float(tf.reduce_mean(centred))) < 0.2
    fake = tf.sigmoid(infocatvae.networks["decoder"]([random.prior, random.fake_d_mask]))
    logits = infocatvae.networks["encoder"]([fake, random.fake_e_mask])["logits"].numpy().astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    wanted = -(random.category.numpy() * log_p).sum() / 40
    got = objective(infocatvae, images)
    assert got["information_loss"] == pytest.approx(wanted, rel=1e-5)
    rest = got["reconstruction_loss"] + got["negative_entropy"] + got["continuous_kl"]
    assert got["loss"] == pytest.approx(rest + 100 / 8 * wanted, rel=1e-5)


def test_codes_are_distances_from_the_class(infocatvae):
    """At c = 0 the decoder gets the class's mean."""
    empty, category = tf.zeros([4, 0]), tf.eye(4)
    made = infocatvae.generate(Latents(empty, category, tf.zeros([4, 8])))
    wanted = tf.sigmoid(infocatvae.networks["decoder"]([tf.constant(infocatvae.class_means), tf.ones([4, 400])]))
    np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_reconstructions_are_of_the_mean_z(infocatvae, images):
    ones = tf.ones([8, 400])
    outputs = infocatvae.networks["encoder"]([images, ones])
    assignment = tf.nn.softmax(outputs["logits"])
    z = tf.einsum("bk,bkc->bc", assignment, outputs["mean"])
    wanted = tf.sigmoid(infocatvae.networks["decoder"]([z, ones]))
    np.testing.assert_allclose(infocatvae.reconstruct(images, tf.constant([0, 1])), wanted, atol=1e-5)


def test_the_encoder_is_a_dense_layer_on_features_and_class(infocatvae, images):
    encoder = infocatvae.networks["encoder"]
    mask = sampled(infocatvae).e_mask
    hidden = tf.nn.relu(encoder.get_layer("hidden")(tf.reshape(images, [8, -1]))) * mask
    layer = encoder.get_layer("mean")
    for index in range(4):
        inputs = tf.concat([hidden, tf.tile(tf.eye(4)[index][None], [8, 1])], axis=1)
        np.testing.assert_allclose(
            encoder([images, mask])["mean"][:, index], inputs @ layer.kernel + layer.bias, atol=1e-5
        )


def test_dropout_keeps_the_mean(infocatvae, build_system):
    mask = infocatvae.dropout(500, tf.constant([1, 2])).numpy()
    np.testing.assert_allclose(np.unique(mask), [0, 4 / 3], rtol=1e-6)
    assert mask.mean() == pytest.approx(1, abs=0.01)
    system = build_system(**EVERY["infocatvae"], dropout=0.0)
    np.testing.assert_array_equal(system.dropout(3, tf.constant([1, 2])), np.ones((3, 400)))


def test_dropout_at_test_time_is_a_flag(infocatvae, build_system, images):
    plain = infocatvae.encode(images).mean
    system = build_system(**EVERY["infocatvae"], test_dropout=True)
    first, again = system.encode(images).mean, system.encode(images).mean
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - plain).max() > 1e-3


def test_classes_need_equally_many_coordinates():
    with pytest.raises(UserError, match="--continuous must be a multiple of --categories.*got 7 and 4"):
        registry.build(make_config(model="infocatvae", latent=LatentSpec(0, 4, 7)))


def test_devices_share_the_generated_images_equally(monkeypatch):
    """Of 4 classes."""
    monkeypatch.setattr(replicas, "replicas", lambda: 3)
    registry.build(make_config(**EVERY["infocatvae"], class_samples=3))
    with pytest.raises(UserError, match="--class-samples times --categories must be a multiple of 3.*got 40"):
        registry.build(make_config(**EVERY["infocatvae"], class_samples=10))
