"""The systems by name, their optimizers and settings, and their losses and gradients against plain computations."""

import dataclasses
import functools
import importlib

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.models import registry
from common.nn.augment import seen
from common.nn.optimizers import TF1Adam
from helpers import systems
from helpers.systems import NETWORKS, draws

assert_close = functools.partial(systems.assert_close, least=1e-3, negligible=1e-4)


def sigmoid_cross_entropy(logits, label):
    logits = np.asarray(logits, np.float64)
    return (np.logaddexp(0, logits) - label * logits).mean()


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def arrays(posterior):
    return {name: v.numpy().astype(np.float64) for name, v in posterior.items()}


def sample(posterior, noise):
    """u ~ q(u|x) in float64, from the encoder's outputs (REFERENCE section 3)."""
    uniform, normal = (np.asarray(n, np.float64) for n in (noise.uniform, noise.normal))
    gumbel = -np.log(-np.log(uniform + 1e-20) + 1e-20)
    category = softmax((np.log(softmax(posterior["logits"]) + 1e-10) + gumbel) / 0.1)
    return tf.constant(np.concatenate([category, posterior["mean"] + posterior["stddev"] * normal], axis=1), tf.float32)


# What the encoder may be told to see instead of x' (the views themselves: test_views).
VIEWS = [{}, {"encoder_shift": 2, "encoder_shear": 0.3, "encoder_stretch": 0.2}, {"encoder_shift": 2}]


def viewed(images, noise):
    """Images as the encoder sees them; where they are only moved, each padded with its edge, pixel by pixel, and cut out again."""
    if noise.view is None:
        return images
    if np.any(noise.view.shear != 0) or np.any(noise.view.stretch != 1):
        return seen(images, noise.view)
    most, (height, width) = 2, images.shape[1:3]
    padded = images
    for _ in range(most):
        padded = tf.pad(padded, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    shifts = noise.view.shift.numpy().astype(int)
    return tf.stack(
        [
            image[most - down : most - down + height, most - right : most - right + width]
            for image, (down, right) in zip(padded, shifts)
        ]
    )


# Systems by name


@pytest.mark.parametrize("name", registry.SYSTEMS)
def test_every_named_system_can_be_imported(name):
    assert callable(importlib.import_module(f"common.models.{name}").build)


def test_a_systems_own_settings_take_the_place_of_the_scripts(make_config):
    """Sections 2 and 4: the InfoGAN scripts have a first batch norm, and G learns at ten times the rate; nothing else differs."""
    config = make_config(model="infogan")
    assert registry.adapt(config) == dataclasses.replace(config, generator_multiplier=10.0, first_batch_norm=True)
    assert registry.adapt(make_config()) == make_config(
        settings={"encoder_shift": 0, "encoder_shear": 0.0, "encoder_stretch": 0.0, "encoder_shift_after": 0}
    )


def test_an_unknown_system_is_the_users_mistake(make_config):
    for changes in ({"model": "vae"}, {"variant": "poster"}, {"model": "system"}):
        for use in (registry.build, registry.adapt):
            with pytest.raises(UserError, match="no model .* with variant .*; there are: .*infogan, infovaegan"):
                use(make_config(**changes))


def test_optimizers_have_their_rates_and_variables(system):
    """Section 4: D on the discriminator, G on the generator, Q on encoder and generator, VAE on the encoder, in this order."""
    assert list(system.optimizers) == ["d", "g", "q", "vae"]
    for (name, optimizer), multiplier in zip(system.optimizers.items(), (1, 5, 3, 2), strict=True):
        assert isinstance(optimizer, TF1Adam)
        np.testing.assert_allclose(optimizer.learning_rate, 2e-4 * multiplier, rtol=1e-6)
        assert (optimizer.beta1, optimizer.beta2, optimizer.epsilon) == (0.5, 0.999, 1e-8)
    moved = {name: [id(v) for v in system.variables_of(name)] for name in system.optimizers}
    of = {name: [id(v) for v in system.networks[name].trainable_variables] for name in NETWORKS}
    assert moved == {
        "d": of["discriminator"],
        "g": of["generator"],
        "q": of["encoder"] + of["generator"],
        "vae": of["encoder"],
    }


def test_infogans_optimizers(infogan):
    assert {name: infogan.moves[name] for name in infogan.optimizers} == {
        "d": ("discriminator",),
        "g": ("generator",),
        "q": ("encoder", "generator"),
    }
    np.testing.assert_allclose(
        [o.learning_rate.numpy() for o in infogan.optimizers.values()], [2e-4, 1e-3, 6e-4], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"critic_steps": 0}, "critic-steps must be a whole number of at least 1; got 0"),
        ({"critic_steps": True}, "critic-steps must be a whole number"),
        ({"critic_steps": 2.0}, "critic-steps must be a whole number"),
        ({"penalty_weight": "10"}, "penalty-weight must be a number"),
        ({"stages": 1}, "stages must be one of interleaved, separate"),
        ({"colours": 3}, "--colours is no setting of infovaegan with variant paper; it is one of: none"),
    ],
)
def test_settings_from_a_file_are_checked_before_anything_is_built(make_config, settings, words):
    with pytest.raises(UserError, match=words):
        registry.build(make_config(variant="paper", settings=settings))


