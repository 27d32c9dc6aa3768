"""The systems by name, their optimizers and settings, and their losses and gradients against plain computations."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from common.config import LatentSpec
from common.errors import UserError
from common.models import registry
from common.models.system import System
from common.nn import losses
from common.nn.augment import apply_affine, erase
from common.nn.optimizers import TF1Adam
from helpers import systems
from helpers.systems import NETWORKS, make_config, sampled, tried

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
    """u ~ q(u|x) in float64, from the encoder's outputs (section 3)."""
    uniform, normal = (np.asarray(n, np.float64) for n in (noise.uniform, noise.normal))
    gumbel = -np.log(-np.log(uniform + 1e-20) + 1e-20)
    category = softmax((np.log(softmax(posterior["logits"]) + 1e-10) + gumbel) / 0.1)
    return tf.constant(np.concatenate([category, posterior["mean"] + posterior["stddev"] * normal], axis=1), tf.float32)


NARROW = {"width": 0.125}  # At the original's width, each system kept for this file takes hundreds of MB.
WITHOUT_CATEGORY = LatentSpec(noise=7, categories=0, continuous=3)
# What the encoder may be told to see instead of x' (the views themselves: test_views).
VIEWS = [{}, {"encoder_shift": 2, "encoder_shear": 0.3, "encoder_stretch": 0.2}, {"encoder_shift": 2}]


def viewed(images, view):
    """Images as the encoder sees them; for shifts alone, each padded with its edge and cut out again."""
    if view is None:
        return images
    if np.any(view.shear != 0) or np.any(view.stretch != 1):
        return apply_affine(images, view)
    most, (height, width) = 2, images.shape[1:3]
    padded = images
    for _ in range(most):
        padded = tf.pad(padded, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    cut = [
        image[most - down : most - down + height, most - right : most - right + width]
        for image, (down, right) in zip(padded, view.shift.numpy().astype(int), strict=True)
    ]
    return tf.stack(cut)


# Systems by name


@pytest.mark.parametrize("spec", registry.specs(), ids=lambda spec: f"{spec.model}-{spec.variant}")
def test_every_registered_system_can_be_loaded(spec):
    assert issubclass(spec.load(), System)


def test_infogan_differs_from_the_main_scripts_in_two_values():
    """Sections 2 and 4: a first batch norm, and G learns at ten times the rate."""
    main, infogan = (registry.find(model, "code").hyperparameters() for model in ("infovaegan", "infogan"))
    own = {name: value for name, value in vars(infogan).items() if getattr(main, name) != value}
    assert own == {"generator_multiplier": 10.0, "first_batch_norm": True}


def test_another_system_brings_its_defaults_and_takes_changes():
    config = registry.with_system(make_config(), "infogan", "code", learning_rate=1e-3)
    assert config == make_config(model="infogan", learning_rate=1e-3)
    assert registry.with_system(config, "infogan", "code", width=0.5).hyper.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"model": "vae"},
            "there is no --model vae with --variant code; there are: .*infogan, infovaegan, infovaegan paper",
        ),
        ({"variant": "poster"}, "there is no --model infovaegan with --variant poster"),
        ({"colours": 3}, "--colours is not a flag of the paper's InfoVAEGAN"),
        ({"critic_steps": 0}, "--critic-steps must be at least 1, got 0"),
        ({"critic_steps": True}, "--critic-steps must be a whole number, got True"),
        ({"critic_steps": 2.0}, "--critic-steps must be a whole number, got 2.0"),
        ({"penalty_weight": "10"}, "--penalty-weight must be a number, got 10"),
        ({"penalty_weight": float("nan")}, "--penalty-weight must be finite, got nan"),
        ({"learning_rate": 0.0}, "--learning-rate must be above 0, got 0.0"),
        ({"mutual_information": 1}, "--mutual-information must be true or false, got 1"),
        ({"stages": 1}, "--stages must be one of interleaved, separate, got 1"),
        ({"stages": "separate"}, "--stages separate requires --switch-step above 0"),
        ({"restart_below": 92.0}, "--restart-below is a fraction, got 92"),
        ({"learning_rate_hold": 5}, "--learning-rate-hold requires --learning-rate-half-life"),
        (
            {"rim_multiplier": 1.0, "rim_shift": 0, "rim_shear": 0, "rim_stretch": 0},
            "--rim-multiplier requires --rim-shift",
        ),
        ({"rim_erase": 5}, "--rim-erase requires --rim-both-ways"),
    ],
)
def test_wrong_systems_and_values_are_one_line_errors(changes, words):
    model, variant = changes.pop("model", "infovaegan"), changes.pop("variant", "paper" if changes else "code")
    with pytest.raises(UserError, match=words):
        registry.with_system(make_config(), model, variant, **changes)


