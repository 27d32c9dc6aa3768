"""Grids of images and image files, as the original made them (docs/original.md, section 7)."""

import pathlib
from typing import Any

import numpy as np
from PIL import Image

from common.data.preprocess import stretch
from common.io.atomic import atomic_write


def merge(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Lay images [n, h, w, c] out row by row; missing cells stay 0.

    Image i is at row i // columns, column i % columns.

    Returns:
        float64 [rows * h, columns * w, c], without the last axis if c = 1.

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
    """Write images [n, h, w, c] as a grid, stretched as a whole: its minimum becomes 0 and its maximum 255."""
    save_picture(Image.fromarray(stretch(merge(np.asarray(images), rows, columns))), path)


def save_picture(
    picture: Image.Image | list[Image.Image], path: pathlib.Path, milliseconds: int = 150, dpi: int | None = None
) -> None:
    """Write a picture, or the frames of an endless animation, in the format of `path`'s ending, whole or not at all.

    A PDF has one page, which holds the picture as JPEG pixels.

    Args:
        picture: one picture or several; smaller frames are padded with white on the right and below.
        path: the file.
        milliseconds: how long each frame is shown, a multiple of 10.
        dpi: dots per inch, which decide the size in print.
    """
    frames = picture if isinstance(picture, list) else [picture]
    options: dict[str, Any] = {"dpi": (dpi, dpi)} if dpi else {}
    if path.suffix == ".pdf":  # Without the time, so that the same picture is the same file.
        options |= {"title": path.stem, "creationDate": None, "modDate": None}
    if path.suffix in (".pdf", ".jpg", ".jpeg") and dpi:
        options |= {"quality": 95, "subsampling": 0}
    with atomic_write(path) as temporary:
        if len(frames) == 1:
            frames[0].save(temporary, **options)
            return
        size = max(frame.width for frame in frames), max(frame.height for frame in frames)
        first, *others = [_padded(frame, size) for frame in frames]
        first.save(temporary, save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=False)


def _padded(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    paper = Image.new(picture.mode, size, "white")
    paper.paste(picture, (0, 0))
    return paper
