"""The three networks: sizes, names, outputs, initial weights."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.config import LatentSpec
from common.errors import UserError
from common.nn.layers import BatchNorm
from common.nn.networks import build_discriminator, build_encoder, build_generator, build_noise_encoder
from helpers.paths import RECORDINGS as FOLDER

pytestmark = pytest.mark.fast

RECORDINGS = sorted(p for p in FOLDER.glob("*.json") if p.with_suffix(".npz").is_file())

# Trainable parameters of encoder, generator, discriminator. 64 pixels: docs/original.md, section 2. 28 pixels, K = 10
# and C = 2:
#   trunk: 4*4*1*64 + 64 + 4*4*64*128 + 128 + 2*128 = 132,544
#   encoder: trunk + 6272*1024 + 1024 + 2*1024 + 1024*64 + 64 + 2*64 + 64*10 + 10 + 2 (64*2 + 2) = 6,624,782
#   generator: 112*1024 + 1024 + 2*1024 + 1024*6272 + 6272 + 2*6272 + 4*4*128*64 + 64 + 2*64 + 4*4*64*1 + 1 = 6,691,393
#   discriminator: trunk + (6272 + 12)*1024 + 1024 + 2*1024 + 1024 + 1 = 6,571,457
# 32 pixels, 3 channels, K = C = 10, first batch norm (64, no scale):
#   trunk: 3*3*3*64 + 64 + 64 + 3*3*64*128 + 3*128 + 3*3*128*256 + 3*256 + 3*3*256*512 + 3*512 = 1,552,832
#   encoder: trunk + 2048*1024 + 1024 + 3 (1024*10 + 10) = 3,681,758
#   generator: 120*16384 + 16384 + 2*256 + 4 (3*3*256*256 + 3*256) + 3*3*256*3 + 3 = 4,352,259
#   discriminator: trunk + (2048 + 20)*1024 + 1024 + 1024 + 1 = 3,672,513
PARAMETERS = {
    28: (6_624_782, 6_691_393, 6_571_457),
    32: (3_681_758, 4_352_259, 3_672_513),
    64: (9_973_150, 4_644_099, 9_963_905),
}


@pytest.fixture(scope="module", params=PARAMETERS)
def built(request, make_config):
    """(pixels, configuration, encoder, generator, discriminator) at one resolution, in the scripts' sizes."""
    pixels = request.param
    config = make_config(
        image_shape=(pixels, pixels, 1 if pixels == 28 else 3),
        latent=LatentSpec(100, 10, 2 if pixels == 28 else 10),
        first_batch_norm=pixels == 32,
    )
    return pixels, config, build_encoder(config), build_generator(config), build_discriminator(config)


