"""Encoding, generating and reconstructing in mixed batches of the training size.

With batch statistics an image depends on the batch it is in: a batch of one class would lose the class, and one image
alone would lose everything. So batches are sampled at random, are of nearly equal size, and never hold a single image
(unless there is no other).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from common.data.dataset import Dataset, Images, Split, Subset
from common.data.pipeline import scale
from common.evaluation.metrics.codes import Codes
from common.models import registry
from common.models.system import System
from common.nn.augment import apply_affine, sample_affine
from common.nn.distributions import Latents, NoisePosterior, Posterior

_SALT = 0x4556414C  # No training step has this number, so no sample of evaluation is one of training.
SAMPLES, RECONSTRUCTIONS, VIEWS, FIGURES, AVERAGES = range(5)  # What a seed is for.
VIEW = (2, 0.3, 0.15)  # Largest shift in pixels, shear and stretch of a random view (`common.nn.augment`).


def evaluation_seed(seed: int, *path: int) -> tf.Tensor:
    """Return the seed, int32 [2], of one purpose of evaluation (`SAMPLES`, ...) and, for example, one batch."""
    key = tf.constant([seed, _SALT], tf.int32)
    for number in path:
        key = tf.convert_to_tensor(tf.random.fold_in(key, number))
    return key


def lacks(system: System, *needs: str) -> str | None:
    """Return which of `needs` (capabilities, or the latents "category" and "continuous") `system` lacks, or None."""
    lengths = {"category": system.config.latent.categories, "continuous": system.config.latent.continuous}
    for need in needs:
        if need in lengths and not lengths[need]:
            return f"{registry.title_of(system.config)} has no {need} code"
        if need not in lengths and not system.can(need):
            return f"{registry.title_of(system.config)} cannot {need.replace('_', ' ')}"
    return None


def _even_batches(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Split `indices` into batches of nearly equal size, at most `size` (or 3): none is a single image if avoidable."""
    return np.array_split(indices, max(1, min(-(-len(indices) // size), len(indices) // 2)))


def mixed_batches(count: int, size: int, seed: int) -> list[np.ndarray]:
    """Return 0 to `count` - 1 in a random order, in batches of nearly equal size, at most `size` (or 3)."""
    return _even_batches(np.random.RandomState(seed).permutation(count), size)


def to_inputs(images: np.ndarray, scaling: str) -> tf.Tensor:
    """Return images as the networks see them, float32: stored pixels (uint8) are scaled, floats stay as they are."""
    return scale(tf.constant(images), scaling) if images.dtype == np.uint8 else tf.constant(images, tf.float32)


def sample_indices(split: Split, count: int | None, seed: int) -> np.ndarray:
    """`count` images of `split` at random, in its order: int64 [count]; all if that is None or more than it has."""
    if count is None or count >= len(split):
        return np.arange(len(split))
    return np.sort(np.random.RandomState(seed).permutation(len(split))[:count])


def choose(split: Split, indices: np.ndarray) -> Split:
    """Return the images of `split` at `indices`, with their factors."""
    return Split(Subset(split.images, indices), None if split.factors is None else split.factors[indices])


def sample_split(split: Split, count: int | None, seed: int) -> Split:
    """`count` images of `split` at random with their factors, in its order; all of it if it has no more."""
    return split if count is None or count >= len(split) else choose(split, sample_indices(split, count, seed))


def mixed_images(dataset: Dataset, count: int, seed: int) -> np.ndarray:
    """`count` real images at random, test images if there are any: uint8 [count, h, w, c].

    If they have classes, the first is of class 0, the next of class 1 and so on, so that the few that a figure shows
    show all.
    """
    split = sample_split(dataset.test or dataset.train, count, seed)
    order = np.random.RandomState(seed).permutation(len(split))
    labels = dataset.labels(split)
    if labels is not None:
        labels = labels[order]
        earlier = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])  # Of the same class.
        order = order[np.lexsort((labels, earlier))]
    return split.images[order]


def encode(system: System, images: Images, view_seed: int | None = None) -> Codes:
    """Return the codes of `images` in their order: the means, and the most likely category.

    Args:
        system: one that can "encode".
        images: [n, h, w, c], stored pixels or floats as the networks see them.
        view_seed: if given, it chooses a random view of each image (`VIEW`), which is encoded instead.
    """
    batches = mixed_batches(len(images), system.config.batch_size, system.config.seed)
    parts = []
    for number, batch in enumerate(batches):
        inputs = to_inputs(images[batch], system.config.scaling)
        if view_seed is not None:
            inputs = apply_affine(inputs, sample_affine(evaluation_seed(view_seed, VIEWS, number), len(batch), *VIEW))
        parts.append(_codes(system.encode(inputs), len(batch)))
    return Codes.concatenate(parts).take(np.argsort(np.concatenate(batches)))


def _codes(posterior: Posterior, count: int) -> Codes:
    mean, logits = posterior.mean, posterior.logits
    continuous = np.zeros((count, 0), np.float32) if mean is None else np.asarray(mean)
    logits = np.zeros((count, 0)) if logits is None else np.asarray(logits)
    return Codes(continuous, logits.argmax(axis=1), logits.shape[1]) if logits.shape[1] else Codes(continuous)


class Encoded(NamedTuple):
    """The codes of some images of a split: `indices` int64 [n], rising, and their `codes`."""

    indices: np.ndarray
    codes: Codes

    def of(self, indices: np.ndarray) -> Codes:
        """Return the codes of the images at `indices`, all among those encoded."""
        return self.codes.take(np.searchsorted(self.indices, indices))


def encode_split(system: System, split: Split, indices: np.ndarray) -> Encoded:
    """Encode the images of `split` at `indices` (int64 [n], rising), all in one go."""
    return Encoded(indices, encode(system, Subset(split.images, indices)))


def generate(system: System, count: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """`count` samples from the prior: images float32 [count, h, w, c], and the category of each (None without one)."""
    latents = system.sample_prior(count, evaluation_seed(seed, SAMPLES))
    batches = _even_batches(np.arange(count), system.config.batch_size)
    parts = [system.generate(Latents(*(part[b[0] : b[-1] + 1] for part in latents))).numpy() for b in batches]
    category = latents.category.numpy()
    return np.concatenate(parts), category.argmax(axis=1) if category.shape[1] else None


class Reconstructed(NamedTuple):
    """A batch of images with their reconstructions and posteriors; `noise` is None if the system does not infer z."""

    images: np.ndarray
    reconstructions: np.ndarray
    posterior: Posterior | None
    noise: NoisePosterior | None


def reconstruct(system: System, images: Images, seed: int) -> Iterator[Reconstructed]:
    """Reconstruct `images` in mixed batches. Posteriors, of the same batches, only if the system infers z as well."""
    infers = system.can("infer_noise") and system.can("encode")
    for number, batch in enumerate(mixed_batches(len(images), system.config.batch_size, system.config.seed)):
        inputs = to_inputs(images[batch], system.config.scaling)
        made = system.reconstruct(inputs, evaluation_seed(seed, RECONSTRUCTIONS, number)).numpy()
        posteriors = (system.encode(inputs), system.encode_noise(inputs)) if infers else (None, None)
        yield Reconstructed(inputs.numpy(), made, *posteriors)
