"""The curves of a run: one panel per column, gaps for what is missing."""

import math

import numpy as np
import pytest
from PIL import Image

from common.evaluation.figures.curves import curve_table, draw_log, ticks

pytestmark = pytest.mark.fast

BLUE = (31, 90, 166)


def blue(picture):
    return np.argwhere((np.asarray(picture) == BLUE).all(axis=2))


def test_a_rising_curve_ends_at_the_upper_right():
    points = blue(curve_table("epoch", [0, 1, 2], {"loss": [1.0, 2.0, 3.0]}))
    lowest, highest = points[points[:, 0].argmax()], points[points[:, 0].argmin()]
    assert lowest[1] < 80 and highest[1] > 310 and lowest[0] - highest[0] > 120


def test_values_that_are_not_finite_leave_a_gap():
    columns = set(blue(curve_table("epoch", [0, 1, 2, 3, 4], {"loss": [1.0, 1.0, math.nan, 1.0, 1.0]}))[:, 1])
    assert {100, 290} <= columns and not {180, 195, 210} & columns


def test_a_log_has_one_panel_per_loss(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,d_loss,g_loss,accuracy,only_some\n0,1,2,0.5,\n1,0.5,nan,0.75,NA\n")
    draw_log(tmp_path / "log.csv", tmp_path / "losses.png")
    with Image.open(tmp_path / "losses.png") as picture:
        assert picture.size == (3 * 340, 2 * 220)
        assert len(blue(picture.crop((680, 0, 1020, 220)))) > 50 > 0 == len(blue(picture.crop((0, 220, 340, 440))))


def test_a_title_stands_above_all_panels():
    plain, titled = (curve_table("epoch", [0, 1], {"loss": [1.0, 2.0]}, title) for title in ("", "MNIST"))
    assert titled.height == plain.height + 30
    np.testing.assert_array_equal(np.asarray(titled)[30:], plain)


@pytest.mark.parametrize(
    "low, high, wanted",
    [
        (0, 10, [0, 5, 10]),
        (0.1, 0.97, [0.2, 0.4, 0.6, 0.8]),
        (-3, 1234, [0, 500, 1000]),
        (2.999, 3.001, [2.999, 3, 3.001]),
        (7, 7, [7]),
    ],
)
def test_ticks_are_round(low, high, wanted):
    assert ticks(low, high) == pytest.approx(wanted)


def test_an_empty_log_has_no_picture(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,d_loss\n")
    draw_log(tmp_path / "log.csv", tmp_path / "losses.png")
    assert not (tmp_path / "losses.png").exists()