def trainable(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def test_parameter_counts(built):
    pixels, _, *networks = built
    assert tuple(map(trainable, networks)) == PARAMETERS[pixels]


def test_encoder_outputs(built):
    _, config, encoder, _, _ = built
    outputs = encoder(np.random.RandomState(0).uniform(0, 1, (3, *config.image_shape)))
    assert {name: tuple(v.shape) for name, v in outputs.items()} == {
        "logits": (3, 10),
        "mean": (3, config.latent.continuous),
        "stddev": (3, config.latent.continuous),
    }
    assert (outputs["stddev"].numpy() > 0).all()


def test_the_noise_encoder_has_the_encoders_layers(make_config):
    """Section 8: 100 values each of mean and stddev; 6,624,782 parameters less the encoder's 14-value heads, 65 an
    output, and 200 of its own.
    """
    config = make_config(latent=LatentSpec(100, 10, 2))
    network, encoder = build_noise_encoder(config), build_encoder(config)
    assert trainable(network) == PARAMETERS[28][0] - 65 * 14 + 65 * 200
    outputs = network(np.random.RandomState(0).uniform(0, 1, (3, 28, 28, 1)))
    assert {name: tuple(v.shape) for name, v in outputs.items()} == {"mean": (3, 100), "stddev": (3, 100)}
    assert (outputs["stddev"].numpy() > 0).all()
    kernels = [network_.get_layer("e_h1_conv").kernel.numpy() for network_ in (network, encoder)]
    assert (kernels[0] != kernels[1]).mean() > 0.9


@pytest.mark.parametrize("pixels", PARAMETERS)
def test_a_critic_is_a_discriminator_without_batch_norm(make_config, pixels):
    config = make_config(image_shape=(pixels, pixels, 1), first_batch_norm=True)
    critic, discriminator = (
        build_discriminator(config, conditional=False, normalise=normalise) for normalise in (False, True)
    )
    names = [[layer.name for layer in network.layers if layer.weights] for network in (critic, discriminator)]
    norms = [layer.name for layer in discriminator.layers if isinstance(layer, BatchNorm)]
    assert norms and names[0] == [name for name in names[1] if name not in norms]


def test_stddev_is_the_softplus_of_a_linear_layer(built):
    """A bias of -5 in that head gives log(1 + e^-5) where its weights are 0: not exp, not a square root."""
    _, config, encoder, _, _ = built
    head = encoder.get_layer("e_log_sigma_sq")
    kernel, bias = head.get_weights()
    head.set_weights([0 * kernel, 0 * bias - 5])
    outputs = encoder(np.zeros((2, *config.image_shape)))
    head.set_weights([kernel, bias])
    np.testing.assert_allclose(
        outputs["stddev"], np.full((2, config.latent.continuous), np.log1p(np.exp(-5))), rtol=1e-5
    )


def test_generator_outputs(built):
    """Images of the right shape, within the activation's range: its ends are reached when the last bias is large."""
    pixels, config, _, generator, _ = built
    random = np.random.RandomState(0)
    inputs = [random.uniform(-1, 1, (3, n)).astype(np.float32) for n in (100, config.latent.code)]
    images = generator(inputs).numpy()
    assert images.shape == (3, *config.image_shape)
    assert (images[0] != images[1]).any()
    last = generator.get_layer("g_h4" if pixels == 28 else "g_h8")
    bounds = []
    for bias in (-50, 50):
        last.bias.assign(np.full(last.bias.shape, bias))
        bounds.append(generator(inputs).numpy())
    last.bias.assign(np.zeros(last.bias.shape))
    np.testing.assert_allclose(bounds[0], 0 if pixels == 28 else -1, atol=1e-6)
    np.testing.assert_allclose(bounds[1], 1, atol=1e-6)


def test_the_generator_uses_noise_and_code(built):
    _, config, _, generator, _ = built
    random = np.random.RandomState(0)
    noise, code = (random.uniform(-1, 1, (3, n)).astype(np.float32) for n in (100, config.latent.code))
    images = generator([noise, code]).numpy()
    assert (generator([noise[::-1].copy(), code]).numpy() != images).any()
    assert (generator([noise, code[::-1].copy()]).numpy() != images).any()
    kernel = generator.get_layer("g_h1_lin").kernel  # concat(z, u), in that order.
    assert kernel.shape[0] == 100 + config.latent.code
    first = keras.Model(generator.inputs, generator.get_layer("g_h1_lin").output)
    np.testing.assert_allclose(first([noise, code]), np.concatenate([noise, code], axis=1) @ kernel.numpy(), atol=1e-5)


def test_the_discriminators_logit_depends_on_image_and_code(built):
    _, config, _, _, discriminator = built
    random = np.random.RandomState(0)
    images, code = random.uniform(0, 1, (3, *config.image_shape)), random.uniform(-1, 1, (3, config.latent.code))
    logits = discriminator([images, code]).numpy()
    assert logits.shape == (3, 1)
    assert (discriminator([images, -code]).numpy() != logits).any()
    assert (discriminator([images[::-1].copy(), code]).numpy() != logits).any()


def test_the_first_batch_norm_has_no_scale_and_tf1s_defaults(built):
    pixels, _, encoder, generator, discriminator = built
    for network in (encoder, discriminator):
        names = [layer.name for layer in network.layers]
        assert ("BatchNorm" in names) == (pixels == 32)
        if pixels == 32:
            layer = network.get_layer("BatchNorm")
            assert [v.name for v in layer.variables] == ["beta", "moving_mean", "moving_variance"]
            assert (layer.momentum, layer.epsilon) == (0.999, 1e-3)
            assert names.index("BatchNorm") == names.index("e_h1_conv") + 1
            assert isinstance(network.layers[names.index("BatchNorm") + 1], keras.layers.LeakyReLU)
    assert "BatchNorm" not in [layer.name for layer in generator.layers]


def test_every_other_batch_norm_is_the_originals(built):
    _, _, *networks = built
    layers = [
        layer for network in networks for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert layers and all(isinstance(layer, BatchNorm) for layer in layers)
    for layer in layers:
        if layer.name != "BatchNorm":
            assert (layer.momentum, layer.epsilon, layer.scale, layer.center, layer.statistics) == (
                0.9,
                1e-5,
                True,
                True,
                "batch",
            )


def test_batch_norm_mode_reaches_every_layer(make_config):
    config = make_config(batch_norm="moving", first_batch_norm=True)
    for build in (build_encoder, build_generator, build_discriminator):
        modes = {layer.statistics for layer in build(config).layers if isinstance(layer, BatchNorm)}
        assert modes == {"moving"}


def test_initial_weights(built):
    """Kernels with sd 0.02 (0.88 of it for a truncated normal), zero biases, scales of 1, and averages at 0 and 1."""
    _, _, *networks = built
    for network in networks:
        for layer in network.layers:
            for v in layer.variables:
                value = v.numpy()
                if v.name == "kernel":
                    deviation = 0.02 * (0.879626 if isinstance(layer, keras.layers.Conv2D) else 1)
                    np.testing.assert_allclose(value.std() / deviation, 1, atol=5 / np.sqrt(2 * value.size))
                    assert abs(value.mean()) < 5 * deviation / np.sqrt(value.size)
                else:
                    wanted = {"bias": 0, "beta": 0, "gamma": 1, "moving_mean": 0, "moving_variance": 1}[v.name]
                    np.testing.assert_array_equal(value, np.full(value.shape, wanted))


def test_no_two_kernels_start_alike(built):
    """Layers of the same name in encoder and discriminator, and layers of the same shape in the generator, differ."""
    _, _, *networks = built
    starts = [
        tuple(v.numpy().ravel()[:8]) for network in networks for v in network.trainable_variables if v.name == "kernel"
    ]
    assert len(set(starts)) == len(starts)
    encoder, discriminator = (
        networks[0].get_layer("e_h1_conv").kernel.numpy(),
        networks[2].get_layer("e_h1_conv").kernel.numpy(),
    )
    assert (encoder != discriminator).mean() > 0.99


def test_initial_weights_are_a_function_of_the_seed(make_config):
    first, again, other = (build_encoder(make_config(seed=seed)) for seed in (0, 0, 1))
    for a, b, c in zip(first.trainable_variables, again.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.name != "kernel" or (a.numpy() != c.numpy()).mean() > 0.99


@pytest.mark.parametrize("shape", [(48, 48, 3), (64, 32, 3), (64, 64, 2), (64, 64, 4), (8, 8, 1), (128, 128, 3)])
def test_sizes_without_networks_are_the_users_mistake(make_config, shape):
    message = f"no networks for images of {shape[0]}x{shape[1]}x{shape[2]}; there are some for 28, 32, 64 pixels"
    for build in (build_encoder, build_generator, build_discriminator):
        with pytest.raises(UserError, match=message):
            build(make_config(image_shape=shape))


def test_infogans_networks_have_no_stddev_and_no_code(make_config):
    config = make_config()
    encoder, discriminator = build_encoder(config, stddev=False), build_discriminator(config, conditional=False)
    assert encoder(np.zeros((2, 28, 28, 1))).keys() == {"logits", "mean"}
    assert discriminator(np.zeros((2, 28, 28, 1))).shape == (2, 1)
    assert len(discriminator.inputs) == 1


def test_a_keras_file_keeps_a_network(make_config, tmp_path):
    generator = build_generator(make_config())
    inputs = [tf.random.stateless_uniform((4, n), seed=[0, n]) for n in (7, 7)]
    generator.save(tmp_path / "generator.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "generator.keras")(inputs), generator(inputs))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_names_and_shapes_are_those_of_the_recorded_graph(make_config, path):
    """Every variable of the original, by scope, layer and kind, and no other."""
    recorded = json.loads(path.read_text())
    wanted = {name: tuple(shape) for name, shape in recorded["variables"].items()}
    config = make_config(
        image_shape=tuple(recorded["image_dims"]),
        first_batch_norm="encoder/BatchNorm/beta" in wanted,
        latent=LatentSpec(recorded["noise_len"], recorded["discrete_len"], recorded["continous_len"]),
    )
    infogan = "encoder/e_log_sigma_sq/bias" not in wanted
    networks = {
        "encoder": build_encoder(config, stddev=not infogan),
        "decoder": build_generator(config),
        "discriminator": build_discriminator(config, conditional=not infogan),
    }
    leaves = {keras.layers.Dense: {"kernel": "Matrix", "bias": "bias"}} | dict.fromkeys(
        (keras.layers.Conv2D, keras.layers.Conv2DTranspose), {"kernel": "w", "bias": "biases"}
    )
    ours = {
        f"{scope}/{layer.name}/{leaves.get(type(layer), {}).get(v.name, v.name)}": tuple(v.shape)
        for scope, network in networks.items()
        for layer in network.layers
        for v in layer.variables
    }
    assert ours == wanted
