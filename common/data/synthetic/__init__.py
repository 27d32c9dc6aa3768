"""Built-in stand-ins for the real data sets: one module each, numpy and Pillow only, every factor of variation known.

Each module offers `SIZE`, `FACTORS`, `images(indices)` and `factors(indices)`; image i is a pure function of i, on every machine and
in every process, so a stand-in needs no files, no download and no state.
"""

import numpy as np


def _splitmix64(x: np.ndarray) -> np.ndarray:
    """One splitmix64 step, a bijective 64-bit hash: uint64 [...] -> uint64 [...] (Steele et al., OOPSLA 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def check_indices(indices, size: int) -> np.ndarray:
    """Returns `indices` as int64 [n]; raises IndexError where one lies outside [0, size)."""
    indices = np.asarray(indices, np.int64).reshape(-1)
    if indices.size and not (indices.min() >= 0 and indices.max() < size):
        raise IndexError(f"image indices must lie in [0, {size}); got {indices.min()} to {indices.max()}")
    return indices


def levels(indices, sizes, salt: int) -> np.ndarray:
    """Draws one independent, uniform level a factor for each image, as a hash of (salt, factor, index).

    Args:
        indices: int [n], image indices, not negative.
        sizes: the number of levels of each of the f factors.
        salt: keeps the draws of different data sets apart.

    Returns:
        int64 [n, f], column j in [0, sizes[j]). The modulo's bias is below sizes[j] / 2^64.
    """
    indices = np.asarray(indices, np.uint64)[:, None]
    columns = _splitmix64(np.arange(len(sizes), dtype=np.uint64) + (np.uint64(salt) << np.uint64(32)))
    return (_splitmix64(indices ^ columns) % np.asarray(sizes, np.uint64)).astype(np.int64)
