"""How far reconstructions are from their images."""

import numpy as np


class SquaredError:
    """The squared error of reconstructions, added up over batches of any sizes in any order."""

    def __init__(self):
        self.images = 0
        self._sum, self._values = 0.0, 0

    def add(self, images: np.ndarray, reconstructions: np.ndarray) -> None:
        """Adds a batch: images and their reconstructions [n, h, w, c], both in the range that the networks see. ValueError where their shapes differ."""
        if images.shape != reconstructions.shape:
            raise ValueError(f"images {list(images.shape)} and reconstructions {list(reconstructions.shape)}")
        error = np.asarray(images, np.float64) - np.asarray(reconstructions, np.float64)
        self._sum += float((error**2).sum())
        self._values += error.size
        self.images += len(error)

    @property
    def per_value(self) -> float:
        """The mean over images, pixels and channels. ValueError before the first image."""
        self._check()
        return self._sum / self._values

    @property
    def per_image(self) -> float:
        """The sum over an image's pixels and channels, averaged over images. ValueError before the first image."""
        self._check()
        return self._sum / self.images

    def _check(self) -> None:
        if self.images == 0:
            raise ValueError("no images to score")
