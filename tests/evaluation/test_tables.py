"""Pictures with captions: where cells and texts stand, to the pixel."""

import numpy as np
import pytest

from common.evaluation.figures.tables import enlarge, heatmap, image_table

pytestmark = pytest.mark.fast

WHITE = 255


def cells(rows, columns, height=60, width=60, channels=1):
    """Cells of one shade each, none of them white or black."""
    shades = 1 + np.arange(rows * columns * channels).reshape(rows, columns, 1, 1, channels)
    return np.broadcast_to(shades, (rows, columns, height, width, channels)).astype(np.uint8)


def box(pixels, shade):
    """The box of the pixels of one shade: (top, left, height, width); all of it must be of that shade."""
    rows, columns = np.nonzero(pixels == shade)
    assert len(rows) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    return rows.min(), columns.min(), rows.max() - rows.min() + 1, columns.max() - columns.min() + 1


@pytest.fixture
def no_texts(monkeypatch):
    """Leaves texts their room and does not draw them: their greys could be any cell's."""
    monkeypatch.setattr("common.evaluation.figures.tables.write_text", lambda *args, **kwargs: None)


def test_cells_are_two_pixels_apart(no_texts):
    pixels = np.asarray(image_table("t", cells(2, 3), ["a", "b"], ["1", "2", "3"]))
    boxes = [box(pixels, shade) for shade in range(1, 7)]
    assert all(b[2:] == (60, 60) for b in boxes)
    top, left = boxes[0][:2]
    assert [b[:2] for b in boxes] == [(top + 62 * r, left + 62 * c) for r in range(2) for c in range(3)]
    assert pixels.shape == (top + 122 + 10, left + 184 + 10)
    assert ((pixels == WHITE) | (pixels <= 6)).all()


def test_a_column_is_as_wide_as_its_label_and_a_row_as_high(no_texts):
    pixels = np.asarray(
        image_table(
            "t",
            cells(2, 2),
            ["one\ntwo\nthree\nfour\nfive\nsix", "b"],
            ["a label that is wider than sixty pixels", "2"],
        )
    )
    first, second, third, _ = (box(pixels, shade) for shade in range(1, 5))
    assert second[1] - first[1] > 62 and third[0] - first[0] > 62
    assert all(b[2:] == (60, 60) for b in (first, second, third))


def test_every_text_is_written_in_the_paper_around_the_cells():
    """Each of the texts darkens pixels of its own; none touches a cell."""
    plain = np.asarray(image_table("", cells(2, 2), ["", ""], ["", ""]))
    assert (plain[plain > 4] == WHITE).all()
    for texts in (
        ("Title", ["", ""], ["", ""]),
        ("", ["row", ""], ["", ""]),
        ("", ["", ""], ["", "column"]),
        ("", ["", ""], ["", ""], "y"),
        ("", ["", ""], ["", ""], "", "x"),
    ):
        title, rows, columns, ylabel, xlabel = (*texts, "", "")[:5]
        pixels = np.asarray(image_table(title, cells(2, 2), rows, columns, ylabel=ylabel, xlabel=xlabel))
        assert (pixels < 128).sum() > (plain < 128).sum() + 10
    picture = image_table("Title", cells(2, 2), ["row", "b"], ["column", "2"], ylabel="down", xlabel="across")
    texts = np.asarray(picture).astype(int)
    left = np.flatnonzero((texts == 1).sum(axis=0) >= 60)[0]
    top = np.flatnonzero((texts == 1).sum(axis=1) >= 60)[0]
    np.testing.assert_array_equal(texts[top : top + 122, left : left + 122][:60, :60], 1)
    np.testing.assert_array_equal(texts[top : top + 122, left : left + 122][62:, 62:], 4)


def test_colour_stays_colour_and_grey_grey():
    colour = np.asarray(image_table("t", cells(1, 2, channels=3), ["a"], ["1", "2"]))
    assert colour.shape[2] == 3 and (colour == [4, 5, 6]).all(axis=2).sum() == 3600
    assert image_table("t", cells(1, 1), ["a"], ["1"]).mode == "L"


def test_labels_must_be_as_many_as_rows_and_columns():
    with pytest.raises(ValueError, match="1 and 2 labels for 2 rows and 2 columns"):
        image_table("t", cells(2, 2), ["a"], ["1", "2"])


def test_more_dots_per_inch_enlarge_everything(no_texts):
    plain, double = (np.asarray(image_table("t", cells(2, 3), ["a", "b"], [""] * 3, dpi=dpi)) for dpi in (100, 200))
    assert box(double, 1)[2:] == (120, 120)  # 60 pixels are repeated until they are 2 x 56 or more.
    assert np.abs(np.array(double.shape) - 2 * np.array(plain.shape)).max() <= 4  # Texts have whole pixels.


def test_a_note_stands_below_the_cells_and_widens_the_picture():
    plain = image_table("t", cells(1, 1), ["a"], [""])
    noted = np.asarray(image_table("t", cells(1, 1), ["a"], [""], note="a note that is wider\nthan the cell"))
    assert noted.shape[1] > plain.width and (noted[plain.height - 8 :] < 128).any()
    np.testing.assert_array_equal(noted[: plain.height - 10, : plain.width], np.asarray(plain)[:-10])


@pytest.mark.parametrize("side, enlarged", [(28, 56), (32, 64), (64, 64), (20, 60), (1, 56)])
def test_tiny_cells_are_enlarged_by_a_whole_factor(side, enlarged):
    random = np.random.RandomState(0).randint(0, 256, (2, side, side, 1))
    large = enlarge(random)
    assert large.shape == (2, enlarged, enlarged, 1)
    np.testing.assert_array_equal(large[:, :: enlarged // side, :: enlarged // side], random)
    np.testing.assert_array_equal(large[:, enlarged // side - 1 :: enlarged // side, :1], random[:, :, :1])


def test_a_heatmaps_shade_is_its_value(no_texts):
    pixels = np.asarray(heatmap("t", np.array([[0.5, 1.0, 7.0]]), ["a"], ["1", "2", "3"]))
    assert (pixels == [8, 48, 107]).all(axis=2).sum() == 2 * 28 * 56  # Beyond 1 it gets no darker.
    assert (pixels == [132, 152, 181]).all(axis=2).sum() == 28 * 56  # Half way from white, rounded to even.


def test_a_heatmap_says_its_numbers():
    zero, low = (np.asarray(heatmap("", np.array([[value]]), [""], [""])) for value in (0.0, 0.004))
    assert (zero < 128).any()
    np.testing.assert_array_equal(zero < 128, low < 128)  # 0.00 both.
    assert not np.array_equal(zero, np.asarray(heatmap("", np.array([[0.01]]), [""], [""])))


def test_frames_that_reserve_each_others_labels_line_up(no_texts):
    boxes = [
        box(np.asarray(image_table("t", cells(1, 1), [label], [""], reserve=["0", "-0.75"])), 1)
        for label in ("0", "-0.75")
    ]
    assert boxes[0] == boxes[1] != box(np.asarray(image_table("t", cells(1, 1), ["0"], [""])), 1)
