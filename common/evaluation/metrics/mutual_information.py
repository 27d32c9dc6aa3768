"""How much each dimension of a code says about each factor, from the counts of each pair of levels."""

import numpy as np

from common.evaluation.metrics.classification import contingency
from common.evaluation.metrics.codes import Codes, NotMeasurable, check_pairs


def discretise(codes: Codes, bins: int = 20) -> np.ndarray:
    """Return codes as levels, int64 [n, dimensions]: continuous ones in bins of equal width over their range."""
    columns = [np.digitize(c, np.histogram_bin_edges(c, bins)[:-1]) - 1 for c in codes.continuous.astype(np.float64).T]
    if codes.category is not None:
        columns.append(codes.category)
    return np.stack(columns, axis=1)


def matrix(codes: Codes, factors: np.ndarray, bins: int = 20) -> np.ndarray:
    """Return the mutual information of every dimension with every factor, in nats: float64 [dimensions, f].

    Args:
        codes: of n images.
        factors: int [n, f], the level of each factor.
        bins: for continuous codes, see `discretise`.

    Raises:
        ValueError: no images, or codes and factors of different numbers of images.
    """
    check_pairs(codes, factors)
    rows, columns = (_by_column(levels) for levels in (discretise(codes, bins), factors))
    return np.array([[_information(c, f) for f in columns] for c in rows])


def entropies(factors: np.ndarray) -> np.ndarray:
    """Return the entropy of each factor in the table int [n, f], in nats: float64 [f], 0 for a factor of one level."""
    if len(factors) == 0:
        raise NotMeasurable("there are no images to score")
    return np.array([_information(f, f) for f in _by_column(factors)])


def _by_column(levels: np.ndarray) -> list[np.ndarray]:
    """Return the columns of a table [n, d], each renumbered 0, 1, ... without gaps."""
    return [np.unique(column, return_inverse=True)[1] for column in levels.T]


def _information(a: np.ndarray, b: np.ndarray) -> float:
    joint = contingency(a, b, a.max() + 1, b.max() + 1) / len(a)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    present = joint > 0
    return max(0.0, float((joint[present] * np.log(joint[present] / independent[present])).sum()))
