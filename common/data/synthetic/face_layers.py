"""The shapes of synthetic CelebA: cached layers of palette indices, uint8 [128, 128]. Colours are in `faces.py`.

There are four kinds of layer, from far to near: `back` (background, hair behind the face, shoulders, head), `mouth`
(nose, mouth, moustache), `eyes` (brows, eyes, glasses) and `front` (hair over the face). Nothing is anti-aliased: the
resize to 64x64 that follows averages over areas.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

STYLES = ("bald", "short", "bob", "long straight", "long wavy")
_COVERED_EARS = STYLES[2:]
PIXELS = 128

# The palette: four ramps from shadow to light, then single colours.
RAMP = 32
WALL, CLOTH, FLESH, LOCKS = (RAMP * i for i in range(4))
WHITE, IRIS, PUPIL, LIP, LIP_SHADE, MOUTH, FRAME, CLEAR = range(4 * RAMP, 4 * RAMP + 8)

# Rows of the face in px from the top: CelebA's alignment, but a little smaller, so that chin and hair are in the frame.
_CENTRE, _CROWN, _BROW, _EYE, _NOSE, _LIPS, _CHIN = 64, 12, 50, 62, 83, 97, 118
_Y, _X = np.mgrid[:PIXELS, :PIXELS].astype(np.float32)
_CIRCLE = np.linspace(0, 2 * np.pi, 32, endpoint=False)


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where the head's surface is in the picture, for one azimuth and face width."""

    turn: float  # Radians, positive to the right of the picture.
    half: float  # Half of the face's width, px.

    @property
    def middle(self) -> float:
        """The column of the skull's axis, which moves against the turn: CelebA's alignment keeps the eyes centred."""
        return _CENTRE - 0.4 * self.half * np.sin(self.turn)

    @property
    def back(self) -> float:
        """The column of the middle of the hair, which is behind the axis, so it swings against the turn."""
        return self.middle - 0.16 * self.half * np.sin(self.turn)

    def x(self, u: ArrayLike, relief: float = 1.0) -> Any:
        """Return the columns of points `u` half-widths (-1..1) right of the face's middle; `relief` > 1 protrudes."""
        return self.middle + self.half * relief * np.sin(np.clip(np.arcsin(u) + self.turn, -np.pi / 2, np.pi / 2))


class _Layer:
    """A 128x128 picture of palette indices. `x` and `y` are px, `u` is half-widths on the face."""

    def __init__(self, pose: Pose, fill: int):
        self.pose = pose
        self.image = Image.new("L", (PIXELS, PIXELS), fill)
        self.draw = ImageDraw.Draw(self.image)

    def polygon(self, x: Any, y: Any, fill: int) -> None:
        """Fill the polygon with corners x [n], y [n]."""
        self.draw.polygon(np.stack([x, y], 1).ravel().tolist(), fill)

    def oval(self, u: float, y: float, ru: float, ry: float, fill: int, *, relief: float = 1.0) -> None:
        """Fill an oval on the face with centre (u, y) and radii (ru, ry)."""
        self.polygon(self.pose.x(u + ru * np.cos(_CIRCLE), relief), y + ry * np.sin(_CIRCLE), fill)

    def band(self, u: Any, top: Any, bottom: Any, fill: int) -> None:
        """Fill the face between two curves: u [n], top [n] and bottom [n]."""
        x = self.pose.x(u)
        self.polygon(np.concatenate([x, x[::-1]]), np.concatenate([top, bottom[::-1]]), fill)

    def line(self, x: Any, y: Any) -> None:
        """Draw a line of the spectacle frame through x [n], y [n]."""
        self.draw.line(np.stack([x, y], 1).ravel().tolist(), FRAME, 3, joint="curve")

    def array(self) -> np.ndarray:
        """Return the layer as uint8 [128, 128], read-only because the caches share it."""
        return np.asarray(self.image)

    def lit(self, wavy: bool) -> np.ndarray:
        """Return the layer with the first index of each ramp replaced by the step that the light gives."""
        indices = np.array(self.image)
        for start, light in (*_skin_light(self.pose), *_hair_light(self.pose, wavy)):
            np.copyto(indices, light, where=indices == start)
        indices.setflags(write=False)
        return indices


def _steps(start: int, field: np.ndarray) -> tuple[int, np.ndarray]:
    """Return a ramp's first index, and the indices uint8 [128, 128] for the light `field`, in ramp steps."""
    return start, (start + np.clip(field, 1, RAMP - 1)).astype(np.uint8)


