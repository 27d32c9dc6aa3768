"""Synthetic CelebA: stylised portraits, framed like the centre 128x128 crop of an aligned CelebA photograph.

They are drawn at the size of that crop, so cropping does not change them. A portrait stacks the cached layers of
palette indices of `face_layers.py` and colours them here: an image costs three overlays and one table look-up.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from common.data.dataset import Factor
from common.data.synthetic import check_indices, levels
from common.data.synthetic.face_layers import CLEAR, PIXELS, RAMP, STYLES, Pose, back, eyes, front, mouth

SIZE = 202_599  # As CelebA.
_SALT = 4

# Colours, 8-bit RGB. A backdrop comes with the colour of the clothes.
_BACKDROPS = {
    "teal": ((104, 164, 164), (58, 66, 92)),
    "rose": ((206, 146, 150), (92, 50, 74)),
    "sand": ((214, 192, 150), (62, 92, 104)),
    "blue": ((118, 154, 204), (44, 58, 96)),
    "sage": ((150, 174, 132), (84, 70, 60)),
    "lilac": ((166, 146, 194), (66, 56, 104)),
}
_SKINS = {
    "pale": (252, 222, 204),
    "light": (243, 202, 170),
    "tan": (225, 174, 132),
    "olive": (196, 143, 101),
    "brown": (158, 105, 72),
    "deep": (126, 82, 59),
}
_HAIRS = {
    "Black": (44, 38, 44),
    "Blond": (230, 190, 108),
    "Brown": (112, 70, 44),
    "Gray": (172, 173, 178),
    "red": (176, 78, 40),
}
_BALD_BROWS = (84, 62, 50)  # A bald head does not show its hair colour, not even in brows and moustache.
_NO_YES = (0, 1)

FACTORS = (
    Factor("background", tuple(_BACKDROPS)),
    Factor("skin", tuple(_SKINS)),
    Factor("hair colour", tuple(_HAIRS)),
    Factor("hair style", STYLES),
    Factor("fringe", _NO_YES),
    Factor("glasses", _NO_YES),
    Factor("smile", (0.0, 0.25, 0.5, 0.75, 1.0)),
    Factor("moustache", _NO_YES),
    Factor("azimuth", (-26.0, -19.5, -13.0, -6.5, 0.0, 6.5, 13.0, 19.5, 26.0), "deg"),
    Factor("face width", (70.0, 74.0, 78.0, 82.0, 86.0), "px"),
)

# Names and order as in list_attr_celeba.txt.
ATTRIBUTES = ("Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Eyeglasses", "Gray_Hair")
ATTRIBUTES += ("Mouth_Slightly_Open", "Mustache", "Pale_Skin", "Smiling", "Straight_Hair", "Wavy_Hair")


def _ramp(*stops) -> np.ndarray:
    """Interpolate equally spaced colours: float [RAMP, 3]."""
    at = np.linspace(0, len(stops) - 1, RAMP)
    return np.stack([np.interp(at, range(len(stops)), channel) for channel in np.transpose(stops)], 1)


@functools.cache
def _palette(background: str, skin: str, hair: str | None) -> np.ndarray:
    """Return the colours of all palette indices: uint8 RGB [CLEAR, 3]; `hair` is None for a bald head."""
    wall, cloth = np.array(_BACKDROPS[background])
    flesh = np.array(_SKINS[skin])
    locks = np.array(_BALD_BROWS if hair is None else _HAIRS[hair])
    lip = 0.45 * flesh + 0.55 * np.array([190, 56, 66])
    colours = np.concatenate(
        [
            _ramp(0.72 * wall, wall, wall + 0.25 * (255 - wall)),
            _ramp(0.5 * cloth, cloth, 1.1 * cloth),
            _ramp(flesh * (0.62, 0.5, 0.46), flesh * (0.88, 0.77, 0.73), flesh, flesh + 0.3 * (255 - flesh)),
            _ramp(locks * (0.42, 0.35, 0.32), locks, locks + 0.35 * (255 - locks)),
            [(253, 251, 247), (84, 62, 48), (24, 18, 20), lip, 0.6 * lip, (96, 28, 34), (30, 28, 38)],  # WHITE to FRAME
        ]
    )
    return np.clip(colours + 0.5, 0, 255).astype(np.uint8)


def _portrait(*values: Any) -> np.ndarray:
    """Draw one portrait: a value of each factor -> uint8 RGB [128, 128, 3]."""
    background, skin, hair, style, fringe, glasses, smile, moustache, azimuth, width = values
    if style == "bald":
        hair, fringe = None, 0
    pose = Pose(np.deg2rad(azimuth), width / 2)
    index = back(pose, style)
    for layer in (mouth(pose, smile, moustache), eyes(pose, glasses), front(pose, style, fringe)):
        index = np.where(layer == CLEAR, index, layer)
    return _palette(background, skin, hair).take(index, axis=0)


def factors(indices: ArrayLike) -> np.ndarray:
    """Return the level of each factor: int [n] image indices -> int64 [n, 10], columns as in FACTORS."""
    return levels(check_indices(indices, SIZE), [factor.levels for factor in FACTORS], _SALT)


def images(indices: ArrayLike) -> np.ndarray:
    """Draw images: int [n] image indices -> uint8 RGB [n, 128, 128, 3]."""
    table = factors(indices)
    out = np.empty((len(table), PIXELS, PIXELS, 3), np.uint8)
    for i, row in enumerate(table.tolist()):
        out[i] = _portrait(*(factor.values[level] for factor, level in zip(FACTORS, row, strict=True)))
    return out


def attributes(indices: ArrayLike) -> np.ndarray:
    """Return those of CelebA's attributes that portraits show: int [n] -> int64 [n, len(ATTRIBUTES)] in {-1, 1}.

    A bald head has neither bangs nor a kind or colour of hair, and CelebA has no attribute for red hair.
    """
    table = factors(indices)
    value = {factor.name: np.array(factor.values)[table[:, column]] for column, factor in enumerate(FACTORS)}
    hairy = value["hair style"] != "bald"
    wavy = value["hair style"] == "long wavy"
    seen = {
        "Bald": ~hairy,
        "Bangs": hairy & (value["fringe"] == 1),
        "Eyeglasses": value["glasses"] == 1,
        "Mouth_Slightly_Open": value["smile"] > 0.5,
        "Mustache": value["moustache"] == 1,
        "Pale_Skin": value["skin"] == "pale",
        "Smiling": value["smile"] >= 0.5,
        "Straight_Hair": hairy & ~wavy,
        "Wavy_Hair": wavy,
    }
    seen.update({f"{colour}_Hair": hairy & (value["hair colour"] == colour) for colour in _HAIRS})
    return np.stack([np.where(seen[name], 1, -1) for name in ATTRIBUTES], 1)
