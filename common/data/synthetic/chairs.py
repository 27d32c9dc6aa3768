"""Synthetic 3D Chairs (Aubry et al. 2014): shaded blocks on white, on the real grid of views.

1,393 chairs, 2 elevations x 31 azimuths: index = 62 chair + 31 elevation + azimuth. The shape of a chair is a hash of
its number. Images are 300x300, the size of the centre crop of the real renders.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from common.data.dataset import Factor
from common.data.synthetic import check_indices, levels

CHAIRS, ELEVATIONS, AZIMUTHS = 1393, 2, 31  # As many as in the real data.
VIEWS = ELEVATIONS * AZIMUTHS
SIZE = CHAIRS * VIEWS

IMAGE_SIZE = 300  # px
PIXELS_PER_METRE = 198.0  # The largest chair keeps a margin of a few px in every view.
METAL, DARK_METAL = (166, 170, 178), (78, 80, 86)

# Name: (colour of seat and back, colour of legs and frame), RGB in full light.
COLOURS = {
    "oak": ((214, 164, 104), (186, 136, 82)),
    "walnut": ((122, 84, 58), (94, 62, 42)),
    "cherry": ((188, 86, 56), (148, 60, 38)),
    "black leather": ((88, 84, 86), METAL),
    "red": ((212, 44, 40), METAL),
    "blue-grey": ((112, 136, 164), (84, 58, 42)),
    "white plastic": ((240, 240, 236), (204, 158, 108)),
    "mustard": ((230, 176, 48), DARK_METAL),
    "green": ((98, 138, 88), (150, 104, 66)),
    "beige": ((222, 204, 172), (112, 76, 50)),
    "navy": ((48, 78, 150), METAL),
    "turquoise": ((72, 190, 178), DARK_METAL),
}

SHAPE_FACTORS = (
    Factor("colour", tuple(COLOURS)),
    Factor("seat width", (0.42, 0.48, 0.54, 0.60), "m"),
    Factor("seat depth", (0.42, 0.48, 0.54), "m"),
    Factor("seat thickness", (0.04, 0.08, 0.12), "m"),
    Factor("legs", ("straight", "splayed", "pedestal", "sled")),
    Factor("leg height", (0.32, 0.38, 0.44), "m"),
    Factor("back", ("solid", "rounded", "slats", "ladder")),
    Factor("back height", (0.36, 0.43, 0.50, 0.57), "m"),
    Factor("back tilt", (3.0, 10.0, 17.0), "deg"),
    Factor("arms", ("no", "yes")),
)
FACTORS = SHAPE_FACTORS + (
    Factor("elevation", (20.0, 30.0), "deg"),
    Factor("azimuth", tuple(360.0 / AZIMUTHS * k for k in range(AZIMUTHS)), "deg"),
)

# Sides and top of a block as corners, counterclockwise from outside. The camera never sees a bottom.
_FACES = np.array([[0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7], [4, 5, 6, 7]])
_LIGHT = np.array([-0.48, 0.72, 0.50])  # Unit vector to the light in camera axes: upper left.
_AMBIENT, _DIFFUSE = 0.48, 0.60
_PANEL, _FRAME = 0, 1  # Materials: the two colours of COLOURS.


class Chair(NamedTuple):
    """A chair as b convex blocks. Axes in metres: x across, y from front to back, z up.

    Attributes:
        corners: float64 [b, 8, 3]: four corners of the bottom, then of the top, counterclockwise from above; centred.
        places: int64 [b, 5]: the position of a block among the others, see `_paint_order`.
        colours: int64 [b, 3], RGB in full light, in [0, 255].
        tilt: the tilt of the back, in radians.
    """

    corners: np.ndarray
    places: np.ndarray
    colours: np.ndarray
    tilt: float


def images(indices: ArrayLike) -> np.ndarray:
    """Draw images: int [n] image indices -> uint8 RGB [n, 300, 300, 3]."""
    return render(factors(indices))


def factors(indices: ArrayLike) -> np.ndarray:
    """Return the level of each factor: int [n] image indices -> int64 [n, 12], columns as in FACTORS."""
    indices = check_indices(indices, SIZE)
    chair, view = np.divmod(indices, VIEWS)
    shape = levels(chair, [factor.levels for factor in SHAPE_FACTORS], salt=0x3DC4A125)
    return np.column_stack([shape, *np.divmod(view, AZIMUTHS)])


def render(table: np.ndarray) -> np.ndarray:
    """Draw one image per row of levels: int64 [n, 12] -> uint8 RGB [n, 300, 300, 3].

    All blocks of all images are projected at once. Nothing is anti-aliased; the resize to 64 pixels averages.
    """
    table = np.asarray(table, np.int64)
    out = np.empty((len(table), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    if not len(table):
        return out
    chairs = [_chair(*row) for row in table[:, : len(SHAPE_FACTORS)].tolist()]
    owner = np.repeat(np.arange(len(chairs)), [len(chair.corners) for chair in chairs])  # [b], the image of each block.
    camera = _cameras(table[:, -2], table[:, -1])
    order = _paint_order(
        np.concatenate([chair.places for chair in chairs]), owner, camera, np.array([chair.tilt for chair in chairs])
    )
    owner = owner[order]
    seen = np.concatenate([chair.corners for chair in chairs])[order] @ camera[owner].transpose(0, 2, 1)
    polygons, colours, block = _visible_faces(seen, np.concatenate([chair.colours for chair in chairs])[order])
    ends = np.searchsorted(owner[block], np.arange(len(chairs)), side="right").tolist()
    polygons, colours = polygons.tolist(), colours.tolist()
    start = 0
    for i, end in enumerate(ends):
        canvas = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), "white")
        draw = ImageDraw.Draw(canvas)
        for k in range(start, end):
            draw.polygon(polygons[k], tuple(colours[k]))
        out[i] = np.asarray(canvas)
        start = end
    return out


def _cameras(elevation: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Return camera axes for levels [n]: float64 [n, 3, 3], rows right, up, to the viewer. Azimuth 0 is in front."""
    e = np.radians(np.array(FACTORS[-2].values)[elevation])
    a = np.radians(np.array(FACTORS[-1].values)[azimuth])
    right = np.stack([np.cos(a), np.sin(a), np.zeros_like(a)], -1)
    toward = np.stack([np.cos(e) * np.sin(a), -np.cos(e) * np.cos(a), np.sin(e)], -1)
    return np.stack([right, np.cross(toward, right), toward], 1)


