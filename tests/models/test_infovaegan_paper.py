"""The paper's variant: each equation's loss and gradients, the critic's schedule, the two stages, the ablation."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from common.evaluation.metrics.likelihood import log_likelihood_bound
from common.nn.distributions import Latents, NoisePosterior, Posterior
from common.nn.layers import BatchNorm
from helpers import systems
from helpers.systems import assign, sampled, tried, values

tfd = tfp.distributions

NETWORKS = ("encoder/", "noise_encoder/", "generator/", "discriminator/")
CRITIC_STEPS, SWITCH = 3, 4

assert_close = functools.partial(systems.assert_close, least=1e-4, negligible=1e-5)


@pytest.fixture
def build(build_system):
    """`build(**settings)`: the paper's system with narrow networks, by `build_system`."""

    def get(mutual_information=True, **settings):
        return build_system(
            variant="paper",
            mutual_information=mutual_information,
            **{
                "width": 0.125,
                "critic_steps": CRITIC_STEPS,
                "penalty_weight": 7.0,
                "categorical_kl_weight": 0.5,
                **settings,
            },
        )

    return get


def weights(system, averages=True):
    """The networks' variables, with the moving averages or without; a fifth of the whole state."""
    return {
        name: v.numpy()
        for name, v in system.state().items()
        if name.startswith(NETWORKS) and (averages or "moving_" not in name)
    }


def moved(before, after):
    """The networks of which a variable differs."""
    return {name.split("/")[0] for name in before if (before[name] != after[name]).any()}


def iterations(system):
    return {name: int(optimizer.iterations) for name, optimizer in system.optimizers.items()}


# Losses and gradients, each equation written out


