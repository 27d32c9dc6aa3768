"""What the variational autoencoders share: pixels, priors, one optimizer, and defaults per data set."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.config import LatentSpec
from common.errors import UserError
from common.models import baselines, registry
from common.nn.distributions import Latents
from common.nn.vae_networks import build_conv_decoder, build_conv_encoder
from helpers.systems import EVERY, make_config, sampled, values

MODELS = ("betavae", "factorvae", "jointvae", "infocatvae")


@pytest.mark.parametrize("model", MODELS)
def test_an_update_moves_every_kernel(build_system, images, model):
    """On black and white noise: resized, grey noise has so little contrast that a third of the ReLUs stay at 0."""
    system = build_system(**EVERY[model])
    before = values(system)
    losses = system.update(tf.round(images), sampled(system))
    after = values(system)
    assert set(system.trackers) <= losses.keys() and all(np.isfinite(float(v)) for v in losses.values())
    kernels = [name for name in before if name.endswith("/kernel") and name.split("/")[0] in system.networks]
    assert kernels and all((before[name] != after[name]).mean() > 0.5 for name in kernels)


@pytest.mark.parametrize("model", MODELS)
def test_a_step_is_a_function_of_seed_and_step(build_system, model):
    system = build_system(**EVERY[model])
    first, again, other = (tf.nest.flatten(sampled(system, step)) for step in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_images_in_minus_one_to_one_are_mapped_and_back(build_system, images, model):
    """The same weights see the same pixels, whichever way images are scaled."""
    unit, tanh = build_system(**EVERY[model]), build_system(**EVERY[model], scaling="tanh")
    seed = tf.constant([0, 1])
    wanted = unit.reconstruct(images, seed).numpy()
    np.testing.assert_allclose(tanh.reconstruct(images * 2 - 1, seed), wanted * 2 - 1, atol=1e-5)
    latents = unit.sample_prior(4, seed)
    np.testing.assert_allclose(tanh.generate(latents), unit.generate(latents) * 2 - 1, atol=1e-6)
    losses = unit.update(images, sampled(unit)), tanh.update(images * 2 - 1, sampled(tanh))
    np.testing.assert_allclose(losses[0]["loss"], losses[1]["loss"], rtol=1e-5)


def test_prior_codes_are_normal_and_categories_uniform(build_system):
    latents = build_system(**EVERY["jointvae"]).sample_prior(20_000, tf.constant([1, 2]))
    assert latents.noise.shape == (20_000, 0)
    np.testing.assert_allclose(np.mean(latents.category, axis=0), 0.25, atol=0.02)
    assert set(np.unique(latents.category)) == {0.0, 1.0}
    np.testing.assert_allclose(np.mean(latents.continuous, axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.std(latents.continuous, axis=0), 1, atol=0.03)


def test_reconstructions_use_mean_and_likeliest_category(build_system, images):
    system = build_system(**EVERY["jointvae"])
    posterior = system.encode(images)
    category = np.eye(4, dtype=np.float32)[np.argmax(posterior.logits, axis=1)]
    wanted = system.generate(Latents(tf.zeros([8, 0]), tf.constant(category), posterior.mean))
    np.testing.assert_allclose(system.reconstruct(images, tf.constant([0, 1])), wanted, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_noise_is_refused(model):
    latent = EVERY[model]["latent"]
    config = make_config(**{**EVERY[model], "latent": LatentSpec(5, latent.categories, latent.continuous)})
    with pytest.raises(UserError, match="--noise must be 0"):
        registry.build(config)


@pytest.mark.parametrize("model", ["jointvae", "infocatvae"])
def test_saved_networks_load_as_they_were(build_system, images, tmp_path, model):
    encoder = build_system(**EVERY[model]).networks["encoder"]
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    inputs = images if model == "jointvae" else [images, tf.ones([8, 400])]
    for name, value in encoder(inputs).items():
        np.testing.assert_array_equal(loaded(inputs)[name], value)


@pytest.mark.parametrize(("side", "convolutions"), [(28, 3), (32, 3), (64, 4)])
def test_networks_have_a_convolution_per_halving(side, convolutions):
    config = make_config(**EVERY["jointvae"], image_shape=(side, side, 3))
    encoder, decoder = build_conv_encoder(config), build_conv_decoder(config)
    assert sum(layer.name.startswith("conv") for layer in encoder.layers) == convolutions
    assert encoder.get_layer("features").output.shape == (None, 4 * 4 * 64)
    assert decoder.output_shape == (None, side, side, 3)


def at_28_and_32_pixels(build):
    """A network for images of each size, with the same weights."""
    small, large = (build(make_config(**EVERY["jointvae"], image_shape=(side, side, 1))) for side in (28, 32))
    large.set_weights(small.get_weights())
    return small, large


def test_small_images_are_encoded_at_32_pixels(images):
    small, large = at_28_and_32_pixels(build_conv_encoder)
    np.testing.assert_allclose(small(images)["mean"], large(tf.image.resize(images, (32, 32)))["mean"], atol=1e-6)


def test_what_is_decoded_at_32_pixels_is_resized_to_28():
    small, large = at_28_and_32_pixels(build_conv_decoder)
    code = tf.random.stateless_normal((2, small.input_shape[1]), seed=(0, 0))
    np.testing.assert_allclose(small(code), tf.image.resize(large(code), (28, 28)), atol=1e-6)


def test_other_images_have_no_networks():
    with pytest.raises(UserError, match="no networks for images of 30x30x1"):
        build_conv_encoder(make_config(**EVERY["betavae"], image_shape=(30, 30, 1)))


@pytest.mark.parametrize(
    ("model", "dataset", "latent", "epochs", "hyper"),
    [
        ("betavae", "dsprites", (0, 0, 10), 26, {"beta": 4.0, "learning_rate": 1e-4}),
        ("factorvae", "celeba", (0, 0, 10), 1, {"total_correlation_weight": 6.4, "discriminator_rate": 1e-5}),
        ("jointvae", "mnist", (0, 10, 10), 100, {"capacity_weight": 30.0, "capacity_steps": 25_000}),
        ("jointvae", "dsprites", (0, 3, 6), 30, {"continuous_capacity": 40.0, "categorical_capacity": 1.1}),
        ("infocatvae", "mnist", (0, 10, 20), 100, {"prior_mean": 2.0, "test_dropout": False}),
    ],
)
def test_defaults_follow_the_data_set(model, dataset, latent, epochs, hyper):
    config = registry.with_system(make_config(dataset=dataset), model, "code")
    assert config.latent == LatentSpec(*latent) and config.epochs == epochs
    assert {name: getattr(config.hyper, name) for name in hyper} == hyper


def test_every_set_of_sizes_is_in_range():
    for model, datasets in baselines.SIZES.items():
        for dataset in datasets:
            config = registry.with_system(make_config(dataset=dataset or "mnist"), model, "code")
            assert config.batch_size == (128 if model == "infocatvae" else 64)
