"""Synthetic 3D Chairs: on the real grid of views, in frame, near faces over far ones."""

import itertools

import numpy as np
import pytest

from common.data.preprocess import preprocess
from common.data.synthetic import chairs

pytestmark = pytest.mark.fast

SHAPE = [len(factor.values) for factor in chairs.SHAPE_FACTORS]


def test_views_are_the_grid_of_the_real_data():
    table = chairs.factors(np.arange(chairs.SIZE)).reshape(1393, 2, 31, len(chairs.FACTORS))
    assert table.dtype == np.int64
    assert (table[..., -2] == np.arange(2)[:, None]).all() and (table[..., -1] == np.arange(31)).all()
    assert (table[..., :-2] == table[:, :1, :1, :-2]).all()  # One shape per chair.


@pytest.mark.parametrize("column", range(len(chairs.FACTORS)), ids=[factor.name for factor in chairs.FACTORS])
def test_every_level_shows_at_64_pixels(column):
    count = chairs.FACTORS[column].levels
    for start in chairs.factors([5, 31_003]):
        table = np.repeat(start[None], count, 0)
        table[:, column] = np.arange(count)
        images = [preprocess(image, 300, 64).astype(int) for image in chairs.render(table)]
        for one, other in itertools.combinations(images, 2):
            assert np.abs(one - other).max() > 40


def test_every_chair_fits_the_frame_at_every_view():
    """The smallest and the largest chair on every kind of legs keep a margin of white, and are not tiny."""
    for legs, size in itertools.product(range(4), (0, -1)):
        shape = [count - 1 if size else 0 for count in SHAPE]
        shape[4], shape[6] = legs, 0
        views = chairs.render([shape + [e, a] for e in range(2) for a in range(31)])
        ink = (views < 255).any(-1)
        assert not ink[:, :4].any() and not ink[:, -4:].any() and not ink[:, :, :4].any() and not ink[:, :, -4:].any()
        assert ink.any(2).sum(1).min() > 120  # Rows with ink.


@pytest.mark.parametrize("legs, back", [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_painting_shows_the_nearest_face_at_every_pixel(legs, back):
    """Compare with ray casting, except within 1.5 px of an edge, where rasterizers differ."""
    y, x = np.mgrid[2:300:4, 2:300:4]
    for azimuth in range(0, 31, 5):
        row = np.array([4, 1, 1, 1, legs, 1, back, 1, 2, 1, azimuth % 2, azimuth])
        chair = chairs._chair(*row[:-2].tolist())
        seen = chair.corners @ chairs._cameras(row[-2:-1], row[-1:])[0].T
        depth, expected = np.full(x.shape, -np.inf), np.full((*x.shape, 3), 255)
        clear = np.full(x.shape, True)  # Of edges.
        polygons, colours, block = chairs._visible_faces(seen, chair.colours)
        for polygon, colour, corners in zip(polygons.reshape(-1, 4, 2), colours, seen[block], strict=True):
            pixels = corners[:, :2] * [chairs.PIXELS_PER_METRE, -chairs.PIXELS_PER_METRE] + 150
            nearest = np.array([corners[np.abs(pixels - point).sum(-1).argmin(), 2] for point in polygon])
            a, b, c = np.linalg.lstsq(np.column_stack([polygon, np.ones(4)]), nearest, rcond=None)[0]
            inside = np.full(x.shape, True)
            for p, q in zip(polygon, np.roll(polygon, -1, 0), strict=True):
                distance = ((q[1] - p[1]) * (x - p[0]) - (q[0] - p[0]) * (y - p[1])) / max(np.hypot(*(q - p)), 1e-9)
                inside &= distance >= 0
                along = ((x - p[0]) * (q[0] - p[0]) + (y - p[1]) * (q[1] - p[1])) / max(np.sum((q - p) ** 2), 1e-9)
                t = np.clip(along, 0, 1)
                clear &= np.hypot(x - p[0] - t * (q[0] - p[0]), y - p[1] - t * (q[1] - p[1])) > 1.5
            nearer = inside & (a * x + b * y + c > depth)
            depth[nearer], expected[nearer] = (a * x + b * y + c)[nearer], colour
        drawn = chairs.render(row[None])[0][2:300:4, 2:300:4]
        np.testing.assert_array_equal(drawn[clear], expected[clear])
        assert (clear & np.isfinite(depth)).sum() > 100  # Of every 16th px.
