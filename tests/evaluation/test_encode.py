"""Encoding in mixed batches, under seeds that training does not use."""

import types

import numpy as np
import pytest
import tensorflow as tf

from common.data.dataset import Split
from common.evaluation.encode import (
    encode,
    encode_split,
    evaluation_seed,
    generate,
    mixed_batches,
    sample_indices,
    sample_split,
)
from common.nn.distributions import Posterior

CLASSES = 4


class Echo:
    """Stands for a system: its logits say how far each image's class lies above the mean of its batch."""

    config = types.SimpleNamespace(batch_size=10, seed=3, scaling="binary")

    def encode(self, images):
        """Logits around each image's class; mean: the class itself."""
        value = tf.reduce_mean(images, axis=(1, 2, 3))
        centred = value - tf.reduce_mean(value) + (CLASSES - 1) / 2
        return Posterior(-tf.square(centred[:, None] - tf.range(CLASSES, dtype=tf.float32)), value[:, None])


def sorted_by_class(count):
    labels = np.sort(np.arange(count) % CLASSES)
    return np.broadcast_to(labels[:, None, None, None], (count, 2, 2, 1)).astype(np.uint8), labels


def test_codes_come_back_in_the_order_of_the_images():
    images, labels = sorted_by_class(47)
    codes = encode(Echo(), images)
    np.testing.assert_array_equal(codes.continuous[:, 0], labels)
    assert codes.category.shape == (47,) and codes.num_categories == CLASSES


def test_data_sorted_by_class_is_encoded_in_mixed_batches():
    images, labels = sorted_by_class(400)
    assert np.mean(encode(Echo(), images).category == labels) > 0.8  # In sorted batches, 0.25.


def test_encoded_images_are_found_by_their_index():
    images, labels = sorted_by_class(40)
    encoded = encode_split(Echo(), Split(images), np.arange(0, 40, 2))
    np.testing.assert_array_equal(encoded.of(np.array([4, 38])).continuous[:, 0], labels[[4, 38]])


@pytest.mark.parametrize(
    "count, size, sizes", [(41, 10, [8, 8, 8, 8, 9]), (65, 64, [32, 33]), (3, 2, [3]), (1, 9, [1])]
)
def test_batches_are_of_nearly_equal_size_and_never_of_one_image(count, size, sizes):
    batches = mixed_batches(count, size, 0)
    assert sorted(map(len, batches)) == sizes
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(count))


def test_no_seed_is_that_of_a_training_step(system):
    steps = [tuple(system.step_seed(tf.constant(step, tf.int64)).numpy()) for step in range(100)]
    seeds = [tuple(evaluation_seed(system.config.seed, *path).numpy()) for path in ((), (0,), (1,), (0, 0), (0, 1))]
    assert len(set(steps) | set(seeds)) == 105


def test_samples_are_of_the_prior_and_repeat(system):
    images, categories = generate(system, 11, seed=0)
    assert images.shape == (11, 28, 28, 1) and set(categories) <= set(range(4))
    np.testing.assert_array_equal(generate(system, 11, seed=0)[0], images)
    assert not np.array_equal(generate(system, 11, seed=1)[0], images)


def test_a_sampled_split_keeps_order_and_factors():
    split = Split(np.arange(20, dtype=np.uint8)[:, None, None, None], np.arange(20)[:, None])
    sampled = sample_split(split, 5, seed=0)
    values = sampled.take(0, 5).ravel()
    assert len(sampled) == 5 and (np.diff(values.astype(int)) > 0).all()
    np.testing.assert_array_equal(sampled.factors[:, 0], values)
    np.testing.assert_array_equal(values, sample_indices(split, 5, seed=0))
    assert not np.array_equal(sample_split(split, 5, seed=1).factors, sampled.factors)
    assert sample_split(split, 20, seed=0) is split and sample_split(split, None, seed=0) is split