def test_the_critics_loss_is_equations_3_and_4(build, images):
    system = build()
    random = sampled(system)
    latents, noise = random.latents, random.noise
    fake, _ = system.generate_with_vjp(latents)
    got, gradients = system.discriminator_pass(images, fake, random)
    critic = system.networks["discriminator"]
    share = noise.alpha.numpy()
    assert share.shape == (8, 1, 1, 1) and len(np.unique(share)) == 8 and (share >= 0).all() and (share < 1).all()
    between = tf.constant(share * images.numpy() + (1 - share) * fake.numpy())
    with tf.GradientTape() as tape:
        with tf.GradientTape() as inner:
            inner.watch(between)
            total = tf.reduce_sum(critic(between))
        norms = tf.norm(tf.reshape(inner.gradient(total, between), [8, -1]), axis=1)
        loss = tf.reduce_mean(critic(fake)) - tf.reduce_mean(critic(images)) + 7.0 * tf.reduce_mean((norms - 1) ** 2)
    np.testing.assert_allclose(got["d_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(
        got["critic_difference"], tf.reduce_mean(critic(images)) - tf.reduce_mean(critic(fake)), rtol=1e-4
    )
    np.testing.assert_allclose(got["gradient_penalty"], tf.reduce_mean((norms - 1) ** 2), rtol=1e-5)
    assert gradients.keys() == {"d"}
    # The last bias adds the same to every value, and so nothing to the loss.
    assert_close(gradients["d"][:-1], tape.gradient(loss, critic.trainable_variables[:-1]))


def test_the_generators_losses_are_equations_3_and_11(build, images):
    system = build()
    random = sampled(system)
    latents = random.latents
    encoder, generator, critic = (system.networks[n] for n in ("encoder", "generator", "discriminator"))
    fake, vjp = system.generate_with_vjp(latents)
    got, gradients = system.generator_pass(fake, vjp, random)
    assert gradients.keys() == {"g", "q"}
    d, c = tf.split(latents.code, [4, 3], axis=1)
    entropy = tfd.Categorical(logits=tf.zeros(4)).entropy() + 3 * tfd.Uniform(-1.0, 1.0).entropy()
    with tf.GradientTape(persistent=True) as tape:
        x = generator([latents.noise, latents.code], training=True)
        g_loss = -tf.reduce_mean(critic(x))
        q = encoder(x, training=True)
        log_d = tfd.OneHotCategorical(logits=q["logits"]).log_prob(d)
        log_c = tf.reduce_sum(tfd.Normal(q["mean"], q["stddev"]).log_prob(c), axis=1)
        q_loss = -(tf.reduce_mean(log_d + log_c) + entropy)
    np.testing.assert_allclose([got["g_loss"], got["q_loss"]], [g_loss, q_loss], rtol=1e-4)
    assert_close(gradients["g"], tape.gradient(g_loss, generator.trainable_variables))
    wanted = tape.gradient(q_loss, [encoder.trainable_variables, generator.trainable_variables])
    count = len(wanted[0])
    assert_close(gradients["q"][:count], wanted[0])
    assert_close(gradients["q"][count:], wanted[1])


def test_the_inference_loss_is_the_elbo_of_equations_6_7_and_10(build):
    """Terms, sum and gradients written out; and vae_loss is minus the bound of proposition 1, but for the density's
    constant.
    """
    system = build()
    random = sampled(system)
    latents, noise = random.latents, random.noise
    encoder, noise_encoder, generator = (system.networks[n] for n in ("encoder", "noise_encoder", "generator"))
    fake, _ = system.generate_with_vjp(latents)
    got, gradients = system.inference_pass(fake, random)
    standard = tfd.Normal(0.0, 1.0)
    with tf.GradientTape() as tape:
        q, r = Posterior(**encoder(fake, training=True)), noise_encoder(fake, training=True)
        code = tf.concat([q.sample_categorical(noise.code.uniform), q.mean + q.stddev * noise.code.normal], axis=1)
        reconstruction = generator([r["mean"] + r["stddev"] * noise.noise, code], training=True)
        terms = {
            "reconstruction_loss": tf.reduce_sum((fake - reconstruction) ** 2) / 8,
            "continuous_kl": tf.reduce_sum(tfd.kl_divergence(tfd.Normal(q.mean, q.stddev), standard)) / 8,
            "categorical_kl": tf.reduce_mean(
                tfd.kl_divergence(tfd.Categorical(logits=q.logits), tfd.Categorical(logits=tf.zeros(4)))
            ),
            "noise_kl": tf.reduce_sum(tfd.kl_divergence(tfd.Normal(r["mean"], r["stddev"]), standard)) / 8,
        }
        loss = terms["reconstruction_loss"] + terms["continuous_kl"] + 0.5 * terms["categorical_kl"] + terms["noise_kl"]
    for name, term in {**terms, "vae_loss": loss}.items():
        np.testing.assert_allclose(got[name], term, rtol=1e-4, atol=1e-6, err_msg=name)
    assert gradients.keys() == {"vae"}
    assert_close(
        gradients["vae"], tape.gradient(loss, encoder.trainable_variables + noise_encoder.trainable_variables), 1e-3
    )
    noise = {"noise_mean": r["mean"], "noise_stddev": r["stddev"]}
    bound = log_likelihood_bound(fake, reconstruction.numpy()[None], *q, **noise)
    unweighted = loss + 0.5 * terms["categorical_kl"]
    np.testing.assert_allclose(bound.mean(), -unweighted - 28 * 28 / 2 * np.log(np.pi), rtol=1e-5)


def test_the_weights_of_the_elbo_are_all_1_by_default(make_config):
    assert make_config(variant="paper").hyper.categorical_kl_weight == 1


def test_the_critic_judges_each_image_by_itself(build, images):
    """No batch norm: the value of an image does not depend on the others."""
    critic = build().networks["discriminator"]
    assert not [layer for layer in critic.layers if isinstance(layer, BatchNorm)]
    assert len(critic.inputs) == 1
    np.testing.assert_allclose(
        critic(images, training=True)[:2], critic(images[:2], training=True), rtol=1e-4, atol=1e-6
    )


def test_z_is_normal_and_c_uniform(build):
    """Sections 3.1 and 6 of the paper. Of 5,600 normal values, a third lie beyond 1; of the uniform ones none."""
    latents = build().sample_latents(tf.constant(0, tf.int64), 800)
    noise, continuous = latents.noise.numpy(), latents.continuous.numpy()
    assert (np.abs(noise) > 1).mean() == pytest.approx(0.3173, abs=0.03)
    assert np.abs(continuous).max() <= 1 and continuous.var() == pytest.approx(1 / 3, abs=0.03)


# Schedule and stages


def test_the_generator_learns_in_every_third_step_of_the_critic(build, images):
    system = build()
    networks = {"discriminator"}, {"discriminator", "encoder", "noise_encoder", "generator"}
    for step in range(7):
        before = weights(system, averages=False)
        system.train_step(images)
        due = (step + 1) % CRITIC_STEPS == 0
        assert iterations(system) == {"d": step + 1, **dict.fromkeys(("g", "q", "vae"), (step + 1) // CRITIC_STEPS)}
        assert moved(before, weights(system, averages=False)) == networks[due]


@pytest.mark.parametrize("stages", [{}, {"stages": "separate", "switch_step": SWITCH}], ids=["interleaved", "separate"])
def test_the_term_on_real_images_is_in_every_step_that_sees_some(build, images, stages):
    system = build(rim_multiplier=1.0, **stages)
    for step in range(SWITCH + 1 if stages else CRITIC_STEPS):
        before = weights(system, averages=False)
        losses = system.train_step(images)
        assert np.isfinite(losses["rim_loss"])
        if (step + 1) % CRITIC_STEPS and not (stages and step >= SWITCH):
            assert moved(before, weights(system, averages=False)) == {"discriminator", "encoder"}
    assert iterations(system)["rim"] == (SWITCH if stages else CRITIC_STEPS)


def test_a_separate_stage_fixes_generator_and_critic_at_its_step(build, images):
    """Before it the noise encoder is untouched; from it on not one weight of generator and critic moves, moving
    averages included.
    """
    system = build(stages="separate", switch_step=SWITCH)
    for step in range(7):
        before = weights(system)
        system.train_step(images)
        changed = moved(before, weights(system))
        if step >= SWITCH:
            assert changed == {"encoder", "noise_encoder"}
        else:
            due = (step + 1) % CRITIC_STEPS == 0
            assert changed == {"discriminator", "generator"} | ({"encoder"} if due else set())
    assert iterations(system) == {"d": SWITCH, "g": 1, "q": 1, "vae": 7 - SWITCH}


def test_what_a_step_is_follows_from_its_number_alone(build, images):
    """Steps 2 to 4, one of each kind, twice from a copy of the state before them: the same bits, so that a resumed run
    is exact.
    """
    system = build(stages="separate", switch_step=SWITCH)
    system.step.assign(2)
    start = values(system)
    for _ in range(3):
        system.train_step(images)
    end = values(system)
    assign(system, start)
    for _ in range(3):
        system.train_step(images)
    for name, value in values(system).items():
        np.testing.assert_array_equal(value, end[name], err_msg=name)


def test_an_update_takes_all_gradients_at_the_same_parameters(build, images):
    """Step 2 by hand: the critic first, then gradients of g_loss, q_loss and vae_loss, then the
    updates in this order.
    """
    system = build()
    system.step.assign(CRITIC_STEPS - 1)
    random = sampled(system)
    latents = random.latents
    got, after = tried(system, images, random)
    fake, vjp = system.generate_with_vjp(latents)
    system.apply_gradients(system.discriminator_pass(images, fake, random)[1])
    losses, gradients = system.generator_pass(fake, vjp, random)
    inferred, inference_gradients = system.inference_pass(fake, random)
    for name in ("g", "q", "vae"):
        system.optimizers[name].apply({**gradients, **inference_gradients}[name], system.variables_of(name))
    for name, value in values(system).items():
        np.testing.assert_allclose(value, after[name], rtol=1e-4, atol=2e-5, err_msg=name)
    for name, value in {**losses, **inferred}.items():
        np.testing.assert_allclose(got[name].value, value, rtol=1e-4, atol=1e-6)
        assert float(got[name].present) == 1


# The ablation


def test_without_mutual_information_nothing_learns_from_it(build, images):
    """InfoVAEGAN-MI: q_loss is reported as before, but has no gradients, and a first stage leaves the encoder as it
    was.
    """
    system = build(mutual_information=False, stages="separate", switch_step=SWITCH)
    random = sampled(system)
    latents = random.latents
    fake, vjp = system.generate_with_vjp(latents)
    losses, gradients = system.generator_pass(fake, vjp, random)
    assert gradients.keys() == {"g"} and np.isfinite(losses["q_loss"])
    before = weights(system, averages=False)
    for _ in range(CRITIC_STEPS):
        system.train_step(images)
    assert moved(before, weights(system, averages=False)) == {"discriminator", "generator"}
    assert iterations(system) == {"d": 3, "g": 1, "q": 0, "vae": 0}


# What is reported


def test_means_are_over_the_steps_that_have_the_loss(build, images):
    """Epochs of two steps, the generator's in steps 2 and 5: none, one, one. Without any step the mean is NaN."""
    system = build()
    epochs = tf.data.Dataset.from_tensors(images).repeat(6)
    history = system.fit(epochs, epochs=3, steps_per_epoch=2, shuffle=False, verbose=0).history
    assert np.isfinite(history["d_loss"]).all()
    for name in ("g_loss", "q_loss", "vae_loss"):
        assert np.isfinite(history[name]).tolist() == [False, True, True]
    system = build()
    seen = []
    for step in range(6):
        loss = system.update(images, sampled(system, step))["g_loss"]
        system.step.assign_add(1)
        seen += [float(loss.value)] * int(loss.present)
    np.testing.assert_allclose(history["g_loss"][1:], seen, rtol=2e-2, atol=1e-3)


def test_the_second_stage_reports_its_losses_alone(build, images):
    system = build(stages="separate", switch_step=SWITCH)
    system.step.assign(SWITCH)
    history = system.fit(tf.data.Dataset.from_tensors(images).repeat(2), epochs=1, shuffle=False, verbose=0).history
    present = {name for name, values_ in history.items() if np.isfinite(values_).all()}
    assert present == {"vae_loss", "reconstruction_loss", "continuous_kl", "categorical_kl", "noise_kl"}


# Inference


def test_reconstructions_use_the_inferred_noise(build, images):
    """With next to no deviation in either posterior, and categories that are sure, nothing random is left: G of the
    means.
    """
    system = build()
    for network in ("encoder", "noise_encoder"):
        head = system.networks[network].get_layer("e_log_sigma_sq")
        head.kernel.assign(tf.zeros_like(head.kernel.value))
        head.bias.assign(tf.fill(head.bias.shape, -30.0))
    system.networks["encoder"].get_layer("e_mix").bias.assign([0.0, 500.0, 0.0, 0.0])
    posterior, noise = system.encode(images), system.encode_noise(images)
    assert isinstance(noise, NoisePosterior) and noise.mean.shape == noise.stddev.shape == (8, 7)
    wanted = system.generate(Latents(noise.mean, tf.tile([[0.0, 1.0, 0.0, 0.0]], [8, 1]), posterior.mean))
    for seed in ([1, 2], [3, 4]):
        np.testing.assert_allclose(system.reconstruct(images, tf.constant(seed)), wanted, atol=1e-4)
