"""The loss of beta-VAE against that of a plain VAE, and its capacity."""

import numpy as np
import pytest

from common.errors import UserError
from common.nn import losses
from helpers.systems import EVERY, sampled
from helpers.vae import plain_vae


def objective(system, images):
    return {name: float(value) for name, value in system.objective(images, sampled(system)).items()}


def test_with_beta_1_the_loss_is_a_vaes(build_system, images):
    system = build_system(**EVERY["betavae"], beta=1.0)
    reconstruction, kl = plain_vae(system, images, sampled(system).normal)
    assert objective(system, images) == pytest.approx(
        {"loss": reconstruction + kl, "reconstruction_loss": reconstruction, "continuous_kl": kl}, rel=1e-5
    )


def test_beta_weighs_the_divergence_alone(build_system, images):
    got = objective(build_system(**EVERY["betavae"], beta=7.0), images)
    assert got["loss"] == pytest.approx(got["reconstruction_loss"] + 7 * got["continuous_kl"], rel=1e-6)


def test_capacity_grows_linearly_and_stops():
    got = [float(losses.capacity(np.int64(step), 25.0, 1000)) for step in (0, 1, 500, 1000, 10**6)]
    np.testing.assert_allclose(got, [0, 0.025, 12.5, 25, 25], rtol=1e-6)


def test_without_capacity_a_weight_of_1_gives_a_vae(build_system, images):
    system = build_system(**EVERY["betavae"], beta_capacity=0.0, capacity_weight=1.0)
    assert objective(system, images)["loss"] == pytest.approx(
        sum(plain_vae(system, images, sampled(system).normal)), rel=1e-5
    )


@pytest.mark.parametrize(("step", "capacity"), [(0, 0.25), (99, 25.0), (10**6, 25.0)])
def test_the_divergence_pays_its_distance_from_capacity(build_system, images, step, capacity):
    """The first update is at t = 1."""
    system = build_system(**EVERY["betavae"], beta_capacity=25.0, capacity_steps=100)
    system.step.assign(step)
    got = objective(system, images)
    assert got["loss"] == pytest.approx(
        got["reconstruction_loss"] + 1000 * abs(got["continuous_kl"] - capacity), rel=1e-6
    )


def test_a_weight_falls_geometrically_and_stops():
    got = [float(losses.falling_weight(np.int64(step), 100.0, 4.0, 1000)) for step in (0, 500, 1000, 10**6)]
    np.testing.assert_allclose(got, [100, 20, 4, 4], rtol=1e-5)


@pytest.mark.parametrize(("step", "beta"), [(0, 8.0), (1, 4.0), (2, 2.0), (10**6, 2.0)])
def test_beta_falls_from_its_start(build_system, images, step, beta):
    system = build_system(**EVERY["betavae"], beta=2.0, beta_start=8.0, beta_steps=2)
    system.step.assign(step)
    got = objective(system, images)
    assert got["loss"] == pytest.approx(got["reconstruction_loss"] + beta * got["continuous_kl"], rel=1e-6)


@pytest.mark.parametrize("other", [{"beta_capacity": 25.0}, {"beta": 0.0}])
def test_a_start_needs_a_beta(make_config, other):
    with pytest.raises(UserError, match="--beta-start"):
        make_config(**EVERY["betavae"], beta_start=8.0, **other)
