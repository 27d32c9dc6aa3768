"""Inference on data sets, whose batches must be mixed."""

import types

import numpy as np
import tensorflow as tf

from common.data.dataset import Dataset, Split
from common.data.factors import Factor
from common.distributions import Posterior
from common.evaluate import infer, majority_test_accuracy

CLASSES = 4


class Echo:
    """Stands for a system: its logits say how far each image's class lies above the mean of its batch, as batch norm would see it."""

    config = types.SimpleNamespace(batch_size=10, seed=3, scaling="binary", latent=types.SimpleNamespace(categories=CLASSES))
    sizes: list[int] = []

    def encode(self, images):
        """Logits around each image's class, mean: the class itself."""
        value = tf.reduce_mean(images, axis=(1, 2, 3))
        self.sizes.append(len(value))
        centred = value - tf.reduce_mean(value) + (CLASSES - 1) / 2
        return Posterior(-tf.square(centred[:, None] - tf.range(CLASSES, dtype=tf.float32)), value[:, None], None)


def sorted_by_class(count):
    labels = np.sort(np.arange(count) % CLASSES)
    images = np.broadcast_to(labels[:, None, None, None], (count, 2, 2, 1)).astype(np.uint8)
    return Dataset("a test", Split(images), Split(images, labels[:, None]), (Factor("class", tuple(range(CLASSES))),), "class"), labels


def test_codes_come_back_in_the_order_of_the_images():
    dataset, labels = sorted_by_class(47)
    posterior = infer(Echo(), dataset.test)
    np.testing.assert_array_equal(posterior.mean[:, 0], labels)
    assert posterior.logits.shape == (47, CLASSES) and posterior.stddev is None


def test_data_sorted_by_class_is_encoded_in_mixed_batches():
    dataset, _ = sorted_by_class(400)
    assert majority_test_accuracy(Echo(), dataset) > 0.8  # In sorted batches every image is its batch's mean: 0.25.


def test_batches_are_of_nearly_equal_size():
    dataset, _ = sorted_by_class(41)
    echo = Echo()
    echo.sizes = []
    infer(echo, dataset.test)
    assert sorted(echo.sizes) == [8, 8, 8, 8, 9]


