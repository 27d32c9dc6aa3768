"""The Frechet distance of two sets of features, taken for Gaussians (Heusel et al., NeurIPS 2017)."""

import numpy as np


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """|m_x - m_y|^2 + tr(S_x) + tr(S_y) - 2 tr((S_x^1/2 S_y S_x^1/2)^1/2), at least 0.

    The last trace is the sum of the singular values of S_x^1/2 S_y^1/2. Unlike a root of the product it needs no full
    rank, is never complex, and loses no digits to the root of a rounding error.

    Args:
        x: features [m, d]; means and unbiased covariances are taken in float64.
        y: features [n, d].

    Raises:
        ValueError: less than two features in either, other dimensions, or values that are not finite.
    """
    if min(len(x), len(y)) < 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"features {list(x.shape)} and {list(y.shape)}: it takes two of each, of the same length")
    (mean_x, covariance_x), (mean_y, covariance_y) = _moments(x), _moments(y)
    overlap = np.linalg.svd(_root(covariance_x) @ _root(covariance_y), compute_uv=False).sum()
    distance = ((mean_x - mean_y) ** 2).sum() + np.trace(covariance_x) + np.trace(covariance_y) - 2 * overlap
    return max(0.0, float(distance))


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean [d] and unbiased covariance [d, d], in float64."""
    if not np.isfinite(features).all():
        raise ValueError("features that are not finite")
    features = np.asarray(features, np.float64)
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric square root of a covariance [d, d]; eigenvalues within rounding of 0 count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    smallest = values[-1] * len(values) * np.finfo(np.float64).eps
    return (vectors * np.sqrt(np.where(values > smallest, values, 0.0))) @ vectors.T
