"""What a trained system makes of a data set."""

import numpy as np
import tensorflow as tf

from common.data.dataset import Dataset, Split
from common.data.pipeline import scale
from common.distributions import Posterior
from common.metrics.classification import contingency, majority_accuracy
from common.models.system import System


def infer(system: System, split: Split) -> Posterior:
    """q(u|x) of every image of `split`, as numpy arrays in the split's order.

    Batch norm uses each batch's own statistics, so what is inferred for an image depends on the batch it is in: data sets sorted
    by class would give batches of one class, whose statistics erase the class. So the batches are drawn at random (by the
    run's seed), of the training size or just below.
    """
    size, count = system.config.batch_size, len(split)
    order = np.random.RandomState(system.config.seed).permutation(count)
    batches = np.array_split(order, -(-count // size))
    parts = [system.encode(scale(tf.constant(split.images[batch]), system.config.scaling)) for batch in batches]
    back = np.argsort(order)
    return Posterior(*(None if column[0] is None else np.concatenate(column)[back] for column in zip(*parts)))


def majority_test_accuracy(system: System, dataset: Dataset) -> float:
    """The unsupervised accuracy on the test images, in [0, 1]: argmax of the logits, each category mapped to its majority class."""
    categories = infer(system, dataset.test).logits.argmax(axis=1)
    num_labels = next(f.levels for f in dataset.factors if f.name == dataset.label)
    table = contingency(categories, dataset.labels(dataset.test), system.config.latent.categories, num_labels)
    return majority_accuracy(table)
