"""The mutual information gap (Chen et al., NeurIPS 2018, equation 6)."""

import numpy as np

from common.evaluation.metrics import mutual_information
from common.evaluation.metrics.codes import Codes, NotMeasurable


def mutual_information_gap(codes: Codes, factors: np.ndarray, bins: int = 20) -> float:
    """Return MIG in [0, 1]: how much more the best dimension says about a factor than the second best, on average.

    In fractions of the factor's entropy. Continuous codes are discretised as in disentanglement_lib, which takes 10,000
    images. Factors of one level are left out; with a single dimension the second best is 0.

    Args:
        codes: of n images.
        factors: int [n, f], the level of each factor.
        bins: of equal width, for continuous codes.

    Raises:
        ValueError: no images, no factor of two levels, or codes and factors of different numbers of images.
    """
    information, entropies = mutual_information.matrix(codes, factors, bins), mutual_information.entropies(factors)
    varying = entropies > 0
    if not varying.any():
        raise NotMeasurable("no factor has two levels")
    best = np.sort(np.vstack([np.zeros(len(entropies)), information]), axis=0)
    return float(((best[-1] - best[-2])[varying] / entropies[varying]).mean())
