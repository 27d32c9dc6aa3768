"""Sizes, names and initial values of the mixture's networks."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.config import LatentSpec
from common.errors import UserError
from common.nn import mixture_networks as networks
from helpers.systems import make_config

DENSE = {"model": "mixture", "latent": LatentSpec(0, 4, 50)}
CONVOLUTIONAL = {"model": "mixture", "latent": LatentSpec(0, 4, 256), "image_shape": (64, 64, 3), "scaling": "tanh"}


def built(changes):
    config = make_config(**changes)
    return (
        networks.build_expert_encoder(config, "encoder1"),
        networks.build_sub_decoder(config, "decoder1"),
        networks.build_final_decoder(config),
    )


def trainable(network):
    return sum(math.prod(v.shape) for v in network.trainable_variables)


def test_dense_parameter_counts():
    """784 x 500 + 500, 500 x 500 + 500 and 500 x 101 + 101 in an encoder."""
    assert [trainable(network) for network in built(DENSE)] == [693_601, 25_500, 643_284]


def test_convolutional_parameter_counts():
    """Convolutions, batch norms and linear layers as docs/mixture.md lists them."""
    convolutions = sum(9 * a * b + b for a, b in ((3, 64), (64, 128), (128, 256), (256, 512)))
    heads = 2 * (1024 * 256 + 256) + 1024 + 1
    encoder = convolutions + 2 * (128 + 256 + 512) + 8192 * 1024 + 1024 + heads
    maps = sum(9 * a * b + 3 * b for a, b in ((256, 256),) * 4 + ((256, 128),))
    assert [trainable(network) for network in built(CONVOLUTIONAL)] == [
        encoder,
        256 * 16384 + 16384 + 2 * 256,
        maps + 9 * 128 * 3 + 3,
    ]


def test_dense_kernels_start_with_variance_scaling_by_fan_in():
    kernel = built(DENSE)[0].get_layer("h0").kernel.numpy()
    scale = math.sqrt(1.3 * 2 / 784)
    assert np.abs(kernel).max() <= 2 * scale
    np.testing.assert_allclose(kernel.std(), 0.88 * scale, rtol=0.02)  # Of a normal truncated at two sd.


def test_experts_start_with_different_weights():
    config = make_config(**DENSE)
    first, second = (networks.build_sub_decoder(config, f"decoder{k}").get_layer("h0").kernel for k in (1, 2))
    assert not np.array_equal(first, second)


def test_stddev_and_mixing_are_softplus_with_a_small_addition():
    encoder = built(DENSE)[0]
    layer = encoder.get_layer("ho")
    layer.kernel.assign(tf.zeros_like(layer.kernel.value))
    layer.bias.assign(tf.concat([tf.fill([50], 3.0), tf.fill([50], -200.0), [0.0]], axis=0))
    outputs = encoder(tf.zeros([1, 28, 28, 1]))
    np.testing.assert_allclose(outputs["mean"], [[3.0] * 50])
    np.testing.assert_allclose(outputs["stddev"], [[1e-6] * 50])
    np.testing.assert_allclose(outputs["mixing"], [[math.log(2) + 1e-6]], rtol=1e-6)


def test_images_are_the_sigmoid_of_the_logits():
    outputs = built({**DENSE, "width": 0.05})[2](tf.random.stateless_normal([2, 24], [1, 2]))
    np.testing.assert_allclose(outputs["images"], tf.sigmoid(outputs["logits"]), rtol=1e-6)


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 3)])
def test_images_of_other_sizes_are_refused(shape):
    with pytest.raises(UserError, match="28x28x1, 64x64x1 or 64x64x3"):
        networks.is_dense(make_config(**{**DENSE, "image_shape": shape}))


@pytest.mark.parametrize("kind", ["bernoulli", "concrete", "gaussian", "hard"])
def test_a_mask_survives_a_keras_file(kind, tmp_path):
    network = networks.build_mask(kind, 3, corrected=True)
    network.save(tmp_path / "mask.keras")
    other = keras.models.load_model(tmp_path / "mask.keras")
    noise = np.full((2, 3, 2) if kind == "bernoulli" else (2, 3), 0.3)
    noise = noise.astype(network.inputs[0].dtype)
    np.testing.assert_array_equal(network(noise), other(noise))
    np.testing.assert_array_equal(network.get_weights()[0], other.get_weights()[0])


def test_outputs_are_float32_in_bfloat16():
    encoder, sub_decoder, final = built({**DENSE, "width": 0.05, "precision": "bfloat16"})
    assert {v.dtype for v in encoder(tf.zeros([2, 28, 28, 1])).values()} == {tf.float32}
    assert {v.dtype for v in final(tf.cast(sub_decoder(tf.zeros([2, 50])), tf.float32)).values()} == {tf.float32}
