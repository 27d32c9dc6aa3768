"""3D Chairs as a folder and as a tar, the views in the file names, and other files in between."""

import os
import pathlib
import sys

import numpy as np
import pytest

from common.data import chairs, entries, files
from common.data.preprocess import decode, preprocess
from common.errors import UserError
from common.options import Cache
from helpers.images import encoded, tar

pytestmark = pytest.mark.fast

VIEWS = [(elevation, azimuth) for elevation in (20, 30) for azimuth in (11, 198, 349)]
RANDOM = np.random.default_rng(0)
NO_CACHE = Cache(None, False)


def name(number, elevation, azimuth):
    return f"image_{number:03d}_p{elevation:03d}_t{azimuth:03d}_r096.png"


def render(mode="RGB", size=(310, 304)):
    """A random picture of `mode`, as the bytes of a PNG."""
    return encoded("PNG", RANDOM.integers(0, 256, (*size[::-1], 3), dtype=np.uint8), mode)


@pytest.fixture(scope="module")
def renders():
    """Name -> bytes of 2 chairs' 6 renders each, in sorted order."""
    return {f"{i}/renders/{name(n, *view)}": render() for i in ("1028b3", "9a1b") for n, view in enumerate(VIEWS)}


def save(folder, contents):
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def save_tar(path, contents, mode="w"):
    members = [(f"rendered_chairs/{file}", data) for file, data in reversed(contents.items())]  # Not sorted.
    path.write_bytes(tar(members, mode=mode))
    return path


def check(dataset, contents):
    """`dataset` has these images in sorted order, through the original's crop and resize."""
    expected = np.stack([preprocess(decode(data), 300, 64) for data in contents.values()])
    assert len(dataset.train) == len(expected)
    np.testing.assert_array_equal(dataset.train.take(0, len(expected)), expected)
    np.testing.assert_array_equal(dataset.train.images[np.array([len(expected) - 1, 0])], expected[[-1, 0]])


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("save_as, file", [(save, "rendered_chairs"), (save_tar, "rendered_chairs.tar")])
def test_folder_and_tar(tmp_path, renders, enabled, save_as, file):
    path = save_as(tmp_path / file, renders)
    cache = Cache(tmp_path / "cache", enabled)
    check(chairs.read(tmp_path, cache), renders)
    check(chairs.read(path, cache), renders)
    assert (tmp_path / "cache").exists() == enabled


def test_names_give_the_factors(tmp_path, renders):
    dataset = chairs.read(save(tmp_path / "rendered_chairs", renders), NO_CACHE)
    assert [(f.name, f.unit, f.values) for f in dataset.factors] == [
        ("chair", "", ("1028b3", "9a1b")),
        ("elevation", "deg", (20, 30)),
        ("azimuth", "deg", (11, 198, 349)),
    ]
    assert dataset.train.factors.dtype == np.int64
    np.testing.assert_array_equal(dataset.train.factors, np.indices((2, 2, 3)).reshape(3, -1).T)


def test_an_image_with_another_name_costs_itself_alone(tmp_path, renders, caplog):
    strays = {"9a1b/renders/preview.png": render(), "x/side.png": render()}
    dataset = chairs.read(save(tmp_path, {**renders, **strays}), NO_CACHE)
    check(dataset, renders)
    assert dataset.train.factors.shape == (12, 3)
    assert set(dataset.unused) == set(strays) and dataset.broken == ()
    assert all(name in caplog.text for name in strays)


def test_if_no_name_tells_the_view_there_are_no_factors(tmp_path):
    data = {f"{chair}/renders/{i}.png": render() for chair in "ab" for i in range(2)}
    dataset = chairs.read(save(tmp_path, data), NO_CACHE)
    check(dataset, data)
    assert (dataset.train.factors, dataset.factors) == (None, ())


def test_a_view_that_is_there_twice_is_taken_once(tmp_path, renders, caplog):
    first, *_ = renders
    again = {f"copy/{first}": renders[first], f"1028b3/renders/{name(77, *VIEWS[0])}": render()}
    dataset = chairs.read(save(tmp_path, {**renders, **again}), NO_CACHE)
    check(dataset, renders)
    assert set(dataset.unused) == set(again) and "there twice" in caplog.text


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_other_modes_are_converted_to_rgb(tmp_path, mode):
    data = {f"a/renders/{name(0, 20, 11)}": render(mode)}
    check(chairs.read(save(tmp_path, data), NO_CACHE), data)


