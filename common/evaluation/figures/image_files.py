"""Grids of images and image files, as the original made them (REFERENCE.md section 7)."""

import pathlib

import numpy as np
from PIL import Image

from common.data.preprocess import stretch
from common.io.atomic import atomic_write


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
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary)


def to_uint8(images: np.ndarray, scaling: str) -> np.ndarray:
    """Images as the networks make them, of any shape, to uint8 by a fixed range: [-1, 1] with "tanh", else [0, 1]; beyond it, cut off."""
    unit = (np.asarray(images, np.float64) + 1.0) / 2.0 if scaling == "tanh" else np.asarray(images, np.float64)
    return np.rint(unit.clip(0.0, 1.0) * 255.0).astype(np.uint8)


def save_picture(picture: Image.Image, path: pathlib.Path) -> None:
    """Writes a Pillow image in the format of `path`'s ending, whole or not at all."""
    with atomic_write(path) as temporary:
        picture.save(temporary)


def save_animation(frames: list[Image.Image], path: pathlib.Path, milliseconds: int = 150) -> None:
    """Writes an endless GIF of frames, each shown for `milliseconds` (in tens); smaller ones are filled up with white on the right and below."""
    size = max(frame.width for frame in frames), max(frame.height for frame in frames)
    sheets = [Image.new(frame.mode, size, "white") for frame in frames]
    for paper, frame in zip(sheets, frames):
        paper.paste(frame, (0, 0))
    with atomic_write(path) as temporary:
        sheets[0].save(
            temporary, save_all=True, append_images=sheets[1:], duration=milliseconds, loop=0, optimize=False
        )
