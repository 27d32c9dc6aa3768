"""Copies for inference: which statistics they normalise with, and that the system stays as it is."""

import types

import numpy as np
import pytest
import tensorflow as tf

from common.data.dataset import Dataset, Split
from common.evaluation import statistics
from common.evaluation.statistics import Statistics, batch_norms
from common.models import registry
from common.nn.layers import BatchNorm
from helpers.systems import make_config

DATASET = Dataset("noise", Split(np.random.RandomState(0).randint(0, 256, (24, 28, 28, 1)).astype(np.uint8)))
IMAGES = tf.constant(DATASET.train.take(0, 8) / 255.0, tf.float32)


@pytest.fixture(scope="module", params=["batch", "standing"])
def trained(request):
    """A narrow system whose moving averages are not those of any batch, under two kinds of statistics."""
    system = registry.build(make_config(width=0.125, batch_norm=request.param), training=False)
    for layer in batch_norms(system):
        *others, mean, variance = layer.get_weights()
        layer.set_weights([*others, mean + 0.5, variance * 4.0])
    return system


@pytest.fixture(autouse=True)
def three_batches(monkeypatch):
    monkeypatch.setattr(statistics, "BATCHES", 3)


def test_batch_statistics_alone_make_an_image_depend_on_others(trained):
    copies = Statistics(trained, DATASET)
    for kind in ("batch", "moving", "standing"):
        system = copies.under(kind)
        together, alone = system.encode(IMAGES).mean[:3], system.encode(IMAGES[:3]).mean
        assert (np.abs(together - alone).max() > 1e-4) == (kind == "batch")


def test_moving_averages_are_those_of_training(trained):
    for layer, own in zip(batch_norms(Statistics(trained, DATASET).under("moving")), batch_norms(trained), strict=True):
        np.testing.assert_array_equal(layer.moving_mean, own.moving_mean)


def test_standing_averages_are_means_over_batches(trained):
    """The first norm's input is a convolution of the images, so its averages follow from the batches themselves."""
    before = [layer.moving_mean.numpy() for layer in batch_norms(trained)]
    standing = Statistics(trained, DATASET).under("standing")
    encoder = trained.networks["encoder"]
    first = next(layer for layer in encoder.layers if layer in list(batch_norms(trained)))
    inputs = type(encoder)(encoder.inputs, first.input)
    order = np.random.RandomState(trained.config.seed).permutation(24).reshape(3, 8)
    values = [inputs(DATASET.train.images[batch].astype(np.float32) / 255.0).numpy() for batch in order]
    averages = standing.networks["encoder"].get_layer(first.name)
    np.testing.assert_allclose(
        averages.moving_mean, np.mean([v.mean(axis=(0, 1, 2)) for v in values], axis=0), atol=1e-5
    )
    np.testing.assert_allclose(
        averages.moving_variance, np.mean([v.var(axis=(0, 1, 2), ddof=1) for v in values], axis=0), rtol=1e-3
    )
    for layer, mean in zip(batch_norms(trained), before, strict=True):
        np.testing.assert_array_equal(layer.moving_mean, mean)


@pytest.mark.parametrize("counter", ["step", "rollbacks"])
def test_a_copy_is_reused_and_follows_the_system(trained, counter):
    copies = Statistics(trained, DATASET)
    first = copies.under("standing")
    before = first.encode(IMAGES).mean.numpy()
    variable = trained.networks["encoder"].trainable_variables[0]
    saved = variable.numpy()
    variable.assign(saved * 2.0 + 0.01)
    getattr(trained, counter).assign_add(1)
    assert copies.under("standing") is first
    assert np.abs(first.encode(IMAGES).mean - before).max() > 1e-5
    variable.assign(saved)


def test_an_image_is_independent_of_its_batch(trained):
    independent = Statistics(trained, DATASET).independent()
    np.testing.assert_allclose(independent.encode(IMAGES).mean[:1], independent.encode(IMAGES[:1]).mean, atol=1e-5)
    assert independent.config.batch_norm == "standing"


def test_moving_averages_stay_if_a_run_has_chosen_them():
    system = registry.build(make_config(width=0.125, batch_norm="moving"), training=False)
    assert Statistics(system, DATASET).independent() is system


def test_final_averages_are_not_taken_again(trained):
    standing = Statistics(trained, None, final=True).under("standing")
    for layer, own in zip(batch_norms(standing), batch_norms(trained), strict=True):
        np.testing.assert_array_equal(layer.moving_variance, own.moving_variance)


def test_saved_networks_are_plain_keras_at_standing_averages(trained):
    statistics_of = Statistics(trained, DATASET)
    networks, standing = statistics_of.networks(), statistics_of.under("standing")
    assert networks.keys() == trained.networks.keys()
    assert not any(isinstance(layer, BatchNorm) for network in networks.values() for layer in network.layers)
    np.testing.assert_allclose(networks["encoder"](IMAGES)["mean"], standing.encode(IMAGES).mean, atol=1e-6)


@pytest.mark.parametrize(("step", "side", "count"), [(0, 28, 10), (40, 28, 40), (10**6, 28, 150), (10**6, 64, 30)])
def test_a_short_run_or_a_large_image_takes_fewer_batches(monkeypatch, step, side, count):
    monkeypatch.setattr(statistics, "BATCHES", 150)
    system = types.SimpleNamespace(config=make_config(image_shape=(side, side, 1)), step=tf.constant(step))
    assert Statistics(system, None).count_batches() == count


def test_averages_do_not_depend_on_what_was_averaged_before(trained):
    """A run is scored after each epoch (encoders alone), saved, evaluated and drawn with the same copies."""
    used, fresh = Statistics(trained, DATASET), Statistics(trained, DATASET)
    trained.step.assign_add(1)
    used.under("standing", generates=False)
    trained.step.assign_add(1)
    used.under("standing", generates=False)
    for one, other in zip(batch_norms(used.under("standing")), batch_norms(fresh.under("standing")), strict=True):
        np.testing.assert_array_equal(one.moving_mean, other.moving_mean)
        np.testing.assert_array_equal(one.moving_variance, other.moving_variance)
