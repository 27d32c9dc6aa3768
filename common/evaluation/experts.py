"""The experts of a mixture: how they share the images, and how far reconstructions are with and without the mask."""

import numpy as np

from common.data.dataset import Dataset, Images, Split
from common.evaluation.encode import RECONSTRUCTIONS, evaluation_seed, mixed_batches, to_inputs
from common.models.system import System

ERRORS = ("squared_error_masked", "squared_error_unmasked")  # The original's mse1 and mse2.
IN_USE = ("experts_in_use", "experts_heaviest")
_RARE = 0.01  # Of the images: an expert that is the heaviest for fewer is not in use.


def mixing_weights(system: System, images: Images) -> np.ndarray:
    """The mixing weights of `images` in their order, without mask: [n, K], rows sum to 1.

    Args:
        system: one with "experts".
        images: [n, h, w, c], stored pixels or floats as the networks see them.
    """
    batches = mixed_batches(len(images), system.config.batch_size, system.config.seed)
    parts = [np.exp(system.encode(to_inputs(images[b], system.config.scaling)).logits.numpy()) for b in batches]
    return np.concatenate(parts)[np.argsort(np.concatenate(batches))]


def mean_weights(weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The mean weight of each expert over the images of each level of a factor, [L, K]; NaN for a level without images.

    Args:
        weights: [n, K].
        levels: int [n], of one factor; L is one more than the largest.
    """
    counts = np.bincount(levels)
    sums = np.stack([np.bincount(levels, column) for column in weights.T], axis=1)
    return sums / np.where(counts, counts, np.nan)[:, None]


def weight_tables(weights: np.ndarray, dataset: Dataset, split: Split) -> dict[str, np.ndarray]:
    """`mean_weights` of each factor of `dataset`, by its name; empty if it has none."""
    if split.factors is None:
        return {}
    return {f.name: mean_weights(weights, split.factors[:, i]) for i, f in enumerate(dataset.factors)}


def heaviest(weights: np.ndarray) -> int:
    """How many experts are the most heavily weighted one of at least 1% of the images, from weights [n, K]."""
    fractions = np.bincount(weights.argmax(axis=1), minlength=weights.shape[1]) / len(weights)
    return int(np.sum(fractions >= _RARE))


def squared_errors(system: System, images: Images, seed: int) -> dict[str, float]:
    """The squared error of an image, summed over pixels and channels, the mean over `images`, in the networks' range.

    Args:
        system: one with "experts".
        images: [n, h, w, c], stored pixels or floats as the networks see them.
        seed: chooses noise and masks.

    Returns:
        "squared_error_masked": with the mask, as in training (the original's mse1);
        "squared_error_unmasked": with the same noise and no mask (its mse2; docs/mixture.md, section 6).
    """
    totals = np.zeros(2)
    for number, batch in enumerate(mixed_batches(len(images), system.config.batch_size, system.config.seed)):
        inputs, own = to_inputs(images[batch], system.config.scaling), evaluation_seed(seed, RECONSTRUCTIONS, number)
        made = (system.reconstruct(inputs, own), system.reconstruct_unmasked(inputs, own))
        totals += [float(np.square(inputs.numpy().astype(np.float64) - one.numpy()).sum()) for one in made]
    return dict(zip(ERRORS, totals / len(images), strict=True))


def expert_scores(system: System, images: Images, weights: np.ndarray, seed: int) -> dict[str, float]:
    """`squared_errors`, and two numbers of experts in use.

    Returns:
        The squared errors, and "experts_in_use": those that a mask leaves, the mean over as many masks as images;
        "experts_heaviest": see `heaviest`.
    """
    in_use = float(system.experts_in_use(len(images), evaluation_seed(seed, RECONSTRUCTIONS)))
    return {**squared_errors(system, images, seed), **dict(zip(IN_USE, (in_use, heaviest(weights)), strict=True))}
