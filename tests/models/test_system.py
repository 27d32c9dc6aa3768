"""A system's steps: which optimizer moves what and when, inference, and randomness as a function of seed and step."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from common.models import registry
from common.models.adversarial import adam
from common.models.infovaegan import CodeNoise
from common.models.system import System
from common.nn.distributions import Latents, sample_prior
from common.nn.layers import linear
from helpers.systems import EVERY, NETWORKS, assign, make_config, sampled, tried, values


def trainable(system):
    """The networks' trainable variables as arrays, by network."""
    return {name: [v.numpy() for v in system.networks[name].trainable_variables] for name in NETWORKS}


def flat(tensors):
    """Those that there are, as arrays."""
    return [v.numpy() for v in tf.nest.flatten(tensors) if v is not None]


def same(before, after):
    return all((a == b).all() for a, b in zip(before, after, strict=True))


# Updates


MOVES = [
    ("system", "d", {"discriminator"}),
    ("system", "g", {"generator"}),
    ("system", "q", {"encoder", "generator"}),
    ("system", "vae", {"encoder"}),
    ("infogan", "d", {"discriminator"}),
    ("infogan", "g", {"generator"}),
    ("infogan", "q", {"encoder", "generator"}),
]


@pytest.mark.parametrize(("name", "optimizer", "moved"), MOVES, ids=[f"{n}-{o}" for n, o, _ in MOVES])
def test_an_optimizer_moves_its_networks_and_no_other(request, monkeypatch, images, name, optimizer, moved):
    """One iteration in which only this optimizer is let through: every kernel of its networks moves,
    nothing else does.
    """
    system = request.getfixturevalue(name)
    before, apply = trainable(system), type(system).apply_gradients
    monkeypatch.setattr(
        type(system),
        "apply_gradients",
        lambda self, gradients: apply(self, {k: g for k, g in gradients.items() if k == optimizer}),
    )
    system.update(images, sampled(system))
    after = trainable(system)
    for network in NETWORKS:
        if network in moved:
            kernels = [i for i, v in enumerate(system.networks[network].trainable_variables) if v.name == "kernel"]
            assert all((before[network][i] != after[network][i]).mean() > 0.5 for i in kernels)
        else:
            assert same(before[network], after[network]), network
    assert {k for k, o in system.optimizers.items() if int(o.iterations)} == {optimizer}


@pytest.mark.parametrize("name", ["system", "infogan"])
def test_an_iteration_is_d_then_all_else_at_the_same_parameters(request, images, name):
    """Section 4: D steps first, the other gradients are all taken against the new D before any is applied, then applied
    G, Q, (VAE).
    """
    system = request.getfixturevalue(name)
    random = sampled(system)
    latents = random.latents
    losses, moved = tried(system, images, random)
    fake, vjp = system.generate_with_vjp(latents)
    _, d_gradients = system.discriminator_pass(images, fake, random)
    old_g_loss = float(system.generator_pass(fake, vjp, random)[0]["g_loss"])
    system.optimizers["d"].apply(d_gradients["d"], system.networks["discriminator"].trainable_variables)
    again, gradients = system.generator_pass(fake, vjp, random)
    for optimizer in [o for o in ("g", "q", "vae") if o in system.optimizers]:
        system.optimizers[optimizer].apply(gradients[optimizer], system.variables_of(optimizer))
    for key, v in values(system).items():
        if key.startswith(NETWORKS) and "moving_" not in key:  # generator_pass ran once more here.
            np.testing.assert_allclose(v, moved[key], rtol=1e-4, atol=2e-5, err_msg=key)
    assert float(losses["g_loss"]) == pytest.approx(float(again["g_loss"]), rel=1e-5)
    assert abs(float(losses["g_loss"]) - old_g_loss) > 1e-3


def test_training_moves_the_averages_and_inference_does_not(system, images):
    """Each training pass moves them; `generate` and `encode` leave every variable as it is."""
    random = sampled(system)
    latents = random.latents
    averages = {key: v for key, v in system.state().items() if "/moving_" in key}
    system.generate_with_vjp(latents)
    moved = {key for key, v in averages.items() if (v.numpy() != (0 if "mean" in key else 1)).any()}
    assert moved == {key for key in averages if key.startswith("generator/")}
    system.update(images, random)
    assert all((v.numpy() != (0 if "mean" in key else 1)).any() for key, v in averages.items())
    before = values(system)
    made, posterior = system.generate(latents), system.encode(images)
    for key, v in values(system).items():
        np.testing.assert_array_equal(v, before[key], err_msg=key)
    np.testing.assert_allclose(
        made, system.networks["generator"]([latents.noise, latents.code], training=True), rtol=1e-5, atol=1e-5
    )  # Batch statistics.
    wanted = system.networks["encoder"](images, training=True)
    for key in ("logits", "mean", "stddev"):
        np.testing.assert_allclose(getattr(posterior, key), wanted[key], rtol=1e-4, atol=1e-5)