def _paint_order(places: np.ndarray, owner: np.ndarray, camera: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    """Sort blocks image by image, far to near, exactly: int64 [b].

    The five places of a block, most significant first, each compare blocks that a plane separates: horizontal planes
    (tiers), the plane of the tilted back, planes of constant x, of constant y, and horizontal planes again. Of two
    blocks separated by a plane, the one on the camera's side is nearer. So one sign per plane turns places into an
    order.
    """
    toward = camera[:, 2]
    behind = np.cos(tilt) * toward[:, 1] - np.sin(tilt) * toward[:, 2]
    above = np.ones_like(behind)  # The camera is always above.
    signs = np.sign(np.stack([above, behind, toward[:, 0], toward[:, 1], above], -1))
    depth = (places * signs[owner]) @ [10_000, 1_000, 100, 10, 1]  # Places are in [-4, 4]: digits do not mix.
    return np.lexsort([depth, owner])


def _visible_faces(seen: np.ndarray, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cull and shade: corners [b, 8, 3] in camera axes (m) -> polygons [f, 8] (x, y in px), RGB [f, 3], block [f]."""
    faces = seen[:, _FACES]
    normal = np.cross(faces[:, :, 2] - faces[:, :, 0], faces[:, :, 3] - faces[:, :, 1])
    block, side = np.nonzero(normal[..., 2] > 0)
    faces, normal = faces[block, side], normal[block, side]
    lambert = np.maximum(normal @ _LIGHT / np.linalg.norm(normal, axis=-1), 0)
    shaded = np.minimum(colours[block] * (_AMBIENT + _DIFFUSE * lambert)[:, None], 255).astype(np.int64)
    pixels = faces[:, :, :2] * [PIXELS_PER_METRE, -PIXELS_PER_METRE] + IMAGE_SIZE / 2
    return pixels.reshape(-1, 8), shaded, block


@functools.lru_cache(maxsize=2 * CHAIRS)
def _chair(*shape: int) -> Chair:
    """Build a chair from the levels of SHAPE_FACTORS."""
    colour, width, depth, thickness, legs, leg_height, back, height, tilt, arms = (
        factor.values[level] for factor, level in zip(SHAPE_FACTORS, shape, strict=True)
    )
    x, y, tilt = width / 2, depth / 2, np.radians(tilt)
    top = leg_height + thickness
    u, v = x - 0.012, y - 0.012  # The seat is a little narrower at its top.
    blocks = [_block(_PANEL, (1, 0, 0, 0, 0), (-x, x, -y, y, leg_height), (-u, u, -v, v, top))]
    blocks += _LEGS[legs](x, y, leg_height)
    blocks += _BACKS[back](u, _leaning(v, top, np.tan(tilt)), height)
    if arms == "yes":
        blocks += _arms(x, y, top, np.tan(tilt))
    materials, places, corners = zip(*blocks, strict=True)
    corners = np.array(corners)
    centre = (corners.min((0, 1)) + corners.max((0, 1))) / 2
    return Chair(corners - centre, np.array(places), np.array(COLOURS[colour])[list(materials)], tilt)


def _block(material: int, place: tuple, bottom: tuple, top: tuple) -> tuple:
    """Return a block between two horizontal rectangles (x0, x1, y0, y1, z), in metres."""
    corners = [
        corner for x0, x1, y0, y1, z in (bottom, top) for corner in ((x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z))
    ]
    return material, place, corners


def _four_legs(x: float, y: float, height: float, splay: float) -> list:
    """Return one leg per corner of the seat, thinner at the floor, its foot `splay` m further out than its top."""
    blocks = []
    for i in (-1, 1):
        for j in (-1, 1):
            u, v = i * (x - 0.035 - splay / 2), j * (y - 0.035 - splay / 2)  # Centre of the top.
            s, t = u + i * splay, v + j * splay  # Centre of the foot.
            foot = (s - 0.017, s + 0.017, t - 0.017, t + 0.017, 0)
            top = (u - 0.024, u + 0.024, v - 0.024, v + 0.024, height)
            blocks.append(_block(_FRAME, (0, 0, i, j, 0), foot, top))
    return blocks


def _pedestal(x: float, y: float, height: float) -> list:
    """Return a central post on a foot of four spokes, which slope down from the hub to the tips."""
    hub, reach, w = 0.035, 0.9 * min(x, y), 0.03  # w: half the width of a spoke.
    blocks = [
        _block(_FRAME, (0, 0, 0, 0, 1), (-hub, hub, -hub, hub, 0.08), (-hub, hub, -hub, hub, height)),
        _block(_FRAME, (0, 0, 0, 0, 0), (-hub, hub, -hub, hub, 0), (-hub, hub, -hub, hub, 0.08)),
    ]
    for i in (-1, 1):
        near, far, slope = (i * r for r in (hub, reach, hub + 0.02))
        x_low, x_high = sorted((near, far)), sorted((near, slope))
        blocks += [
            _block(_FRAME, (0, 0, i, 0, 0), (*x_low, -w, w, 0), (*x_high, -w, w, 0.08)),
            _block(_FRAME, (0, 0, 0, i, 0), (-w, w, *x_low, 0), (-w, w, *x_high, 0.08)),
        ]
    return blocks


def _sled(x: float, y: float, height: float) -> list:
    """Return a runner on the floor under each side, between a front and a rear post."""
    blocks, w, y = [], 0.036, y - 0.02
    for i in (-1, 1):
        x_range = sorted((i * (x - 0.02), i * (x - 0.02 - w)))
        for place, y0, y1, top in ((-1, -y, w - y, height), (0, w - y, y - w, w), (1, y - w, y, height)):
            blocks.append(_block(_FRAME, (0, 0, i, place, 0), (*x_range, y0, y1, 0), (*x_range, y0, y1, top)))
    return blocks


def _leaning(y: float, seat: float, slope: float) -> Callable[..., tuple]:
    """Return a function that makes the blocks of a back, which leans back by `slope` m per m.

    Its `low` and `high` are (x0, x1, z), z in m above the seat: the block's ends, a trapezium seen from the front.
    """

    def block(material: int, place: tuple, thickness: float, low: tuple, high: tuple) -> tuple:
        rectangles = [(x0, x1, y - thickness + slope * z, y + slope * z, seat + z) for x0, x1, z in (low, high)]
        return _block(material, place, *rectangles)

    return block


def _solid_back(x: float, block: Callable[..., tuple], height: float) -> list:
    """Return one panel."""
    return [block(_PANEL, (2, 1, 0, 0, 0), 0.05, (-x, x, 0), (-x, x, height))]


def _rounded_back(x: float, block: Callable[..., tuple], height: float) -> list:
    """Return a panel whose top is half an ellipse, in five bands, the lowest upright."""
    angles = np.radians([0, 25, 47, 67, 85])  # Of the corners on the ellipse.
    half, z = [x, *(x * np.cos(angles))], [0, *(height * (0.45 + 0.55 * np.sin(angles)))]
    edges = [(-u, u, v) for u, v in zip(half, z, strict=True)]
    return [block(_PANEL, (2, 1, 0, 0, k), 0.05, edges[k], edges[k + 1]) for k in range(5)]


def _slats(x: float, block: Callable[..., tuple], height: float) -> list:
    """Return two posts and three upright slats under a top rail."""
    rail, w = height - 0.09, 0.024
    blocks = [block(_PANEL, (3, 1, 0, 0, 0), 0.044, (-x, x, rail), (-x, x, height))]
    for place, centre, half in ((-2, w - x, w), (-1, -x / 2, 0.03), (0, 0, 0.03), (1, x / 2, 0.03), (2, x - w, w)):
        ends = centre - half, centre + half
        material = _FRAME if abs(place) == 2 else _PANEL
        blocks.append(block(material, (2, 1, place, 0, 0), 0.036, (*ends, 0), (*ends, rail)))
    return blocks


def _ladder(x: float, block: Callable[..., tuple], height: float) -> list:
    """Return two posts and three rungs."""
    w, rung = 0.044, height / 6
    blocks = [
        block(_FRAME, (2, 1, i, 0, 0), 0.044, (*ends, 0), (*ends, height))
        for i, ends in ((-1, (-x, w - x)), (1, (x - w, x)))
    ]
    for k in range(3):
        low, high = (2 * k + 0.9) * rung, (2 * k + 1.9) * rung
        blocks.append(block(_PANEL, (2, 1, 0, 0, k), 0.036, (w - x, x - w, low), (w - x, x - w, high)))
    return blocks


def _arms(x: float, y: float, seat: float, slope: float) -> list:
    """Return a post near the front of each side and an arm rest from it to the back."""
    blocks, w, post, rest = [], 0.05, seat + 0.17, seat + 0.21
    for i in (-1, 1):
        outer, inner = i * (x - 0.012), i * (x - 0.012 - w)
        x_range, y0 = sorted((outer, inner)), 0.05 - y
        low, high = (y - 0.062 + slope * z for z in (0.17, 0.21))  # Where the arm rest meets the back.
        blocks += [
            _block(_FRAME, (2, 0, i, 0, 0), (*x_range, y0, y0 + 0.045, seat), (*x_range, y0, y0 + 0.045, post)),
            _block(_PANEL, (2, 0, i, 0, 1), (*x_range, y0 - 0.02, low, post), (*x_range, y0 - 0.02, high, rest)),
        ]
    return blocks


_LEGS = {
    "straight": functools.partial(_four_legs, splay=0.0),
    "splayed": functools.partial(_four_legs, splay=0.08),
    "pedestal": _pedestal,
    "sled": _sled,
}
_BACKS = {"solid": _solid_back, "rounded": _rounded_back, "slats": _slats, "ladder": _ladder}
