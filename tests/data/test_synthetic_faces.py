"""Synthetic CelebA: every factor shows, and CelebA's attributes are true to the picture."""

import numpy as np
import pytest

from common.data.preprocess import preprocess
from common.data.synthetic import faces

pytestmark = pytest.mark.fast

SAMPLE = np.array([0, 1, 7, 4_000, 100_003, faces.SIZE - 1])
MANY = np.arange(20_000)
# Levels of a portrait on which each factor shows: short brown hair, no fringe, a closed smile, seen from the front.
BASE = dict(zip([factor.name for factor in faces.FACTORS], (3, 1, 2, 1, 0, 0, 2, 0, 4, 2), strict=True))


def _draw(**changes):
    """Draw BASE with some levels changed ("_" for " "), stretched and resized: int [64, 64, 3]."""
    row = BASE | {name.replace("_", " "): level for name, level in changes.items()}
    portrait = faces._portrait(*(factor.values[row[factor.name]] for factor in faces.FACTORS))
    return preprocess(portrait, 128, 64).astype(int)


def _attribute(name, indices=MANY):
    return faces.attributes(indices)[:, faces.ATTRIBUTES.index(name)] == 1


def _value(name, indices=MANY):
    column = [factor.name for factor in faces.FACTORS].index(name)
    return np.array(faces.FACTORS[column].values)[faces.factors(indices)[:, column]]


def test_image_shows_the_levels_of_its_index():
    row = faces.factors(SAMPLE)[3]
    portrait = faces._portrait(*(factor.values[level] for factor, level in zip(faces.FACTORS, row, strict=True)))
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
def test_factor_changes_only_its_part_of_the_face(name, rows):
    changed = np.flatnonzero((_draw(**{name: 0}) != _draw(**{name: 1})).any((1, 2)))
    assert rows[0] <= changed.min() and changed.max() < rows[1]


def test_turning_the_head_moves_the_nose_further_than_the_skull():
    poses = [faces.Pose(np.deg2rad(degrees), 39.0) for degrees in faces.FACTORS[8].values]
    noses, skulls = np.array([pose.x(0.0) for pose in poses]), np.array([pose.middle for pose in poses])
    assert (np.diff(noses) > 0).all() and (np.diff(noses - skulls) > np.diff(noses)).all()
    left, right = (
        np.diff(pose.x(np.array([[-0.64, 0.24], [-0.24, 0.64]])), axis=0)[0] for pose in (poses[0], poses[-1])
    )
    assert left[0] < left[1] and right[0] > right[1]  # The farther eye is narrower.


def test_bald_head_shows_neither_fringe_nor_hair_colour():
    bald = faces.STYLES.index("bald")
    plain = _draw(hair_style=bald, moustache=1)
    np.testing.assert_array_equal(_draw(hair_style=bald, moustache=1, fringe=1), plain)
    for colour in range(5):
        np.testing.assert_array_equal(_draw(hair_style=bald, moustache=1, hair_colour=colour), plain)


def test_attributes_tell_what_is_seen():
    table = faces.attributes(MANY)
    assert table.dtype == np.int64 and table.shape == (len(MANY), 13) and set(np.unique(table)) == {-1, 1}
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
    celeba = "Bald Bangs Black_Hair Blond_Hair Brown_Hair Eyeglasses Gray_Hair Mouth_Slightly_Open Mustache Pale_Skin"
    celeba += " Smiling Straight_Hair Wavy_Hair"
    assert tuple(celeba.split()) == faces.ATTRIBUTES