@pytest.mark.parametrize("name", ["noise", "continuous"])
def test_latents_that_a_system_needs_must_not_be_empty(name):
    latent = dataclasses.replace(make_config().latent, **{name: 0})
    with pytest.raises(UserError, match=f"--{name} must be above 0 for InfoVAEGAN"):
        registry.build(make_config(latent=latent))


@pytest.mark.parametrize("changes", [{"rim_multiplier": 1.0}, {"restart_below": 0.9}], ids=["term", "restarts"])
def test_what_looks_at_categories_needs_some(changes):
    with pytest.raises(UserError, match="requires --categories"):
        registry.build(make_config(latent=WITHOUT_CATEGORY, **changes))


@pytest.mark.parametrize(
    "changes", [{}, {"variant": "paper", "critic_steps": 1}, {"model": "infogan"}, {"model": "ali"}], ids=str
)
def test_without_a_category_the_codes_are_all_there_is(build_system, images, changes):
    system = build_system(latent=WITHOUT_CATEGORY, **changes, **NARROW)
    random = sampled(system)
    assert random.latents.code.shape == (8, 3)
    found, after = tried(system, images, random)
    assert all(np.all(np.isfinite(value)) for value in (*found.values(), *after.values()))
    # The first of a value and, in the paper's variant, its weight.
    assert all(np.ravel(found.get(name, 0))[0] == 0 for name in ("q_disc_loss", "categorical_kl"))
    posterior = system.encode(images)
    assert posterior.logits is None and posterior.mean.shape == (8, 3)
    assert system.reconstruct(images, tf.constant([1, 2])).shape == images.shape


def test_a_configuration_survives_its_json():
    for changes in systems.EVERY.values():
        config = make_config(**changes)
        assert registry.config_from_plain(config.to_dict()) == config


def test_optimizers_have_their_rates_and_variables(system):
    """Section 4: D on the discriminator, G on the generator, Q on encoder and generator, VAE on the encoder, in this
    order.
    """
    assert list(system.optimizers) == ["d", "g", "q", "vae"]
    for (_name, optimizer), multiplier in zip(system.optimizers.items(), (1, 5, 3, 2), strict=True):
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
    assert {name: infogan.optimizer_networks[name] for name in infogan.optimizers} == {
        "d": ("discriminator",),
        "g": ("generator",),
        "q": ("encoder", "generator"),
    }
    np.testing.assert_allclose(
        [o.learning_rate.numpy() for o in infogan.optimizers.values()], [2e-4, 2e-3, 1e-3], rtol=1e-6
    )


# Losses