# Losses


@pytest.mark.parametrize("settings", VIEWS, ids=["as it is", "views", "moved"])
def test_losses_of_infovaegan(build_system, images, settings):
    """All losses from the networks' outputs in float64, the posterior samples and the assembly written out (section 3)."""
    system = build_system(settings=settings)
    latents, noise = draws(system)
    encoder, generator, discriminator = (lambda *a, n=n: system.networks[n](*a, training=True) for n in NETWORKS)
    fake, vjp = system.generate_with_vjp(latents)
    d_values, _ = system.discriminator_pass(images, fake, latents, noise)
    values, _ = system.generator_pass(fake, vjp, latents, noise)
    values = {name: float(v) for name, v in {**d_values, **values}.items()}

    real, made = arrays(encoder(images)), arrays(encoder(viewed(fake, noise)))
    d, c = np.split(latents.code.numpy().astype(np.float64), [4], axis=1)
    p, m, s = softmax(made["logits"]), made["mean"], made["stddev"]
    real_logits, fake_logits = discriminator([images, sample(real, noise.real)]), discriminator([fake, latents.code])
    reconstruction = generator([latents.noise, sample(made, noise.fake)]).numpy().astype(np.float64)
    wanted = {
        "d_loss_real": sigmoid_cross_entropy(real_logits, 1),
        "d_loss_fake": sigmoid_cross_entropy(fake_logits, 0),
        "g_loss": sigmoid_cross_entropy(fake_logits, 1),
        "q_disc_loss": -(d * np.log(p)).sum(axis=1).mean(),
        "q_cont_loss": np.square(c - (m + s * noise.estimate.numpy())).sum(axis=1).mean(),
        "reconstruction_loss": np.square(fake.numpy() - reconstruction).sum(axis=(1, 2, 3)).mean(),
        "continuous_kl": 0.5 * (m**2 + s**2 - np.log(1e-8 + s**2) - 1).sum(axis=1).mean(),
        "categorical_kl": (p * (np.log(p + 1e-10) - np.log(1 / 4))).sum(axis=1).mean(),
    }
    wanted["d_loss"] = wanted["d_loss_real"] + wanted["d_loss_fake"]
    wanted["q_loss"] = wanted["q_disc_loss"] + wanted["q_cont_loss"]
    wanted["vae_loss"] = wanted["reconstruction_loss"] + wanted["continuous_kl"] + 0.5 * wanted["categorical_kl"]
    assert values.keys() == wanted.keys()
    for name, value in wanted.items():
        # The relaxed codes at temperature 0.1 amplify rounding.
        assert values[name] == pytest.approx(
            value, rel=1e-4 if name in ("reconstruction_loss", "vae_loss") else 1e-5, abs=1e-6
        ), name


def test_losses_of_infogan(infogan, images):
    """Section 5: D without codes, a deterministic estimate of c, no vae_loss."""
    latents, noise = draws(infogan)
    assert noise is None
    fake, vjp = infogan.generate_with_vjp(latents)
    d_values, _ = infogan.discriminator_pass(images, fake, latents)
    values, _ = infogan.generator_pass(fake, vjp, latents)
    values = {name: float(v) for name, v in {**d_values, **values}.items()}

    discriminator, posterior = (
        infogan.networks["discriminator"],
        arrays(infogan.networks["encoder"](fake, training=True)),
    )
    real_logits, fake_logits = discriminator(images, training=True), discriminator(fake, training=True)
    d, c = np.split(latents.code.numpy().astype(np.float64), [4], axis=1)
    wanted = {
        "d_loss_real": sigmoid_cross_entropy(real_logits, 1),
        "d_loss_fake": sigmoid_cross_entropy(fake_logits, 0),
        "g_loss": sigmoid_cross_entropy(fake_logits, 1),
        "q_disc_loss": -(d * np.log(softmax(posterior["logits"]))).sum(axis=1).mean(),
        "q_cont_loss": np.square(c - posterior["mean"]).sum(axis=1).mean(),
    }
    wanted["d_loss"] = wanted["d_loss_real"] + wanted["d_loss_fake"]
    wanted["q_loss"] = wanted["q_disc_loss"] + wanted["q_cont_loss"]
    assert values.keys() == wanted.keys()
    for name, value in wanted.items():
        assert values[name] == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("name", ["system", "infogan"])
