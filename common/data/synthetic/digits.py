"""Synthetic MNIST: the ten digits of one typeface, white on black, each slightly distorted.

70,000 images, as in MNIST; the first 60,000 are for training. The digit, factor 0, is the label. The distortions are
small compared with the differences between digits, so that an unsupervised model can find the ten classes. The typeface
is Aileron, which is embedded in Pillow; Pillow must be built with FreeType, as its wheels are.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from common.data.dataset import Factor
from common.data.synthetic import check_indices, levels

SIZE = 70_000
FACTORS = (
    Factor("digit", tuple(range(10))),
    Factor("rotation", tuple(2.5 * k for k in range(-6, 7)), "deg"),  # Clockwise.
    Factor("shear", tuple(k / 20 for k in range(-4, 5))),  # px to the right for each px up, before the rotation.
    Factor("scale", tuple(k / 20 for k in range(17, 24))),
    # Up to 1 px, so that the digit explains a quarter of the pixels' variance (MNIST: a fifth); 2 px would halve that.
    Factor("shift_x", (-1.0, -0.5, 0.0, 0.5, 1.0), "px"),  # Rightwards.
    Factor("shift_y", (-1.0, -0.5, 0.0, 0.5, 1.0), "px"),  # Downwards.
    Factor("stroke_width", (0.0, 0.5, 1.0, 1.5), "px"),  # Added to the typeface's own 2.2 px.
)

IMAGE_SIZE = 28  # px
GLYPH_HEIGHT = 18  # px at scale 1, for any stroke width: about MNIST's 20. No pose reaches the border.
GLYPH_SCALE = 2  # Glyphs have twice the final resolution: bilinear sampling neither aliases nor blurs.
DRAW_SCALE = 16  # They are drawn at 16 times, where rounding to whole pixels does not show.
SOFTNESS = 0.2  # px, standard deviation of a blur that gives about as many grey pixels as MNIST has.
_SALT = 0x4D4E  # "MN"


@functools.cache
def _font(height: int) -> Any:
    """Return the typeface at the size where its digit 0 is `height` px tall."""
    _, top, _, bottom = ImageFont.load_default(size=1000).getmask("0").getbbox()  # pyright: ignore
    return ImageFont.load_default(size=1000 * height / (bottom - top))


@functools.cache
def _glyph(digit: int, stroke_width: float) -> Image.Image:
    """Draw an undistorted digit, GLYPH_HEIGHT px tall with its added stroke, its bounding box centred: "L", 56 x 56."""
    outline = round(stroke_width / 2 * DRAW_SCALE)  # On either side of the stroke.
    font = _font(GLYPH_HEIGHT * DRAW_SCALE - 2 * outline)
    size = IMAGE_SIZE * DRAW_SCALE
    canvas = Image.new("L", (size, size))
    ImageDraw.Draw(canvas).text((size / 4, 0), str(digit), fill=255, font=font, stroke_width=outline)
    left, top, right, bottom = canvas.getbbox() or (0, 0, size, size)
    centred = Image.new("L", (size, size))
    centred.paste(canvas.crop((left, top, right, bottom)), ((size - right + left) // 2, (size - bottom + top) // 2))
    return centred.filter(ImageFilter.GaussianBlur(SOFTNESS * DRAW_SCALE)).reduce(DRAW_SCALE // GLYPH_SCALE)


def _sampling(rotation, shear, scale, shift_x, shift_y) -> np.ndarray:
    """Return the affine maps from images to glyphs: the inverse of "shear, rotate, scale about the centre, then shift".

    All arguments are float [n], in the units of FACTORS. The result is float64 [n, 6], (a, b, c, d, e, f): image point
    (x, y) shows glyph point (a x + b y + c, d x + e y + f), y down.
    """
    angle = np.deg2rad(rotation)
    cos, sin = np.cos(angle) * GLYPH_SCALE / scale, np.sin(angle) * GLYPH_SCALE / scale
    # Forward [[cos, -sin], [sin, cos]] [[1, -shear], [0, 1]], inverted: [[1, shear], [0, 1]] [[cos, sin], [-sin, cos]].
    a, b, d, e = cos - shear * sin, sin + shear * cos, -sin, cos
    x, y = IMAGE_SIZE / 2 + shift_x, IMAGE_SIZE / 2 + shift_y  # The glyph's centre.
    centre = GLYPH_SCALE * IMAGE_SIZE / 2
    return np.stack([a, b, centre - a * x - b * y, d, e, centre - d * x - e * y], axis=1)


def factors(indices: ArrayLike) -> np.ndarray:
    """Return the level of each factor: int [n] image indices -> int64 [n, 7], columns as in FACTORS."""
    return levels(check_indices(indices, SIZE), [factor.levels for factor in FACTORS], _SALT)


def images(indices: ArrayLike) -> np.ndarray:
    """Draw images: int [n] image indices -> uint8 [n, 28, 28, 1], strokes 255 on 0."""
    table = factors(indices)
    digit, *pose, stroke_width = (np.array(f.values)[column] for f, column in zip(FACTORS, table.T, strict=True))
    pixels = np.empty((len(table), IMAGE_SIZE, IMAGE_SIZE, 1), np.uint8)
    for i, matrix in enumerate(_sampling(*pose).tolist()):
        glyph = _glyph(int(digit[i]), float(stroke_width[i]))
        image = glyph.transform((IMAGE_SIZE, IMAGE_SIZE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        pixels[i, :, :, 0] = np.asarray(image)
    return pixels
