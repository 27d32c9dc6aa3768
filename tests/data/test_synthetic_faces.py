"""The CelebA stand-in: pure in its index, every factor seen, CelebA's attributes true to the picture."""

import numpy as np
import pytest
from PIL import Image

from common.data.synthetic import faces

SAMPLE = np.array([0, 1, 7, 4_000, 100_003, faces.SIZE - 1])
MANY = np.arange(20_000)
# Levels of one portrait on which each factor shows: short brown hair, no fringe, a closed smile, seen from the front.
BASE = {
    "background": 3,
    "skin": 1,
    "hair colour": 2,
    "hair style": 1,
    "fringe": 0,
    "glasses": 0,
    "smile": 2,
    "moustache": 0,
    "azimuth": 4,
    "face width": 2,
}


def _draw(**changes):
    """BASE with the levels of some factors changed, named with "_" for " " -> float [64, 64, 3], as the pipeline reduces it."""
    row = BASE | {name.replace("_", " "): level for name, level in changes.items()}
    image = faces._portrait(*(factor.values[row[factor.name]] for factor in faces.FACTORS))
    low, high = float(image.min()), float(image.max())
    stretched = ((image - low) * 255 / (high - low) + 0.5).astype(np.uint8)
    return np.asarray(Image.fromarray(stretched).resize((64, 64), Image.BILINEAR), float)


def _attribute(name, indices=MANY):
    return faces.attributes(indices)[:, faces.ATTRIBUTES.index(name)] == 1


def _value(name, indices=MANY):
    column = [factor.name for factor in faces.FACTORS].index(name)
    return np.array(faces.FACTORS[column].values)[faces.factors(indices)[:, column]]


def test_is_deterministic_in_any_batch():
    whole = faces.images(SAMPLE)
    assert whole.dtype == np.uint8 and whole.shape == (len(SAMPLE), 128, 128, 3)
    np.testing.assert_array_equal(faces.images(SAMPLE[::-1])[::-1], whole)
    for cached in (faces._palette, faces.back, faces.mouth, faces.eyes, faces.front):
        cached.cache_clear()
    for index, image in zip(SAMPLE, whole):
        np.testing.assert_array_equal(faces.images([index])[0], image)
    assert faces.images([]).shape == (0, 128, 128, 3)


@pytest.mark.parametrize("index", [-1, faces.SIZE])
@pytest.mark.parametrize("function", [faces.images, faces.factors, faces.attributes])
def test_refuses_indices_out_of_range(function, index):
    with pytest.raises(IndexError):
        function([0, index])


def test_has_the_size_of_the_real_data():
    assert faces.SIZE == 202_599


def test_levels_are_uniform_and_independent():
    table = faces.factors(MANY)
    sizes = [factor.levels for factor in faces.FACTORS]
    assert table.dtype == np.int64 and table.shape == (len(MANY), len(sizes))
    for levels, size in zip(table.T, sizes):
        np.testing.assert_allclose(np.bincount(levels, minlength=size) * size / len(MANY), 1, atol=0.1)
    assert np.abs(np.corrcoef(table.T) - np.eye(len(sizes))).max() < 0.04


def test_an_image_shows_the_levels_of_its_index():
    row = faces.factors(SAMPLE)[3]
    portrait = faces._portrait(*(factor.values[level] for factor, level in zip(faces.FACTORS, row)))
    np.testing.assert_array_equal(faces.images(SAMPLE)[3], portrait)


@pytest.mark.parametrize("factor", faces.FACTORS, ids=lambda factor: factor.name)
def test_every_level_looks_different_at_64_pixels(factor):
    shown = [_draw(**{factor.name.replace(" ", "_"): level}) for level in range(factor.levels)]
    for i, image in enumerate(shown):
        for other in shown[:i]:
            assert (np.abs(image - other).max(2) > 30).sum() >= 8


@pytest.mark.parametrize(
    "name, rows", [("glasses", (24, 39)), ("smile", (42, 61)), ("moustache", (42, 54)), ("fringe", (8, 26))]
)
def test_changes_only_its_part_of_the_face(name, rows):
    changed = np.flatnonzero((_draw(**{name: 0}) != _draw(**{name: 1})).any((1, 2)))
    assert rows[0] <= changed.min() and changed.max() < rows[1]


def test_turning_the_head_moves_the_nose_further_than_the_skull():
    poses = [faces.Pose(np.deg2rad(degrees), 39.0) for degrees in faces.FACTORS[8].values]
    noses, skulls = np.array([pose.x(0.0) for pose in poses]), np.array([pose.middle for pose in poses])
    assert (np.diff(noses) > 0).all() and (np.diff(noses - skulls) > np.diff(noses)).all()
    left, right = (
        np.diff(pose.x(np.array([[-0.64, 0.24], [-0.24, 0.64]])), axis=0)[0] for pose in (poses[0], poses[-1])
    )
    assert left[0] < left[1] and right[0] > right[1]  # the farther eye is the narrower


def test_a_bald_head_shows_neither_fringe_nor_hair_colour():
    bald = faces.STYLES.index("bald")
    plain = _draw(hair_style=bald, moustache=1)
    np.testing.assert_array_equal(_draw(hair_style=bald, moustache=1, fringe=1), plain)
    for colour in range(5):
        np.testing.assert_array_equal(_draw(hair_style=bald, moustache=1, hair_colour=colour), plain)


def test_attributes_tell_what_is_seen():
    table = faces.attributes(MANY)
    assert (
        table.dtype == np.int64
        and table.shape == (len(MANY), len(faces.ATTRIBUTES))
        and set(np.unique(table)) == {-1, 1}
    )
    bald = _value("hair style") == "bald"
    np.testing.assert_array_equal(_attribute("Bald"), bald)
    np.testing.assert_array_equal(_attribute("Bangs"), (_value("fringe") == 1) & ~bald)
    np.testing.assert_array_equal(_attribute("Eyeglasses"), _value("glasses") == 1)
    np.testing.assert_array_equal(_attribute("Mustache"), _value("moustache") == 1)
    np.testing.assert_array_equal(_attribute("Smiling"), _value("smile") >= 0.5)
    np.testing.assert_array_equal(_attribute("Straight_Hair"), ~_attribute("Wavy_Hair") & ~bald)
    colours = np.sum([_attribute(f"{colour}_Hair") for colour in ("Black", "Blond", "Brown", "Gray")], 0)
    np.testing.assert_array_equal(colours, ~bald & (_value("hair colour") != "red"))


def test_attributes_carry_the_names_of_celeba():
    celeba = (
        "Bald Bangs Black_Hair Blond_Hair Brown_Hair Eyeglasses Gray_Hair Mouth_Slightly_Open Mustache Pale_Skin Smiling "
        "Straight_Hair Wavy_Hair"
    )
    assert faces.ATTRIBUTES == tuple(celeba.split())