TRAINED = {**EVERY, "infovaegan_paper separate": {"variant": "paper", "stages": "separate", "switch_step": 4}}


@pytest.mark.parametrize("name", TRAINED)
def test_training_is_the_same_under_all_inference_statistics(make_config, images, name):
    """Step 4, which is one of inference in the paper's variant, from the same weights: the same losses and state."""
    results = []
    for statistics in ("batch", "standing"):
        system = registry.build(make_config(**TRAINED[name], batch_norm=statistics))
        system.step.assign(4)
        losses = system.train_step(images)
        results.append({**losses, **values(system)})
    for key, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][key], err_msg=key)


# Inference


@pytest.mark.parametrize("name", ["system", "infogan"])
def test_reconstructions_use_inferred_codes_and_arbitrary_noise(request, images, name):
    """Section 7. With codes that leave nothing to chance, what differs between seeds is z, which comes
    from the prior.
    """
    system = request.getfixturevalue(name)
    encoder = system.networks["encoder"]
    encoder.get_layer("e_mix").bias.assign([0.0, 500.0, 0.0, 0.0])
    if name == "system":
        head = encoder.get_layer("e_log_sigma_sq")
        head.kernel.assign(tf.zeros_like(head.kernel.value))
        head.bias.assign(tf.fill(head.bias.shape, -30.0))
    assert not system.can("infer_noise")
    code = tf.concat([tf.tile([[0.0, 1.0, 0.0, 0.0]], [8, 1]), system.encode(images).mean], axis=1)
    seeds = [tf.constant(seed, tf.int32) for seed in ([1, 2], [1, 2], [1, 3])]
    first, again, other = (system.reconstruct(images, seed).numpy() for seed in seeds)
    assert first.shape == images.shape
    np.testing.assert_array_equal(first, again)
    assert (np.abs(first - other).max(axis=(1, 2, 3)) > 1e-4).all()
    noise = sample_prior(system.config.latent, 8, tfp.random.split_seed(seeds[0], 3)[1]).noise
    np.testing.assert_allclose(first, system.generate(Latents(noise, code[:, :4], code[:, 4:])), atol=1e-4)


# Randomness


def test_latents_and_noise_are_a_function_of_seed_and_step(system):
    """Not of how often or in what order they are sampled, nor of the weights; compiled or eager makes no difference."""
    random = sampled(system)
    assert isinstance(random.latents, Latents) and isinstance(random.noise, CodeNoise)
    assert [v.shape for v in random.latents] == [(8, 7), (8, 4), (8, 3)]
    assert [v.shape for v in flat(random.noise)] == [(8, 3), (8, 4), (8, 3), (8, 4), (8, 3)]
    first = flat(random)
    assert all((a != b).any() for a, b in zip(first, flat(sampled(system, step=6)), strict=True))
    assert same(first, flat(sampled(system)))
    compiled = tf.function(lambda step: system.sample_step(step, 8))(tf.constant(5, tf.int64))
    assert same(first, flat(compiled))
    config, system.config = system.config, dataclasses.replace(system.config, seed=1)
    try:
        assert all((a != b).any() for a, b in zip(first, flat(sampled(system)), strict=True))
    finally:
        system.config = config


def test_a_step_has_fresh_noise_at_each_of_the_three_places(system):
    noise = sampled(system).noise
    normals = [noise.real.normal.numpy(), noise.fake.normal.numpy(), noise.estimate.numpy()]
    assert all((normals[i] != normals[j]).all() for i, j in ((0, 1), (0, 2), (1, 2)))
    assert (noise.real.uniform.numpy() != noise.fake.uniform.numpy()).all()


def test_the_step_counts_and_chooses_the_latents(system, images, monkeypatch):
    seen = []

    def update(self, x, random):
        seen.append(random)
        return {name: tf.constant(float(len(seen))) for name in self.trackers}

    monkeypatch.setattr(type(system), "update", update)
    for tracker in system.trackers.values():
        tracker.reset_state()
    system.train_step(images)
    report = system.train_step(images)
    assert int(system.step) == 2
    for step, random in enumerate(seen):
        assert same(flat(random), flat(sampled(system, step)))
    assert {name: float(v) for name, v in report.items()} == {
        "d_loss": 1.5,
        "g_loss": 1.5,
        "q_loss": 1.5,
        "vae_loss": 1.5,
    }


