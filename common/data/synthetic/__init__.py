"""Synthetic data, drawn by numpy and Pillow, that replaces a real data set: one module each, all factors known.

Each module has `SIZE`, `FACTORS`, `images(indices)` and `factors(indices)`. Image i is a pure function of i, on every
machine and in every process, so there are no files, no download and no state.
"""

import numpy as np
from numpy.typing import ArrayLike


def _splitmix64(x: np.ndarray) -> np.ndarray:
    """Hash uint64 [...] bijectively with one splitmix64 step (Steele et al., OOPSLA 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def check_indices(indices: ArrayLike, size: int) -> np.ndarray:
    """Return `indices` as int64 [n]. Raises IndexError if one is outside of [0, size)."""
    indices = np.asarray(indices, np.int64).reshape(-1)
    if indices.size and not (indices.min() >= 0 and indices.max() < size):
        raise IndexError(f"image indices must be in [0, {size}); got {indices.min()} to {indices.max()}")
    return indices


def levels(indices: ArrayLike, sizes: list[int], salt: int) -> np.ndarray:
    """Sample one uniform level per factor and image, as a hash of (salt, factor, index): int64 [n, len(sizes)].

    `indices` are int [n] and not negative; column j is in [0, sizes[j]). Each data set has its own `salt`. The bias of
    the modulo is below sizes[j] / 2^64.
    """
    indices = np.asarray(indices, np.uint64)[:, None]
    columns = _splitmix64(np.arange(len(sizes), dtype=np.uint64) + (np.uint64(salt) << np.uint64(32)))
    return (_splitmix64(indices ^ columns) % np.asarray(sizes, np.uint64)).astype(np.int64)
