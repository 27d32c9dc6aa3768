"""Grids of images and image files, as the original made them (REFERENCE.md section 7)."""

import pathlib

import numpy as np
from PIL import Image

from common.data.pixels import stretch
from common.output import whole_file


def merge(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Lays images [n, h, w, c] out row by row; missing cells stay 0.

    Image i stands at row i // columns, column i % columns.

    Returns:
        float64 [rows * h, columns * w, c], without the last axis where c = 1.

    Raises:
        ValueError: there are more images than cells.
    """
    n, h, w, c = images.shape
    if n > rows * columns:
        raise ValueError(f"{n} images do not fit into {rows}x{columns}")
    cells = np.zeros((rows * columns, h, w, c))
    cells[:n] = images
    grid = cells.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)
    return grid[..., 0] if c == 1 else grid


def save_grid(images: np.ndarray, rows: int, columns: int, path: pathlib.Path) -> None:
    """Writes a grid of images [n, h, w, c] of any real range, stretched as a whole: its minimum becomes 0 and its maximum 255."""
    save_image(stretch(merge(np.asarray(images), rows, columns)), path)


def save_image(pixels: np.ndarray, path: pathlib.Path) -> None:
    """Writes uint8 [h, w] or [h, w, 3] in the format of `path`'s ending, with Pillow's defaults, whole or not at all."""
    with whole_file(path) as temporary:
        Image.fromarray(pixels).save(temporary)