def _blob(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """Return a Gaussian bump of height 1 at (x, y): float [128, 128]."""
    return np.exp(-(((_X - x) / rx) ** 2) - ((_Y - y) / ry) ** 2)


@functools.cache
def _skin_light(pose: Pose) -> tuple:
    """Return the light of a lamp, upper left, on wall, clothes, and an ovoid with bright forehead and red cheeks."""
    wall = 30.0 - 22.0 * np.hypot((_X - 50) / 110, (_Y - 40) / 120)
    cloth = 26.0 - 0.35 * np.abs(_X - 54)
    x = (_X - 0.5 * (pose.x(0.0) + pose.middle)) / pose.half
    y = (_Y - _EYE) / (_CHIN - _EYE)
    skin = 21.0 * np.sqrt(np.maximum(1.15 - 0.75 * x * x - 0.55 * y * y, 0.2)) - 4.0 * x - 3.0 * y
    blush = sum(_blob(pose.x(u), _NOSE + 2, 0.24 * pose.half, 8) for u in (-0.54, 0.54))  # Shadows are reddish.
    skin += 4.0 * _blob(pose.x(-0.1), 40, 0.5 * pose.half, 10) - 5.0 * blush
    return _steps(WALL, wall), _steps(CLOTH, cloth), _steps(FLESH, skin)


@functools.cache
def _hair_light(pose: Pose, wavy: bool) -> tuple:
    """Return the light of the lamp on strands that fan out from the crown and then hang, with a ring of shine."""
    x = _X - pose.back
    radius = np.hypot(x / pose.half, (_Y - _EYE) / (_EYE - _CROWN))
    shine = np.exp(-(((radius - 0.84) / 0.14) ** 2)) * np.clip((_EYE - _Y) / 35, 0, 1)
    fan = x * np.maximum(50 / (np.maximum(_Y - _CROWN, 0) + 12), 1)
    strands = np.sin(0.8 * (fan + (3.5 * np.sin(_Y / 5) if wavy else 0)))
    return (_steps(LOCKS, 14.0 + 11.0 * shine + 3.5 * strands - 4.0 * np.clip((_Y - 50) / 60, 0, 1)),)


def _skull(pose: Pose, grow: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the outline of the head above the ears, `grow` px larger, from right to left ear: x [n], y [n]."""
    angle = np.linspace(0.15, -np.pi - 0.15, 40)
    return pose.back + (pose.half + grow) * np.cos(angle), _EYE + (_EYE - _CROWN - 6 + grow) * np.sin(angle)


@functools.cache
def back(pose: Pose, style: str) -> np.ndarray:
    """Draw everything behind the features."""
    layer = _Layer(pose, WALL)
    middle, neck = pose.middle, 0.62 * pose.half
    if style in _COVERED_EARS:
        _mane(layer, style)
    layer.polygon(middle + np.array([-74, -56, -neck, neck, 56, 74]), [140, 122, 113, 113, 122, 140], CLOTH)
    layer.polygon(middle + np.array([-neck, neck, neck + 3, 0, -neck - 3]), [80, 80, 116, 127, 116], FLESH + 8)
    if style == "bald":
        layer.polygon(*_skull(pose, 0), FLESH)
    else:
        layer.polygon(*_skull(pose, 7), LOCKS)
    if style not in _COVERED_EARS:
        _ear(layer, -1)
        _ear(layer, 1)
    _face(layer)
    return layer.lit(style == "long wavy")


def _mane(layer: _Layer, style: str) -> None:
    """Draw hair behind the face, down to the jaw or out of the picture."""
    pose, end = layer.pose, 108 if style == "bob" else 134
    y = np.linspace(30, end, 40)
    fall = np.sin(0.5 * np.pi * np.clip((y - 30) / 34, 0, 1))
    edge = pose.half * (0.7 + 0.3 * fall) + 8 * fall
    if style == "bob":
        edge -= 7 * np.clip((y - 100) / 8, 0, 1) ** 2
    if style == "long wavy":
        edge += fall * (4 + 4 * np.sin((y - _EYE) / 4.6))
    layer.polygon(pose.back + np.concatenate([edge, -edge[::-1]]), np.concatenate([y, y[::-1]]), LOCKS)


def _ear(layer: _Layer, side: int) -> None:
    """Draw the left (-1) or right (1) ear."""
    x, y = layer.pose.middle + side * (layer.pose.half * np.cos(layer.pose.turn) + 2), _EYE + 6
    layer.draw.ellipse((x - 6, y - 11, x + 6, y + 11), FLESH + 16)
    layer.draw.ellipse((x - 3, y - 7, x + 3, y + 6), FLESH + 10)


def _face(layer: _Layer) -> None:
    """Draw the face: half an ellipse above, and below it a jaw that leans towards where the face looks."""
    pose = layer.pose
    across, down = np.cos(_CIRCLE), np.sin(_CIRCLE)
    jaw = np.maximum(down, 0)
    across = np.sign(across) * np.abs(across) ** np.where(down > 0, 0.86, 1) * (1 - 0.1 * jaw**2)
    height = np.where(down > 0, _CHIN - _EYE, _EYE - _CROWN - 6)
    layer.polygon(pose.middle + pose.half * (across + 0.75 * np.sin(pose.turn) * jaw**2), _EYE + height * down, FLESH)


@functools.cache
def front(pose: Pose, style: str, fringe: int) -> np.ndarray:
    """Draw hair over the face, and the near ear."""
    layer = _Layer(pose, CLEAR)
    if style != "bald":
        u = np.linspace(-0.97, 0.97, 61)
        hairline = 31 + 3 * u + 30 * np.abs(u) ** 7 if style == "short" else 24 + 44 * np.abs(u) ** 2.2
        if fringe:
            hairline = np.maximum(hairline, _BROW - 4 + 1.2 * np.cos(22 * u) + 3 * u * u)
        layer.polygon(*_skull(pose, 7), LOCKS)
        layer.band(u, hairline, np.full_like(u, 80), CLEAR)  # Uncovers the face.
    if style in _COVERED_EARS:
        _curtains(layer, style)
    elif pose.turn:
        _ear(layer, -1 if pose.turn > 0 else 1)
    return layer.lit(style == "long wavy")


def _curtains(layer: _Layer, style: str) -> None:
    """Draw the hair in front of the ears."""
    pose = layer.pose
    y = np.linspace(_EYE - 6, 106 if style == "bob" else 134, 30)
    wave = 2.5 * np.sin((y - _EYE) / 4.6 + 1) if style == "long wavy" else np.zeros_like(y)
    for side in (-1, 1):
        inner, outer = pose.x(0.93 * side) + side * wave, np.full_like(y, pose.back + side * (pose.half + 5))
        layer.polygon(np.concatenate([inner, outer]), np.concatenate([y, y[::-1]]), LOCKS)


@functools.cache
def eyes(pose: Pose, glasses: int) -> np.ndarray:
    """Draw brows, eyes and glasses."""
    layer = _Layer(pose, CLEAR)
    t = np.linspace(-1, 1, 15)
    dome = 1 - t * t
    gaze = -0.12 * np.sin(pose.turn)  # The eyes look at the camera.
    for side in (-1, 1):
        eye = 0.44 * side
        lid = _EYE + 1 - 6.5 * dome
        layer.band(eye + 0.2 * t, lid - 1.5, lid + 2, PUPIL)
        layer.band(eye + 0.18 * t, lid + 1.2, _EYE + 1 + 3.5 * dome, WHITE)
        layer.oval(eye + gaze, _EYE - 0.5, 0.1, 4.5, IRIS)
        layer.oval(eye + gaze, _EYE - 0.5, 0.055, 2.5, PUPIL)
        glint = pose.x(eye + gaze) - 1
        layer.draw.rectangle((glint - 1, _EYE - 3, glint, _EYE - 2), WHITE)
        brow = _BROW - 3 * (1 - (t - 0.2) ** 2)
        layer.band(side * (0.46 + 0.24 * t), brow - 0.5, brow + 2.2 - np.maximum(t, 0), LOCKS + 4)
    if glasses:
        _glasses(layer)
    return layer.array()


def _glasses(layer: _Layer) -> None:
    """Draw dark frames with rounded corners, bridge and temples."""
    pose = layer.pose
    across, down = (np.sign(wave) * np.abs(wave) ** 0.7 for wave in (np.cos(_CIRCLE), np.sin(_CIRCLE)))
    across, down = np.append(across, across[:2]), np.append(down, down[:2])
    for side in (-1, 1):
        layer.line(pose.x(0.45 * side + 0.31 * across, 1.03), _EYE + 2 + 10.5 * down)
        layer.line([pose.x(0.76 * side, 1.03), pose.x(0.99 * side)], [_EYE - 2, _EYE - 1])
    layer.line([pose.x(-0.13, 1.08), pose.x(0.0, 1.1), pose.x(0.13, 1.08)], [_EYE, _EYE - 1, _EYE])


@functools.cache
def mouth(pose: Pose, smile: float, moustache: int) -> np.ndarray:
    """Draw nose, mouth and moustache."""
    layer = _Layer(pose, CLEAR)
    layer.polygon([pose.x(0.03), pose.x(0.14, 1.1), pose.x(0.05, 1.2)], [_EYE + 6, _NOSE + 3, _NOSE + 3], FLESH + 15)
    layer.oval(0, _NOSE + 3.5, 0.14, 2.2, FLESH + 11, relief=1.15)
    for side in (-1, 1):
        layer.oval(0.085 * side, _NOSE + 4, 0.04, 1.5, FLESH + 4, relief=1.15)
    t = np.linspace(-1, 1, 25)
    dome = 1 - t * t
    u = (0.27 + 0.15 * smile) * t
    meet = _LIPS + smile * (3 - 9 * t * t)  # The line between the lips, or the upper lip's edge.
    gape = 14 * max(smile - 0.5, 0) * dome
    layer.band(u, meet - 2.5 * dome, meet + gape + 1 + 4 * dome, LIP)
    layer.band(u, meet - 0.8, meet + gape + 0.8, LIP_SHADE)
    if gape.any():
        layer.band(0.93 * u, meet, meet + gape, MOUTH)
        layer.band(0.93 * u, meet, meet + 0.75 * gape, WHITE)
    if moustache:
        brush = meet + 1 - 0.5 * dome
        layer.band((0.36 + 0.06 * smile) * t, brush - 9 * (1 - np.abs(t) ** 2.5), brush, LOCKS + 3)
    return layer.array()