def test_epoch_means_are_summed_in_the_variable(system):
    """With an addition in the graph, TensorFlow may add total + (a + b) in another order."""
    tracker = next(iter(system.trackers.values()))
    tracker.reset_state()

    @tf.function
    def report(a, b, weight):
        tracker.update_state(a + b, sample_weight=weight)
        return tracker.result()

    assert [float(report(*values)) for values in ((1.0, 2.0, 1.0), (9.0, 9.0, 0.0), (3.0, 4.0, 1.0))] == [3.0, 3.0, 5.0]
    scalar = tf.TensorSpec((), tf.float32)
    operations = [node.type for node in report.get_concrete_function(scalar, scalar, scalar).graph.get_operations()]
    assert operations.count("AddV2") == 1 and operations.count("AssignAddVariableOp") == 2


def test_three_steps_are_a_function_of_the_seed(make_config, images):
    """The same seed gives the same bits in a second system; another seed gives other weights in every layer."""

    def trained(seed):
        system = registry.build(make_config(seed=seed, batch_size=4))
        for _ in range(3):
            system.train_step(images[:4])
        kernels = [
            v.numpy() for name in NETWORKS for v in system.networks[name].trainable_variables if v.name == "kernel"
        ]
        assert all(np.isfinite(kernel).all() for kernel in kernels)
        keras.backend.clear_session()
        return kernels

    first = trained(0)
    assert same(first, trained(0))
    assert all((a != b).mean() > 0.9 for a, b in zip(first, trained(1), strict=True))


def test_fit_runs_the_compiled_step(system, images):
    """Two steps of `fit` end where two calls of `train_step` end, up to rounding, and report the mean of the losses."""
    start = values(system)
    history = system.fit(tf.data.Dataset.from_tensors(images).repeat(2), epochs=1, shuffle=False, verbose=0)
    assert int(system.step) == 2
    fitted = {name: means[0] for name, means in history.history.items()}
    assert fitted.keys() == {"d_loss", "g_loss", "q_loss", "vae_loss"}
    assign(system, start)
    for tracker in system.trackers.values():
        tracker.reset_state()
    system.train_step(images)
    report = system.train_step(images)
    for name, value in fitted.items():
        assert value == pytest.approx(float(report[name]), rel=2e-2), name


def test_all_learning_rates_decay_together_if_asked_to():
    """Half after two updates, and so on, or from the named update on; constant otherwise."""
    for half_life, hold, share in ((None, 0, 1.0), (2, 0, 0.5**1.5), (2, 2, 0.5**0.5), (2, 3, 1.0), (2, 7, 1.0)):
        hyper = make_config(learning_rate_half_life=half_life, learning_rate_hold=hold).hyper
        optimizer = adam(1e-2, hyper)
        variable = keras.Variable(0.0)
        optimizer.build([variable])
        for _ in range(3):
            optimizer.apply([tf.ones([])], [variable])
        assert float(optimizer.learning_rate) == pytest.approx(1e-2 * share)


# State


@pytest.mark.parametrize("name", EVERY)
def test_state_names_every_variable_once(build_system, name):
    system = build_system(**EVERY[name])
    variables = [v for network in system.networks.values() for v in network.variables]
    moments = [2 * len(system.variables_of(name)) + 3 for name in system.optimizers]
    assert len(system.state()) == 2 + 2 * len(system.trackers) + len(variables) + sum(moments)


def test_two_variables_of_one_name_are_an_error(make_config):
    block = keras.layers.Bidirectional(keras.layers.LSTM(2, name="lstm"), name="block")
    network = keras.Sequential([keras.Input((3, 2)), block])
    with pytest.raises(AssertionError, match="two variables of infovaegan_code are both called encoder/block/kernel"):
        System(make_config(), {"encoder": network}, {}, ()).state()


def test_nested_layers_of_one_name_have_paths_of_their_own(make_config):
    def block(name):
        inputs = keras.Input((2,))
        return keras.Model(inputs, linear(2, 0, "same")(inputs), name=name)

    inputs = keras.Input((2,))
    network = keras.Model(inputs, block("second")(block("first")(inputs)))
    state = System(make_config(), {"encoder": network}, {}, ()).state()
    assert {"encoder/first/same/kernel", "encoder/second/same/kernel"} < state.keys()


@pytest.mark.parametrize("name", EVERY)
def test_a_system_without_training_has_no_optimizers(make_config, name):
    config = make_config(**EVERY[name])
    system, trained = registry.build(config, training=False), registry.build(config)
    assert not system.optimizers and trained.optimizers
    for network in system.networks:
        for a, b in zip(system.networks[network].variables, trained.networks[network].variables, strict=True):
            np.testing.assert_array_equal(a, b)
