"""ALI: losses and gradients written out, what moves what, and that the discriminator alone teaches the encoder."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from common.nn.distributions import Posterior
from helpers import systems
from helpers.systems import NETWORKS, assign, sampled, values

# Relaxed codes amplify rounding.
assert_close = functools.partial(systems.assert_close, tolerance=1e-3, least=1e-4, negligible=0)


@pytest.fixture
def ali(build_system):
    """The ALI of `make_config()`, at its initial weights."""
    return build_system(model="ali")


def captured(system, monkeypatch, images):
    """The losses of one iteration, and the gradients that it applied, in order."""
    applied = []
    monkeypatch.setattr(type(system), "apply_gradients", lambda self, gradients: applied.append(gradients))
    random = sampled(system)
    latents, noise = random.latents, random.noise
    return latents, noise, system.update(images, random), applied


def test_losses_and_gradients_are_those_written_out(ali, images, monkeypatch):
    """With no update let through, both halves are at the initial weights; the pairs and their labels on plain tapes."""
    latents, noise, losses, applied = captured(ali, monkeypatch, images)
    encoder, generator, discriminator = (ali.networks[n] for n in NETWORKS)
    with tf.GradientTape(persistent=True) as tape:
        inferred = Posterior(**encoder(images, training=True)).sample(noise)
        x = generator([latents.noise, latents.code], training=True)
        real, fake = discriminator([images, inferred], training=True), discriminator([x, latents.code], training=True)
        d_loss = tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))
        e_loss, g_loss = tf.reduce_mean(tf.nn.softplus(real)), tf.reduce_mean(tf.nn.softplus(-fake))
    for name, value in {"d_loss": d_loss, "e_loss": e_loss, "g_loss": g_loss}.items():
        np.testing.assert_allclose(losses[name], value, rtol=1e-4, err_msg=name)
    assert [gradients.keys() for gradients in applied] == [{"d"}, {"g"}]
    assert_close(applied[0]["d"], tape.gradient(d_loss, discriminator.trainable_variables))
    count = len(encoder.trainable_variables)
    assert_close(applied[1]["g"][:count], tape.gradient(e_loss, encoder.trainable_variables))
    assert_close(applied[1]["g"][count:], tape.gradient(g_loss, generator.trainable_variables))


def test_the_discriminator_alone_teaches_the_encoder(ali, images, monkeypatch):
    """Where D does not look at u, the encoder has nothing to learn from."""
    dense = ali.networks["discriminator"].get_layer("e_h3_lin")
    kernel = dense.kernel.numpy()
    kernel[-ali.config.latent.code :] = 0
    dense.kernel.assign(kernel)
    *_, applied = captured(ali, monkeypatch, images)
    count = len(ali.networks["encoder"].trainable_variables)
    assert all(not np.any(g) for g in applied[1]["g"][:count])
    assert sum(np.any(g) for g in applied[1]["g"][count:]) > 5


def test_the_discriminator_learns_before_encoder_and_generator(ali, images):
    """The second half's losses are those of the new discriminator; each optimizer moves its networks and no other."""
    assert ali.optimizer_networks == {"d": ("discriminator",), "g": ("encoder", "generator")}
    random = sampled(ali)
    latents, noise = random.latents, random.noise
    before = values(ali)
    losses = ali.update(images, random)
    after = values(ali)
    assert {name: int(o.iterations) for name, o in ali.optimizers.items()} == {"d": 1, "g": 1}
    for network in NETWORKS:
        kernels = [name for name in before if name.startswith(f"{network}/") and name.endswith("/kernel")]
        assert kernels and all((before[name] != after[name]).mean() > 0.5 for name in kernels)
    # The new discriminator with the old encoder and generator.
    assign(ali, {name: (after if name.startswith("discriminator/") else before)[name] for name in before})
    inferred = Posterior(**ali.networks["encoder"](images, training=True)).sample(noise)
    fake, _ = ali.generate_with_vjp(latents)
    wanted = ali.confusion_pass(images, inferred, fake, latents.code)[0]
    for name, value in wanted.items():
        np.testing.assert_allclose(losses[name], value, rtol=1e-3, err_msg=name)


def test_rates(ali):
    np.testing.assert_allclose([o.learning_rate.numpy() for o in ali.optimizers.values()], [2e-4, 1e-3], rtol=1e-6)


def test_fit_trains_and_reports(ali, images):
    history = ali.fit(tf.data.Dataset.from_tensors(images).repeat(3), epochs=1, shuffle=False, verbose=0).history
    assert history.keys() == {"d_loss", "e_loss", "g_loss"} and int(ali.step) == 3
    assert np.isfinite([v[0] for v in history.values()]).all()
