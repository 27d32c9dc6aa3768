"""A stand-in as `Images`: drawn on demand, since a training step takes far longer than drawing its batch."""

import numpy as np

from common.data.preprocess import preprocess


class SyntheticImages:
    """Images [start, stop) of a stand-in module, through the same crop, stretch and resize as the real ones.

    Args:
        module: one of `common.data.synthetic`.
        crop, size: as the real data set's; None where it has neither.
    """

    def __init__(self, module, start: int, stop: int, crop: int | None = None, size: int | None = None):
        self._module, self._start, self._stop, self._crop, self._size = module, start, stop, crop, size

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        images = self._module.images(np.asarray(indices) + self._start)
        if self._crop is None:
            return images
        return np.stack([preprocess(image, self._crop, self._size) for image in images])