@pytest.mark.parametrize("settings", VIEWS, ids=["as it is", "views", "moved"])
def test_losses_of_infovaegan(build_system, images, settings):
    """All losses from the networks' outputs in float64, the posterior samples and the assembly written
    out (section 3).
    """
    system = build_system(**settings, **NARROW)
    random = sampled(system)
    latents, noise = random.latents, random.noise
    encoder, generator, discriminator = (lambda *a, n=n: system.networks[n](*a, training=True) for n in NETWORKS)
    fake, vjp = system.generate_with_vjp(latents)
    d_values, _ = system.discriminator_pass(images, fake, random)
    values, _ = system.generator_pass(fake, vjp, random)
    values = {name: float(v) for name, v in {**d_values, **values}.items()}

    real, made = arrays(encoder(images)), arrays(encoder(viewed(fake, random.view)))
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
    random = sampled(infogan)
    latents, noise = random.latents, random.noise
    assert noise is None
    fake, vjp = infogan.generate_with_vjp(latents)
    d_values, _ = infogan.discriminator_pass(images, fake, random)
    values, _ = infogan.generator_pass(fake, vjp, random)
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
    """What D says of the real images does not depend on the fake ones; in one batch with them it would."""
    system = request.getfixturevalue(name)
    random = sampled(system)
    latents = random.latents
    fakes = system.generate_with_vjp(latents)[0], tf.zeros_like(images)
    first, second = (system.discriminator_pass(images, fake, random)[0] for fake in fakes)
    np.testing.assert_allclose(first["d_loss_real"], second["d_loss_real"], rtol=1e-6)
    assert abs(first["d_loss_fake"] - second["d_loss_fake"]) > 1e-4
    discriminator = system.networks["discriminator"]
    batches = [[tf.concat([images, fake], 0), tf.concat([latents.code, latents.code], 0)] for fake in fakes]
    joint = [
        discriminator(b[: len(discriminator.inputs)] if len(discriminator.inputs) > 1 else b[0], training=True)[:8]
        for b in batches
    ]
    assert abs(sigmoid_cross_entropy(joint[0], 1) - sigmoid_cross_entropy(joint[1], 1)) > 1e-4


@pytest.mark.parametrize(
    ("changes", "run", "of_encoder", "other"),
    [
        ({"model": "infogan"}, "generator_pass", "q_loss", "g_loss"),
        ({"variant": "paper"}, "generator_pass", "q_loss", "g_loss"),
        ({"variant": "paper"}, "inference_pass", "categorical_kl", "noise_kl"),
    ],
)
def test_the_encoder_alone_sees_the_view(build_system, changes, run, of_encoder, other):
    plain, system = build_system(**changes, **NARROW), build_system(**changes, **NARROW, **VIEWS[1])
    random = sampled(system)
    fake, vjp = system.generate_with_vjp(random.latents)
    more = (vjp,) if run == "generator_pass" else ()

    def values_of(which, x, view):
        return getattr(which, run)(x, *more, random._replace(view=view))[0]

    got, blind = values_of(system, fake, random.view), values_of(plain, fake, None)
    wanted = values_of(plain, apply_affine(fake, random.view), None)
    assert float(got[of_encoder]) == pytest.approx(float(wanted[of_encoder]), rel=1e-5)
    assert float(got[of_encoder]) != pytest.approx(float(blind[of_encoder]), rel=1e-3)
    assert float(got[other]) == pytest.approx(float(blind[other]), rel=1e-6)


def test_views_change_each_step_and_leave_all_else(build_system):
    system = build_system(**VIEWS[1])
    first, second = (sampled(system, step) for step in (1, 2))
    assert all(not np.array_equal(a, b) for a, b in zip(first.view, second.view, strict=True))
    without = sampled(build_system(), 1)
    assert without.view is None
    tf.nest.map_structure(np.testing.assert_array_equal, without[:2], first[:2])


@pytest.mark.parametrize("name", ["encoder_shift", "encoder_shear", "encoder_stretch"])
def test_each_range_moves_its_own_part_of_a_view(build_system, name):
    view = sampled(build_system(**{name: 1})).view
    parts = zip(view, (1, None, 0), strict=True)
    neutral = [part is value or np.all(part == value) for part, value in parts]
    assert neutral == [name != f"encoder_{part}" for part in ("stretch", "shear", "shift")]


# Instance noise


