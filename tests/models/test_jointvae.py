"""JointVAE's loss: both capacities, the cap of the category's, and the Gumbel-softmax sample."""

import math

import numpy as np
import pytest
import tensorflow as tf

from helpers.systems import EVERY, sampled
from helpers.vae import cross_entropy, gaussian_kl

PIXELS = 28 * 28
NETWORK_PIXELS = 32 * 32


def terms(system, images, random, temperature=0.67):
    """(-E log p(x|d, c), E KL_c, E KL_d) written out."""
    posterior = {name: v.numpy().astype(np.float64) for name, v in system.networks["encoder"](images).items()}
    p = np.exp(posterior["logits"])
    p /= p.sum(axis=1, keepdims=True)
    relaxed = np.exp((np.log(p) - np.log(-np.log(random.uniform.numpy().astype(np.float64)))) / temperature)
    category = relaxed / relaxed.sum(axis=1, keepdims=True)
    continuous = posterior["mean"] + posterior["stddev"] * random.normal.numpy()
    logits = system.networks["decoder"](np.concatenate([category, continuous], axis=1).astype(np.float32))
    categorical_kl = (p * np.log(p * p.shape[1])).sum() / len(p)
    return cross_entropy(images, logits), gaussian_kl(posterior["mean"], posterior["stddev"]), categorical_kl


@pytest.mark.parametrize("channels", [1, 3])
def test_without_capacities_a_weight_of_1_gives_a_vae(build_system, images, channels):
    """Of which the reconstruction is a mean over channels."""
    capacities = {"continuous_capacity": 0.0, "categorical_capacity": 0.0, "capacity_weight": 1.0}
    system = build_system(**EVERY["jointvae"], **capacities, image_shape=(28, 28, channels))
    images, random = tf.repeat(images, channels, axis=-1), sampled(system)
    reconstruction, *divergences = terms(system, images, random)
    got = system.objective(images, random)
    assert float(got["reconstruction_loss"]) == pytest.approx(reconstruction, rel=1e-5)
    wanted = reconstruction / channels / PIXELS + sum(divergences) / NETWORK_PIXELS
    assert float(got["loss"]) == pytest.approx(wanted, rel=1e-5)


def test_temperature_shapes_the_category(build_system, images):
    system = build_system(**EVERY["jointvae"], temperature=2.0)
    random = sampled(system)
    reconstruction = float(system.objective(images, random)["reconstruction_loss"])
    assert reconstruction == pytest.approx(terms(system, images, random, 2.0)[0], rel=1e-5)
    assert reconstruction != pytest.approx(terms(system, images, random, 0.67)[0], rel=1e-6)


@pytest.mark.parametrize(
    ("step", "capacities"), [(0, (0.05, 0.05)), (19, (1.0, 1.0)), (99, (5.0, math.log(4))), (10**6, (5.0, math.log(4)))]
)
def test_divergences_pay_their_distance_from_capacity(build_system, images, step, capacities):
    """The category's capacity ends at 5 nats too, but it holds no more than log 4."""
    system = build_system(**EVERY["jointvae"], capacity_steps=100)
    system.step.assign(step)
    got = {name: float(value) for name, value in system.objective(images, sampled(system)).items()}
    distance = abs(got["continuous_kl"] - capacities[0]) + abs(got["categorical_kl"] - capacities[1])
    wanted = got["reconstruction_loss"] / PIXELS + 30 * distance / NETWORK_PIXELS
    assert got["loss"] == pytest.approx(wanted, rel=1e-5)


def test_reported_divergences_are_those_written_out(build_system, images):
    system = build_system(**EVERY["jointvae"])
    logits = system.networks["encoder"].get_layer("logits")
    logits.bias.assign([2.0, 0.0, 0.0, -1.0])
    random = sampled(system)
    got = system.objective(images, random)
    _, continuous_kl, categorical_kl = terms(system, images, random)
    np.testing.assert_allclose(got["continuous_kl"], continuous_kl, rtol=1e-4)
    np.testing.assert_allclose(got["categorical_kl"], categorical_kl, rtol=1e-4)
    assert float(tf.constant(categorical_kl)) > 0.1