@pytest.mark.parametrize("enabled", [True, False])
def test_broken_renders_are_named_and_left_out(tmp_path, renders, caplog, enabled):
    names = list(renders)
    bad = {names[0]: renders[names[4]][:9000], names[5]: b"", names[7]: b"x", names[8]: render(size=(299, 400))}
    dataset = chairs.read(save(tmp_path / "rendered_chairs", renders | bad), Cache(tmp_path / "cache", enabled))
    check(dataset, {name: data for name, data in renders.items() if name not in bad})
    assert len(dataset.train.factors) == 8
    assert dataset.train.factors[0].tolist() == [0, 0, 1]  # The rows follow the images.
    assert dataset.broken == tuple(bad)
    assert all(f"Left out: {name} is broken" in caplog.text for name in bad)
    assert "299x400 pixels are fewer than the 300x300 to crop" in caplog.text
    assert "4 of 12" in caplog.text


def test_other_files_are_ignored(tmp_path, renders):
    others = ("all_chair_names.mat", "1028b3/notes.txt", "9a1b/renders/Thumbs.db", "9a1b/renders/._image_000.png")
    others += ("9a1b/renders/folder.png/x", "no_renders/x.png", "__MACOSX/9a1b/renders/._" + name(0, 20, 11))
    others += ("9a1b/renders/.hidden/" + name(0, 20, 12),)
    folder = save(save(tmp_path, renders), dict.fromkeys(others, b"x"))
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "9a1b" / "renders" / "to itself").symlink_to("to itself")
    dataset = chairs.read(folder, NO_CACHE)
    check(dataset, renders)
    assert {"all_chair_names.mat", "9a1b/renders/Thumbs.db", "no_renders/x.png"} <= set(dataset.unused)


def test_folders_may_be_nested_deeper_than_the_stack(tmp_path, monkeypatch):
    depth = sys.getrecursionlimit()
    monkeypatch.chdir(tmp_path)
    for _ in range(depth):
        os.mkdir("a")
        os.chdir("a")
    pathlib.Path("x").touch()
    try:
        assert [entry.name for entry in entries.list_files(tmp_path)] == [f"{'a/' * depth}x"]
    finally:  # What removes pytest's folders may be recursive.
        pathlib.Path("x").unlink()
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("a")


def test_broken_links_are_broken_renders(tmp_path, renders, caplog):
    folder = save(tmp_path / "rendered_chairs", renders)
    (folder / "9a1b" / "renders" / name(7, 20, 12)).symlink_to("nowhere")
    (folder / "9a1b" / "renders" / name(8, 20, 13)).symlink_to(name(8, 20, 13))
    check(chairs.read(folder, Cache(tmp_path / "cache")), renders)
    assert caplog.text.count("Left out: cannot read") == 2


def test_unreadable_folder_is_an_error(tmp_path, renders, monkeypatch):
    folder = save(tmp_path / "rendered_chairs", renders)
    scandir = entries.os.scandir

    def refuse(path):  # The superuser, who may run this test, can read everything.
        if pathlib.Path(path).parent.name == "9a1b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(entries.os, "scandir", refuse)
    with pytest.raises(UserError, match="cannot read the folder .*9a1b/renders: Permission denied"):
        chairs.read(folder, NO_CACHE)


def test_bad_tars_are_errors(tmp_path, renders):
    path = tmp_path / "rendered_chairs.tar"
    for content in (save_tar(path, renders).read_bytes()[:3000], b"not a tar", b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a readable tar"):
            chairs.read(path, NO_CACHE)
    save_tar(path, {"a/notes.txt": b"x"})
    with pytest.raises(UserError, match="no 3D Chairs renders"):
        chairs.read(path, NO_CACHE)


def test_no_more_is_read_than_an_image_may_have(tmp_path):
    (tmp_path / "big").write_bytes(b"x")
    file = entries.Entry("a/renders/x.png", str(tmp_path / "big"), 0, 1 << 40)
    with pytest.raises(UserError, match="implausible file size"):
        files.ImageFiles((file,), 300, 64).load(0)


def test_missing_data_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no 3D Chairs renders in"):
        chairs.read(tmp_path, NO_CACHE)
    with pytest.raises(UserError, match="cannot read"):
        chairs.read(tmp_path / "missing", NO_CACHE)
