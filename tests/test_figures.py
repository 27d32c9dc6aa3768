"""The class figure: one column a category, one row a draw of (z, c)."""

import types

import numpy as np
import pytest
import tensorflow as tf

from common.distributions import sample_prior
from common.figures import class_grid

ROWS = 5


@pytest.fixture
def inputs(make_config):
    """A stand-in for a system, whose "images" are the inputs they were made from; (rows, categories, z and u)."""
    config = make_config()
    system = types.SimpleNamespace(
        config=config, draw_latents=lambda step, size: sample_prior(config.latent, size, tf.stack([0, tf.cast(step, tf.int32)])),
        generate=lambda noise, code: tf.concat([noise, code], axis=1))
    return lambda seed=0: class_grid(system, ROWS, seed).reshape(ROWS, 4, -1)


def test_column_k_has_category_k(inputs):
    np.testing.assert_array_equal(inputs()[:, :, 7:11], np.broadcast_to(np.eye(4), (ROWS, 4, 4)))


def test_a_row_shares_noise_and_continuous_codes(inputs):
    shared = np.delete(inputs(), np.s_[7:11], axis=2)
    assert shared.shape == (ROWS, 4, 7 + 3)
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:, :1], shared.shape))
    assert np.abs(shared).max() <= 1


def test_rows_differ_and_so_do_seeds(inputs):
    first, other = inputs(0)[:, 0], inputs(1)[:, 0]
    assert len(np.unique(first, axis=0)) == ROWS
    assert not set(first[:, 0]) & set(other[:, 0])
    np.testing.assert_array_equal(inputs(0)[:, 0], first)


def test_a_system_draws_the_grid_as_one_batch(system):
    """With batch statistics, each image depends on the others: the grid is G of all its inputs at once."""
    images = class_grid(system, rows=2, seed=3)
    assert images.shape == (8, 28, 28, 1)
    latents = system.draw_latents(tf.constant(3, tf.int64), 2)
    noise = np.repeat(latents.noise, 4, axis=0)
    code = np.concatenate([np.tile(np.eye(4, dtype=np.float32), (2, 1)), np.repeat(latents.code[:, 4:], 4, axis=0)], axis=1)
    wanted = system.generate(tf.constant(noise), tf.constant(code)).numpy()
    np.testing.assert_allclose(images, wanted, rtol=1e-6)
    alone = system.generate(tf.constant(noise[:4]), tf.constant(code[:4])).numpy()
    assert np.abs(alone - wanted[:4]).max() > 1e-3