def test_instance_noise_has_its_deviation_and_changes_each_step(build_system):
    random, following = (sampled(build_system(**NARROW, instance_noise=0.5), step) for step in (1, 2))
    for name in ("real_noise", "fake_noise"):
        assert getattr(random, name).shape == (8, 28, 28, 1)
        np.testing.assert_allclose(np.std(getattr(random, name)), 0.5, rtol=0.05)  # 6,272 values.
        assert not np.array_equal(getattr(random, name), getattr(following, name))
    assert not np.array_equal(random.real_noise, random.fake_noise)
    assert sampled(build_system(**NARROW)).real_noise is None


@pytest.mark.parametrize(
    "changes", [{}, {"model": "infogan"}, {"variant": "paper"}], ids=["infovaegan", "infogan", "paper"]
)
def test_networks_see_noise_and_the_reconstruction_does_not(build_system, images, changes):
    system, plain = build_system(**changes, **NARROW, instance_noise=0.5), build_system(**changes, **NARROW)
    random = sampled(system)
    without = random._replace(real_noise=None, fake_noise=None)
    fake, vjp = system.generate_with_vjp(random.latents)
    noisy = images + random.real_noise, fake + random.fake_noise
    np.testing.assert_allclose(
        system.discriminator_pass(images, fake, random)[0]["d_loss"],
        plain.discriminator_pass(*noisy, without)[0]["d_loss"],
        rtol=1e-5,
    )
    got = system.generator_pass(fake, vjp, random)[0]
    wanted = plain.generator_pass(noisy[1], vjp, without)[0]
    for name in ("g_loss", "q_loss"):
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-5)
    if "reconstruction_loss" in got:
        # 0.25 in each of 784 values, which the reconstruction does not know.
        np.testing.assert_allclose(wanted["reconstruction_loss"] - got["reconstruction_loss"], 196, rtol=0.1)


def test_ali_and_the_term_on_real_images_see_noise_once(build_system, images):
    changes = {"model": "ali", "rim_multiplier": 1.0}
    system, plain = build_system(**changes, **NARROW, instance_noise=0.5), build_system(**changes, **NARROW)
    random = sampled(system)
    got = tried(system, images, random._replace(fake_noise=None))[0]
    wanted = tried(plain, images + random.real_noise, random._replace(real_noise=None, fake_noise=None))[0]
    for name in ("d_loss", "e_loss", "g_loss", "rim_loss"):
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-4)


# Regularised information maximisation


@pytest.mark.parametrize("changes", [{}, {"model": "infogan"}, {"model": "ali"}], ids=["infovaegan", "infogan", "ali"])
def test_the_term_trains_the_encoder_alone_and_after_all_else(build_system, images, changes):
    """With the term, every other loss of the first step and every other network's weights are as
    without, to the bit.
    """
    plain, system = build_system(**changes), build_system(**changes, rim_multiplier=4.0)
    np.testing.assert_allclose(system.optimizers["rim"].learning_rate, 2e-4 * 4, rtol=1e-6)
    random = sampled(system)
    wanted, unchanged = tried(plain, images, random._replace(real_view=None))
    got, after = tried(system, images, random)
    assert got.keys() - wanted.keys() == {"rim_loss"}
    assert all(np.array_equal(got[name], wanted[name]) for name in wanted)
    kernels = [name for name in unchanged if name.endswith("/kernel") and "/m/" not in name and "/v/" not in name]
    differing = {name for name in kernels if not np.array_equal(after[name], unchanged[name])}
    reached = {name for name in kernels if name.startswith("encoder/") and "mean" not in name and "sigma" not in name}
    assert differing == reached


@pytest.mark.parametrize("size", [9, 0])
def test_the_first_steps_learn_both_ways_and_erase_from_views(build_system, images, size):
    """Of two steps, the first alone; without `rim_both_ways`, the loss is that of the second."""
    system = build_system(**NARROW, rim_multiplier=1.0, rim_both_ways=1, rim_erase=size)
    random, encoder = sampled(system), system.networks["encoder"]
    moved = apply_affine(images, random.real_view)

    def term(views, both_ways):
        logits, view_logits = (encoder(x, training=True)["logits"] for x in (images, views))
        return losses.regularised_information(logits, view_logits, both_ways)

    seen = erase(moved, random.erased) if size else moved
    first, others = term(seen, 1), [term(seen, None), *([term(moved, 1)] if size else [])]
    assert min(abs(first - other) for other in others) > 1e-4
    got, gradients = system.information_pass(images, random)
    np.testing.assert_allclose(got["rim_loss"], first, rtol=1e-5)
    system.apply_gradients(gradients)
    got, _ = system.information_pass(images, random)
    np.testing.assert_allclose(got["rim_loss"], term(moved, None), rtol=1e-5)


