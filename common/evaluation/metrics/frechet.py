"""The Frechet distance of two sets of features, taken for Gaussians (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017)."""

import numpy as np


class Moments:
    """Mean and covariance of features, in float64, added up over batches of any sizes in any order (Chan, Golub & LeVeque 1979)."""

    def __init__(self):
        self.count = 0
        self._mean = self._scatter = None

    def add(self, features: np.ndarray) -> None:
        """Adds a batch of features [n, d]. ValueError where they are not finite, or of another d than before."""
        features = np.asarray(features, np.float64)
        if len(features) == 0:
            return
        if not np.isfinite(features).all():
            raise ValueError("features that are not finite")
        mean = features.mean(axis=0)
        centred = features - mean
        if self.count == 0:
            self._mean, self._scatter = np.zeros(len(mean)), np.zeros((len(mean), len(mean)))
        elif len(mean) != len(self._mean):
            raise ValueError(f"features of {len(mean)} dimensions after some of {len(self._mean)}")
        total, shift = self.count + len(features), mean - self._mean
        self._scatter += centred.T @ centred + np.outer(shift, shift) * (self.count * len(features) / total)
        self._mean = self._mean + shift * (len(features) / total)  # Anew: what `mean` gave out stays as it was.
        self.count = total

    @property
    def mean(self) -> np.ndarray:
        """float64 [d]. ValueError before the second feature."""
        self._check()
        return self._mean

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance, float64 [d, d]. ValueError before the second feature."""
        self._check()
        return self._scatter / (self.count - 1)

    def _check(self) -> None:
        if self.count < 2:
            raise ValueError(f"{self.count} features have no covariance: it takes 2")


def frechet_distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr(S_a) + tr(S_b) - 2 tr((S_a^1/2 S_b S_a^1/2)^1/2), at least 0. ValueError where either has less than two features, or d differs.

    The last trace is the sum of the singular values of S_a^1/2 S_b^1/2. Unlike a root of the product it needs no full rank, is never
    complex, and loses no digits to the root of a rounding error.
    """
    if len(a.mean) != len(b.mean):
        raise ValueError(f"features of {len(a.mean)} and {len(b.mean)} dimensions")
    overlap = np.linalg.svd(_root(a.covariance) @ _root(b.covariance), compute_uv=False).sum()
    distance = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return max(0.0, float(distance))


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance [d, d]; eigenvalues within rounding of 0 count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    smallest = values[-1] * len(values) * np.finfo(np.float64).eps
    return (vectors * np.sqrt(np.where(values > smallest, values, 0.0))) @ vectors.T
