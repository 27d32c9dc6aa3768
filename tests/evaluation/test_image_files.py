"""Grids, the contrast stretch and image files; files are whole or absent."""

import os

import numpy as np
import pytest
from PIL import Image

from common.evaluation.figures.image_files import merge, save_grid, save_picture
from common.io.atomic import atomic_write, remove_leftovers, write_json

pytestmark = pytest.mark.fast


def test_images_fill_a_grid_row_by_row():
    images = np.arange(6.0)[:, None, None, None] + np.zeros((6, 2, 4, 3))
    grid = merge(images, rows=2, columns=3)
    assert grid.shape == (4, 12, 3)
    for i in range(6):
        row, column = divmod(i, 3)
        np.testing.assert_array_equal(grid[2 * row : 2 * row + 2, 4 * column : 4 * column + 4], i)


def test_an_image_keeps_its_orientation_in_the_grid():
    images = np.random.RandomState(0).normal(size=(4, 2, 3, 3))
    np.testing.assert_array_equal(merge(images, 2, 2)[2:, 3:], images[3])


def test_missing_cells_stay_0():
    grid = merge(np.ones((3, 2, 2, 3)), 2, 2)
    assert grid[:2].all() and grid[2:, :2].all()
    assert not grid[2:, 2:].any()


def test_a_grid_of_64_images_of_64_pixels_is_512_pixels_wide(tmp_path):
    save_grid(np.random.RandomState(0).normal(size=(64, 64, 64, 3)), 8, 8, tmp_path / "grid.jpg")
    with Image.open(tmp_path / "grid.jpg") as image:
        assert image.size == (512, 512) and image.mode == "RGB"


def test_too_many_images_are_refused():
    with pytest.raises(ValueError, match="5 images do not fit into 2x2"):
        merge(np.zeros((5, 2, 2, 1)), 2, 2)


def test_a_single_channel_has_no_last_axis():
    images = np.random.RandomState(0).normal(size=(2, 3, 4, 1))
    grid = merge(images, 1, 2)
    assert grid.shape == (3, 8)
    np.testing.assert_array_equal(grid[:, 4:], images[1, ..., 0])


def test_save_grid_stretches_the_grid_as_a_whole(tmp_path):
    """The darkest image's minimum becomes 0, the brightest one's maximum 255; [-1, 1] maps linearly between."""
    images = np.full((3, 2, 2, 3), -0.6)
    images[0, 0, 0], images[1], images[2, 1, 1] = -1.0, 0.2, 1.0
    save_grid(images, 1, 3, tmp_path / "grid.png")
    pixels = np.asarray(Image.open(tmp_path / "grid.png"))
    wanted = np.full((2, 6, 3), 51)
    wanted[0, 0], wanted[:, 2:4], wanted[1, 5] = 0, 153, 255
    np.testing.assert_array_equal(pixels, wanted)


def test_save_grid_of_one_channel_is_grey(tmp_path):
    save_grid(np.array([0.0, 1.0]).reshape(2, 1, 1, 1), 1, 2, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), [[0, 255]])


def test_a_jpeg_is_a_jpeg(tmp_path):
    save_picture(Image.fromarray(np.full((16, 16, 3), 128, np.uint8)), tmp_path / "grey.jpg")
    with Image.open(tmp_path / "grey.jpg") as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - 128).max() <= 1
    assert os.listdir(tmp_path) == ["grey.jpg"]


def test_an_error_leaves_nothing_behind_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["result.txt"]
    assert path.read_text() == "old"


def test_an_image_that_cannot_be_saved_leaves_nothing_behind(tmp_path):
    with pytest.raises((OSError, ValueError)):
        save_picture(Image.new("RGB", (2, 2)), tmp_path / "image.nosuchformat")
    assert os.listdir(tmp_path) == []


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".txt"
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match=f"is a folder: name a file: '{tmp_path}/a'"):
        (tmp_path / "a").mkdir()
        write_json({}, tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_may_be_read_by_whom_the_users_mask_lets_read_it(tmp_path):
    before = os.umask(0o027)
    try:
        write_json({"a": 1}, tmp_path / "result.json")
        assert (tmp_path / "result.json").stat().st_mode & 0o777 == 0o640
        assert os.umask(0o027) == 0o027  # The mask is as it was.
    finally:
        os.umask(before)


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json({"a": [1, 2]}, tmp_path / "result.json")
    assert (tmp_path / "result.json").read_text() == '{\n  "a": [\n    1,\n    2\n  ]\n}\n'
    with pytest.raises(TypeError):
        write_json({"a": object()}, tmp_path / "result.json")
    assert os.listdir(tmp_path) == ["result.json"]
    assert (tmp_path / "result.json").read_text().endswith("}\n")


def test_an_animation_shows_its_frames_exactly_and_without_end(tmp_path):
    frames = [Image.fromarray(np.random.RandomState(i).randint(0, 256, (4 + i, 5)).astype(np.uint8)) for i in range(3)]
    save_picture(frames, tmp_path / "a.gif", milliseconds=120)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 3 and animation.info["loop"] == 0 and animation.info["duration"] == 120
        for i, frame in enumerate(frames):
            animation.seek(i)
            shown = np.asarray(animation.convert("L"))
            assert shown.shape == (6, 5)  # The largest one's; the rest is white.
            np.testing.assert_array_equal(shown[: 4 + i], np.asarray(frame))
            assert (shown[4 + i :] == 255).all()


def test_a_picture_is_saved_as_it_is(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (4, 5, 3)).astype(np.uint8)
    save_picture(Image.fromarray(pixels), tmp_path / "p.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "p.png")), pixels)


def test_a_pdf_is_as_large_as_dots_per_inch_say_and_has_no_date(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save_picture(Image.new("RGB", (300, 200)), tmp_path / folder / "p.pdf", dpi=100)
    first, second = ((tmp_path / folder / "p.pdf").read_bytes() for folder in ("a", "b"))
    assert first == second and b"MediaBox [ 0 0 216.0 144.0 ]" in first and b"Date" not in first


def test_a_png_says_its_dots_per_inch(tmp_path):
    save_picture(Image.new("L", (2, 2)), tmp_path / "p.png", dpi=300)
    assert Image.open(tmp_path / "p.png").info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_what_a_killed_process_left_unfinished_is_swept(tmp_path):
    whole = atomic_write(tmp_path / "a.png")
    whole.__enter__().write_bytes(b"half")
    (tmp_path / ".mine").touch()
    (tmp_path / ".unfinished-folder").mkdir()
    (tmp_path / ".unfinished-folder" / "0.png").touch()
    (tmp_path / ".unfinished-link").symlink_to(tmp_path, target_is_directory=True)
    assert len(list(tmp_path.iterdir())) == 4
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine"]