def test_the_terms_views_are_not_those_of_x(build_system):
    random = sampled(build_system(encoder_shift=3, rim_multiplier=1.0))
    assert not np.array_equal(random.view.shift, random.real_view.shift)


# Width


def test_width_scales_filters_and_units_in_eights(build_system):
    system = build_system(width=0.3)
    shapes = {
        f"{name}/{layer.name}": layer.kernel.shape[-1]
        for name in ("encoder", "discriminator")
        for layer in system.networks[name].layers
        if hasattr(layer, "kernel")
    }
    assert shapes["encoder/e_h1_conv"] == 16 and shapes["discriminator/e_h2_conv"] == 40  # 19.2, 38.4
    assert shapes["encoder/e_h3_lin"] == 304 and shapes["encoder/e_h4_lin"] == 16  # 307.2, 19.2
    generator = system.networks["generator"]
    assert generator.get_layer("g_h2_lin").units == 7 * 7 * 40
    assert generator.get_layer("g_h3").filters == 16 and generator.output_shape == (None, 28, 28, 1)


def test_the_narrowest_networks_have_eight_of_everything(build_system):
    system = build_system(width=1e-6)
    assert {v.shape[-1] for v in system.networks["discriminator"].variables if v.name == "gamma"} == {8}


# Gradients


@pytest.mark.parametrize("settings", VIEWS, ids=["as it is", "views", "moved"])
def test_infovaegans_gradients_are_those_of_the_written_losses(build_system, images, settings):
    """g_loss and q_loss through x' on one tape; vae_loss with x' a constant array; d_loss with u_r a constant array."""
    system = build_system(**settings, **NARROW)
    random = sampled(system)
    latents, noise = random.latents, random.noise
    encoder, generator, discriminator = (system.networks[n] for n in NETWORKS)
    fake, vjp = system.generate_with_vjp(latents)
    _, d_gradients = system.discriminator_pass(images, fake, random)
    _, gradients = system.generator_pass(fake, vjp, random)
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
        q = encoder(viewed(x, random.view), training=True)
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
        q = encoder(viewed(constant, random.view), training=True)
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


def test_infogans_gradients_are_those_of_the_written_losses(infogan, images):
    random = sampled(infogan)
    latents = random.latents
    encoder, generator, discriminator = (infogan.networks[n] for n in NETWORKS)
    fake, vjp = infogan.generate_with_vjp(latents)
    _, d_gradients = infogan.discriminator_pass(images, fake, random)
    _, gradients = infogan.generator_pass(fake, vjp, random)
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


def test_without_mutual_information_q_loss_has_no_gradient(build_system, images):
    """The paper's ablation: q_loss is still reported, g_loss and vae_loss learn as before, and Q never steps."""
    full, system = build_system(), build_system(mutual_information=False)
    random = sampled(full)
    results = []
    for one in (full, system):
        fake, vjp = one.generate_with_vjp(random.latents)
        results.append(one.generator_pass(fake, vjp, random))
    (wanted_values, wanted), (got_values, got) = results
    system.update(images, random)
    assert got.keys() == {"g", "vae"}
    np.testing.assert_allclose(got_values["q_loss"], wanted_values["q_loss"], rtol=1e-5)
    for name in got:
        assert_close(got[name], wanted[name], 1e-3)
    assert {name: int(o.iterations) for name, o in system.optimizers.items()} == {"d": 1, "g": 1, "q": 0, "vae": 1}
