"""dSprites (Matthey et al., 2017), redrawn from its geometry: all 737,280 images, in the order of the official file.

dSprites is itself synthetic: each image is one white polygon, drawn without anti-aliasing. Its constants were recovered
from the 320 frames of the official animation, `golden_images/dsprites.gif`, and redraw every pixel of them. Those frames
show all shapes, scales, orientations and positions, but vary one at a time: elsewhere on the grid, a pixel that a boundary
grazes may differ from the official file.
"""

import functools

import numpy as np

from common.data.factors import Factor
from common.data.synthetic import check_indices

# The official order, the last factor fastest. Orientations 0 and 2 pi are both on the grid, and look the same.
FACTORS = (
    Factor("color", ("white",)),
    Factor("shape", ("square", "ellipse", "heart")),
    Factor("scale", tuple(np.linspace(0.5, 1, 6).tolist())),
    Factor("orientation", tuple(np.linspace(0, 2 * np.pi, 40).tolist()), "rad"),  # counterclockwise
    Factor("posX", tuple(np.linspace(0, 1, 32).tolist())),  # of the image's middle half, rightwards
    Factor("posY", tuple(np.linspace(0, 1, 32).tolist())),  # of the image's middle half, downwards
)
_LEVELS = tuple(factor.levels for factor in FACTORS)
SIZE = int(np.prod(_LEVELS))

IMAGE_SIZE = 64  # px
WINDOW = 28  # px: holds the farthest point of any sprite, a corner of the largest square 13.6 px from its centre
BINS = 1 << 14  # directions in the table of edges; a multiple of 8, so that a square's corners fall between two bins
CHUNK = 32  # images drawn at once: what they need stays in the processor's cache


def _outlines() -> tuple[np.ndarray, ...]:
    """The polygons of square, ellipse and heart at scale 1: float64 [vertices, 2], (u, v) in px about the centre, v down.

    Each constant lies inside the range within which all true frames are matched: 9.597 to 9.599 for the square; 12.775
    and 7.219 to 7.221 for an ellipse of 72 vertices; 0.5999 to 0.6001, 0.6620 to 0.6625 and 2.171 to 2.176 for a heart of
    150. The other numbers of vertices that were tried miss a few pixels.
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
    """The direction of (u, v), in [-2, 2]: rises with the angle atan2(v, u), and is far cheaper to compute."""
    return np.copysign(1 - u / (np.abs(u) + np.abs(v)), v)


@functools.cache
def _edges() -> tuple[np.ndarray, np.ndarray]:
    """The edge that each shape shows in each direction: normals p, q, both float32 [3 * BINS], shape after shape.

    Every shape is star-shaped about its centre, so a point (u, v) need only be tested against the one edge that lies in
    its direction: it is inside where p u + q v < 1. Bin b holds the directions -2 + 4 [b, b + 1) / BINS.
    """
    directions = -2 + 4 * (np.arange(BINS) + 0.5) / BINS
    table = []
    for start in _outlines():
        start = start[np.argsort(_direction(*start.T))]
        end = np.roll(start, -1, axis=0)
        normals = np.stack([end[:, 1] - start[:, 1], start[:, 0] - end[:, 0]])
        normals /= (normals * start.T).sum(axis=0)  # p u + q v = 1 on the edge
        # The last edge also covers the directions before the first vertex: there the index is -1, the last.
        table.append(normals[:, np.searchsorted(_direction(*start.T), directions) - 1])
    p, q = np.concatenate(table, axis=1).astype(np.float32)
    return p, q


def _windows(shape, scale, orientation, x, y) -> np.ndarray:
    """Draws sprites, each in a window of its own.

    Args:
        shape: int64 [n], 0 to 2.
        scale, orientation: float32 [n], as the values of FACTORS.
        x, y: float32 [n], the sprite's centre in px from the centre of its window, within 0.5.

    Returns:
        bool [n, WINDOW, WINDOW]: the pixels whose centre lies in the sprite.
    """
    pixel = np.arange(WINDOW, dtype=np.float32) - (WINDOW - 1) / 2
    dx, dy = pixel[None, None, :] - x[:, None, None], pixel[None, :, None] - y[:, None, None]
    cos, sin = (np.cos(orientation) / scale)[:, None, None], (np.sin(orientation) / scale)[:, None, None]
    u, v = cos * dx - sin * dy, sin * dx + cos * dy
    bins = ((_direction(u, v) + 2) * (BINS / 4)).astype(np.int32)
    np.minimum(bins, BINS - 1, out=bins)  # direction 2 itself belongs to the last bin
    bins += (shape * BINS).astype(np.int32)[:, None, None]
    p, q = _edges()
    return p[bins] * u + q[bins] * v < 1


def factors(indices) -> np.ndarray:
    """Returns the level of each factor: int [n] image indices -> int64 [n, 6], columns as in FACTORS."""
    return np.stack(np.unravel_index(check_indices(indices, SIZE), _LEVELS), axis=1).astype(np.int64)


def images(indices) -> np.ndarray:
    """Draws images: int [n] image indices -> uint8 [n, 64, 64, 1], sprite 1 on 0, as in the official file."""
    table = factors(indices)
    pixels = np.zeros((len(table), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (WINDOW, WINDOW), axis=(1, 2), writeable=True)
    for first in range(0, len(table), CHUNK):
        rows = table[first : first + CHUNK]
        scale, orientation, x, y = (np.float32(FACTORS[k].values)[rows[:, k]] for k in range(2, 6))
        x, y = IMAGE_SIZE / 4 + IMAGE_SIZE / 2 * x, IMAGE_SIZE / 4 + IMAGE_SIZE / 2 * y  # px from the top left corner
        left, top = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
        drawn = _windows(rows[:, 1], scale, orientation, x - left, y - top)
        windows[first + np.arange(len(rows)), top - WINDOW // 2, left - WINDOW // 2] = drawn
    return pixels[..., None]
