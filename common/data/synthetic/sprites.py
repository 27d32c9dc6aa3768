"""Synthetic dSprites (Matthey et al. 2017), redrawn from its geometry: all 737,280 images, in the official order.

dSprites is itself synthetic: each image is one white polygon, drawn without anti-aliasing. The constants were recovered
from the 320 frames of the official animation, and reproduce every pixel of them. The frames show all shapes, scales,
orientations and positions, but vary one at a time: elsewhere on the grid, a pixel on a boundary may differ.
"""

import functools

import numpy as np
from numpy.typing import ArrayLike

from common.data.dataset import Factor
from common.data.synthetic import check_indices

# The official order, the last factor fastest. Orientations 0 and 2 pi are both on the grid and look the same.
FACTORS = (
    Factor("color", ("white",)),
    Factor("shape", ("square", "ellipse", "heart")),
    Factor("scale", tuple(np.linspace(0.5, 1, 6).tolist())),
    Factor("orientation", tuple(np.linspace(0, 2 * np.pi, 40).tolist()), "rad"),  # Counterclockwise.
    Factor("posX", tuple(np.linspace(0, 1, 32).tolist())),  # Of the image's middle half, rightwards.
    Factor("posY", tuple(np.linspace(0, 1, 32).tolist())),  # Of the image's middle half, downwards.
)
_LEVELS = tuple(factor.levels for factor in FACTORS)
SIZE = int(np.prod(_LEVELS))

IMAGE_SIZE = 64  # px
WINDOW = 28  # px. The farthest point of a sprite, a corner of the largest square, is 13.6 px from its centre.
BINS = 1 << 14  # Directions in the table of edges; a multiple of 8, so that a square's corners are between bins.
CHUNK = 32  # Images drawn at a time, so that the work fits into the processor's cache.


def _outlines() -> tuple[np.ndarray, ...]:
    """Return the polygons of square, ellipse and heart at scale 1: float64 [vertices, 2], (u, v) in px from the centre.

    v points down. Each constant is in the range within which all official frames are reproduced: 9.597 to 9.599 for the
    square; 12.775 and 7.219 to 7.221 for an ellipse of 72 vertices; 0.5999 to 0.6001, 0.6620 to 0.6625 and 2.171 to
    2.176 for a heart of 150. Other numbers of vertices that were tried miss a few pixels.
    """
    t = np.arange(4) * (2 * np.pi / 4) + np.pi / 4
    square = 9.598 * np.sqrt(2) * np.stack([np.cos(t), np.sin(t)], axis=1)
    t = np.arange(72) * (2 * np.pi / 72)
    ellipse = np.stack([12.775 * np.cos(t), 7.22 * np.sin(t)], axis=1)
    t = np.arange(150) * (2 * np.pi / 150)
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    heart = np.stack([0.6 * 16 * np.sin(t) ** 3, -0.6622 * (height + 2.174)], axis=1)
    return square, ellipse, heart


def _direction(u, v) -> np.ndarray:
    """Return the direction of (u, v) in [-2, 2]: increases with the angle atan2(v, u), but is much cheaper."""
    return np.copysign(1 - u / (np.abs(u) + np.abs(v)), v)


@functools.cache
def _edges() -> tuple[np.ndarray, np.ndarray]:
    """Return the edge of each shape in each direction: normals p, q, both float32 [3 * BINS], shape after shape.

    Every shape is star-shaped about its centre, so a point (u, v) is tested against the one edge in its direction: it
    is inside if p u + q v < 1. Bin b contains the directions -2 + 4 [b, b + 1) / BINS.
    """
    directions = -2 + 4 * (np.arange(BINS) + 0.5) / BINS
    table = []
    for start in _outlines():
        start = start[np.argsort(_direction(*start.T))]
        end = np.roll(start, -1, axis=0)
        normals = np.stack([end[:, 1] - start[:, 1], start[:, 0] - end[:, 0]])
        normals /= (normals * start.T).sum(axis=0)  # p u + q v = 1 on the edge.
        # The last edge also covers the directions before the first vertex: their index is -1.
        table.append(normals[:, np.searchsorted(_direction(*start.T), directions) - 1])
    p, q = np.concatenate(table, axis=1).astype(np.float32)
    return p, q


def _windows(shape, scale, orientation, x, y) -> np.ndarray:
    """Draw sprites, each in its own window: bool [n, WINDOW, WINDOW], the pixels whose centre is in the sprite.

    `shape` is int64 [n]. The others are float32 [n]: scale and orientation in the units of FACTORS, and the sprite's
    centre, in px from the centre of its window, within 0.5.
    """
    pixel = np.arange(WINDOW, dtype=np.float32) - (WINDOW - 1) / 2
    dx, dy = pixel[None, None, :] - x[:, None, None], pixel[None, :, None] - y[:, None, None]
    cos, sin = (np.cos(orientation) / scale)[:, None, None], (np.sin(orientation) / scale)[:, None, None]
    u, v = cos * dx - sin * dy, sin * dx + cos * dy
    bins = ((_direction(u, v) + 2) * (BINS / 4)).astype(np.int32)
    np.minimum(bins, BINS - 1, out=bins)  # Direction 2 belongs to the last bin.
    bins += (shape * BINS).astype(np.int32)[:, None, None]
    p, q = _edges()
    return p[bins] * u + q[bins] * v < 1


def factors(indices: ArrayLike) -> np.ndarray:
    """Return the level of each factor: int [n] image indices -> int64 [n, 6], columns as in FACTORS."""
    return np.stack(np.unravel_index(check_indices(indices, SIZE), _LEVELS), axis=1).astype(np.int64)


def images(indices: ArrayLike) -> np.ndarray:
    """Draw images: int [n] image indices -> uint8 [n, 64, 64, 1], sprite 1 on 0, as in the official file."""
    table = factors(indices)
    pixels = np.zeros((len(table), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (WINDOW, WINDOW), axis=(1, 2), writeable=True)
    for first in range(0, len(table), CHUNK):
        rows = table[first : first + CHUNK]
        scale, orientation, x, y = (np.array(FACTORS[k].values, np.float32)[rows[:, k]] for k in range(2, 6))
        x, y = IMAGE_SIZE / 4 + IMAGE_SIZE / 2 * x, IMAGE_SIZE / 4 + IMAGE_SIZE / 2 * y  # px from the top left corner.
        left, top = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
        drawn = _windows(rows[:, 1], scale, orientation, x - left, y - top)
        windows[first + np.arange(len(rows)), top - WINDOW // 2, left - WINDOW // 2] = drawn
    return pixels[..., None]