def test_real_and_fake_images_have_batch_statistics_of_their_own(request, images, name):
    """What D says of the real images does not depend on the fake ones; in one joint batch it would."""
    system = request.getfixturevalue(name)
    latents, noise = draws(system)
    fakes = system.generate_with_vjp(latents)[0], tf.zeros_like(images)
    first, second = (system.discriminator_pass(images, fake, latents, noise)[0] for fake in fakes)
    np.testing.assert_allclose(first["d_loss_real"], second["d_loss_real"], rtol=1e-6)
    assert abs(first["d_loss_fake"] - second["d_loss_fake"]) > 1e-4
    discriminator = system.networks["discriminator"]
    batches = [[tf.concat([images, fake], 0), tf.concat([latents.code, latents.code], 0)] for fake in fakes]
    joint = [
        discriminator(b[: len(discriminator.inputs)] if len(discriminator.inputs) > 1 else b[0], training=True)[:8]
        for b in batches
    ]
    assert abs(sigmoid_cross_entropy(joint[0], 1) - sigmoid_cross_entropy(joint[1], 1)) > 1e-4


def test_views_are_drawn_a_step_and_all_else_is_as_without(build_system):
    how = VIEWS[1]
    system, later = build_system(settings=how), build_system(settings={**how, "encoder_shift_after": 2})
    first, second = (draws(system, step)[1].view for step in (1, 2))
    assert all(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    before, after = (draws(later, step)[1].view for step in (1, 2))
    assert [np.unique(part).tolist() for part in before] == [[1], [0], [0]]
    tf.nest.map_structure(np.testing.assert_array_equal, after, second)
    still, drawn = draws(build_system(), 1), draws(system, 1)
    assert still[1].view is None
    tf.nest.map_structure(np.testing.assert_array_equal, (still[0], still[1][:3]), (drawn[0], drawn[1][:3]))


@pytest.mark.parametrize("name", ["encoder_shift", "encoder_shear", "encoder_stretch"])
def test_each_of_the_three_is_enough_for_a_view(build_system, name):
    changed = [
        not np.array_equal(part, neutral * np.ones_like(part))
        for part, neutral in zip(draws(build_system(settings={name: 1}))[1].view, (1, 0, 0), strict=True)
    ]
    assert changed == [name == f"encoder_{how}" for how in ("stretch", "shear", "shift")]


def test_until_images_are_moved_steps_are_as_without_to_the_bit(build_system, images):
    without, later = build_system(), build_system(settings={**VIEWS[1], "encoder_shift_after": 2})
    steps = [tf.function(system.train_step) for system in (without, later)]
    for number in range(3):
        for step in steps:
            step(images)
        pairs = zip(systems.values(without).values(), systems.values(later).values(), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) == (number < 2)


# Gradients


@pytest.mark.parametrize("settings", VIEWS, ids=["as it is", "views", "moved"])
def test_gradients_of_infovaegan_are_those_of_the_losses_written_out(build_system, images, settings):
    """g_loss and q_loss through x' on one tape; vae_loss with x' a constant array; d_loss with u_r a constant array."""
    system = build_system(settings=settings)
    latents, noise = draws(system)
    encoder, generator, discriminator = (system.networks[n] for n in NETWORKS)
    fake, vjp = system.generate_with_vjp(latents)
    _, d_gradients = system.discriminator_pass(images, fake, latents, noise)
    _, gradients = system.generator_pass(fake, vjp, latents, noise)
    gradients.update(d_gradients)
    assert gradients.keys() == {"d", "g", "q", "vae"}

    d, c = tf.split(latents.code, [4, 3], axis=1)
    inferred, constant = sample(arrays(encoder(images, training=True)), noise.real), tf.constant(fake.numpy())
    with tf.GradientTape() as tape:
        logits = (
            discriminator([images, inferred], training=True),
            discriminator([constant, latents.code], training=True),
        )
        d_loss = tf.reduce_mean(tf.nn.softplus(-logits[0])) + tf.reduce_mean(tf.nn.softplus(logits[1]))
    assert_close(gradients["d"], tape.gradient(d_loss, discriminator.trainable_variables))

    with tf.GradientTape(persistent=True) as tape:
        x = generator([latents.noise, latents.code], training=True)
        g_loss = tf.reduce_mean(tf.nn.softplus(-discriminator([x, latents.code], training=True)))
        q = encoder(viewed(x, noise), training=True)
        estimate = q["mean"] + q["stddev"] * noise.estimate
        q_loss = tf.reduce_mean(
            -tf.reduce_sum(d * tf.nn.log_softmax(q["logits"]), 1) + tf.reduce_sum((c - estimate) ** 2, 1)
        )
    assert_close(gradients["g"], tape.gradient(g_loss, generator.trainable_variables))
    wanted = tape.gradient(q_loss, [encoder.trainable_variables, generator.trainable_variables])
    # The deviations' head is in q_loss; both parts are checked each on its own scale.
    count = len(wanted[0])
    assert_close(gradients["q"][:count], wanted[0])
    assert_close(gradients["q"][count:], wanted[1])

    with tf.GradientTape() as tape:
        q = encoder(viewed(constant, noise), training=True)
        p = tf.nn.softmax(q["logits"])
        gumbel = -tf.math.log(-tf.math.log(noise.fake.uniform + 1e-20) + 1e-20)
        code = tf.concat(
            [tf.nn.softmax((tf.math.log(p + 1e-10) + gumbel) / 0.1), q["mean"] + q["stddev"] * noise.fake.normal], 1
        )
        reconstruction = generator([latents.noise, code], training=True)
        kl_c = 0.5 * tf.reduce_sum(q["mean"] ** 2 + q["stddev"] ** 2 - tf.math.log(1e-8 + q["stddev"] ** 2) - 1, 1)
        kl_d = tf.reduce_sum(p * (tf.math.log(p + 1e-10) + np.log(4).astype(np.float32)), 1)
        vae_loss = tf.reduce_mean(tf.reduce_sum((constant - reconstruction) ** 2, [1, 2, 3]) + kl_c + 0.5 * kl_d)
    assert_close(gradients["vae"], tape.gradient(vae_loss, encoder.trainable_variables), 1e-3)


def test_gradients_of_infogan_are_those_of_the_losses_written_out(infogan, images):
    latents, _ = draws(infogan)
    encoder, generator, discriminator = (infogan.networks[n] for n in NETWORKS)
    fake, vjp = infogan.generate_with_vjp(latents)
    _, d_gradients = infogan.discriminator_pass(images, fake, latents)
    _, gradients = infogan.generator_pass(fake, vjp, latents)
    gradients.update(d_gradients)
    assert gradients.keys() == {"d", "g", "q"}
    d, c = tf.split(latents.code, [4, 3], axis=1)
    with tf.GradientTape(persistent=True) as tape:
        x = generator([latents.noise, latents.code], training=True)
        fake_logits = discriminator(x, training=True)
        d_loss = tf.reduce_mean(tf.nn.softplus(-discriminator(images, training=True))) + tf.reduce_mean(
            tf.nn.softplus(fake_logits)
        )
        g_loss = tf.reduce_mean(tf.nn.softplus(-fake_logits))
        q = encoder(x, training=True)
        q_loss = tf.reduce_mean(
            -tf.reduce_sum(d * tf.nn.log_softmax(q["logits"]), 1) + tf.reduce_sum((c - q["mean"]) ** 2, 1)
        )
    assert_close(gradients["d"], tape.gradient(d_loss, discriminator.trainable_variables))
    assert_close(gradients["g"], tape.gradient(g_loss, generator.trainable_variables))
    wanted = tape.gradient(q_loss, [encoder.trainable_variables, generator.trainable_variables])
    assert_close(gradients["q"][: len(wanted[0])], wanted[0])
    assert_close(gradients["q"][len(wanted[0]) :], wanted[1])


def test_without_mutual_information_q_loss_has_no_gradient(system, images, make_config):
    """The paper's ablation: q_loss is still reported, g_loss and vae_loss learn as before, and the Q optimizer never steps."""
    latents, noise = draws(system)
    fake, vjp = system.generate_with_vjp(latents)
    wanted_values, wanted = system.generator_pass(fake, vjp, latents, noise)
    full, system.config = system.config, make_config(mutual_information=False)
    try:
        got_values, got = system.generator_pass(fake, vjp, latents, noise)
        system.iterate(images, latents, noise)
    finally:
        system.config = full
    assert got.keys() == {"g", "vae"}
    np.testing.assert_allclose(got_values["q_loss"], wanted_values["q_loss"], rtol=1e-5)
    for name in got:
        assert_close(got[name], wanted[name], 1e-3)
    assert {name: int(o.iterations) for name, o in system.optimizers.items()} == {"d": 1, "g": 1, "q": 0, "vae": 1}
