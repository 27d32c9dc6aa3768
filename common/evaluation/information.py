"""The mutual information of the codes of real images with their factors."""

from typing import NamedTuple

import numpy as np

from common.data.dataset import Dataset
from common.evaluation.encode import encode, sample_split
from common.evaluation.metrics import mutual_information
from common.models.system import System


class Information(NamedTuple):
    """How much each code says about each factor.

    Attributes:
        values: fractions of the factor's entropy, [factors, codes], in [0, 1] up to rounding.
        factors: names of the factors that vary.
        codes: names of the codes: "c0", "c1", ..., and "d" for the category.
        images: how many images they are taken over.
    """

    values: np.ndarray
    factors: list[str]
    codes: list[str]
    images: int


def information(system: System, dataset: Dataset, images: int, seed: int) -> Information:
    """Measure it over at most `images` images, test images if there are any. Continuous codes are cut into 20 bins.

    Args:
        system: one that can "encode", ready for inference.
        dataset: whose images have factors.
        images: how many images to encode, at most.
        seed: chooses them.

    Raises:
        ValueError: the images have no factors.
    """
    split = sample_split(dataset.test or dataset.train, images, seed)
    if split.factors is None:
        raise ValueError("the images have no factors")
    codes, entropies = encode(system, split.images), mutual_information.entropies(split.factors)
    varying = np.flatnonzero(entropies > 0)
    values = mutual_information.matrix(codes, split.factors[:, varying]) / entropies[varying]
    names = [*(f"c{i}" for i in range(codes.continuous.shape[1])), *(["d"] if codes.category is not None else [])]
    return Information(values.T, [dataset.factors[i].name for i in varying], names, len(split))
