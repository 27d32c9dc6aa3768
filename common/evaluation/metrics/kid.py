"""The kernel distance of two sets of features (Binkowski et al., "Demystifying MMD GANs", ICLR 2018)."""

import numpy as np


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy with the kernel k(a, b) = (a.b / d + 1)^3.

    mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j); it can be negative.

    Args:
        x: features [m, d].
        y: features [n, d].

    Raises:
        ValueError: less than two features in either, or other dimensions.
    """
    if min(len(x), len(y)) < 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"features {list(x.shape)} and {list(y.shape)}: it takes two of each, of the same length")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return float(_mean_of_others(x) + _mean_of_others(y) - 2 * _kernel(x, y).mean())


def kid(x: np.ndarray, y: np.ndarray, subsets: int, size: int, random: np.random.RandomState) -> tuple[float, float]:
    """KID: the mean of `squared_mmd` over random subsets, and the standard error of that mean over the subsets.

    Args:
        x: features [m, d].
        y: features [n, d].
        subsets: how many, at least 2.
        size: of each subset, sampled without replacement, at most m and n.
        random: the source of the samples.

    Raises:
        ValueError: less than 2 subsets, or subsets larger than a set of features.
    """
    if subsets < 2 or size > min(len(x), len(y)):
        raise ValueError(
            f"{subsets} subsets of {size} from {len(x)} and {len(y)} features: at least 2, none larger than either"
        )
    distances = [
        squared_mmd(x[random.permutation(len(x))[:size]], y[random.permutation(len(y))[:size]]) for _ in range(subsets)
    ]
    return float(np.mean(distances)), float(np.std(distances, ddof=1) / np.sqrt(subsets))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def _mean_of_others(x: np.ndarray) -> float:
    """Return the mean kernel of all pairs of different features."""
    kernel = _kernel(x, x)
    return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))
