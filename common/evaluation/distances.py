"""Distances between the distributions of generated and of real images: FID and KID, with their floors."""

import numpy as np

from common.data.dataset import Dataset, Subset
from common.evaluation.encode import sample_indices
from common.evaluation.features import Extractor
from common.evaluation.metrics.codes import NotMeasurable
from common.evaluation.metrics.frechet import frechet_distance
from common.evaluation.metrics.kid import kid

KID_SUBSETS, KID_SIZE = 50, 1000
_LEAST = 4  # Images: KID takes subsets of half of them.


def names(extractor: str) -> tuple[str, str]:
    """Return the names of both distances in the features of `extractor`."""
    return f"fid_{extractor}", f"kid_{extractor}"


def two_real_sets(dataset: Dataset, limit: int, seed: int) -> tuple[Subset, Subset]:
    """Return two disjoint sets of equally many real images: training images, and test images if there are any.

    Args:
        dataset: the data set.
        limit: largest number of images in each.
        seed: chooses the images.

    Raises:
        NotMeasurable: there are fewer than 4 images for each set.
    """
    train, test = dataset.train, dataset.test or None
    count = min(limit, len(train) // 2) if test is None else min(limit, len(train), len(test))
    if count < _LEAST:
        there = f"{len(train)} training images" + ("" if test is None else f" and {len(test)} test images")
        each = "in each of two halves" if test is None else "of each split"
        raise NotMeasurable(f"needs {_LEAST} real images {each}: there are {there}, --num-samples is {limit}")
    if test is not None:
        sets = [(split, sample_indices(split, count, seed)) for split in (train, test)]
    else:
        order = np.random.RandomState(seed).permutation(len(train))
        sets = [(train, np.sort(order[:count])), (train, np.sort(order[count : 2 * count]))]
    first, second = (Subset(split.images, indices) for split, indices in sets)
    return first, second


def distances(
    name: str, extract: Extractor, real: Subset, other: Subset, generated: np.ndarray, *, seed: int = 0
) -> tuple[dict[str, float], dict[str, int]]:
    """Return FID and KID of generated images in the features of `extract`, and their floors, of other real images.

    Args:
        name: of the extractor, in which the names of the distances end.
        extract: images -> features.
        real: n real images.
        other: n others, none of them in `real`.
        generated: n images as the networks make them, [n, h, w, c].
        seed: chooses the subsets of KID.

    Returns:
        (distances by name, the standard errors of KID among them; numbers of images and subsets by name).
    """
    reference, size = extract(real), min(KID_SIZE, len(real) // 2)
    fid_name, kid_name = names(name)
    scores = {}
    for end, features in (("", extract(generated)), ("_floor", extract(other))):
        scores[f"{fid_name}{end}"] = frechet_distance(features, reference)
        distance, error = kid(features, reference, KID_SUBSETS, size, np.random.RandomState(seed))
        scores |= {f"{kid_name}{end}": distance, f"{kid_name}{end}_standard_error": error}
    return scores, {"fid_images_a_side": len(real), "kid_subsets": KID_SUBSETS, "kid_subset": size}
