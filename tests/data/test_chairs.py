"""3D Chairs as a folder and as a tar, the views told by the names, and what else may lie there."""

import io
import pathlib
import tarfile

import numpy as np
import pytest
from PIL import Image

from common.data import chairs
from common.data.preprocess import preprocess
from common.errors import UserError
from common.options import Cache

VIEWS = [(elevation, azimuth) for elevation in (20, 30) for azimuth in (11, 198, 349)]
IDS = ("9a1b", "1028b3")
RANDOM = np.random.default_rng(0)


def name(number, elevation, azimuth):
    return f"image_{number:03d}_p{elevation:03d}_t{azimuth:03d}_r096.png"


def render(mode="RGB", size=(310, 304)):
    """A random picture of PNG mode `mode` as a file's bytes."""
    width, height = size
    picture = Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def renders():
    """name -> bytes of 2 chairs' 6 renders each, in sorted order."""
    files = {f"{chair}/renders/{name(number, *view)}": render() for chair in IDS for number, view in enumerate(VIEWS)}
    return dict(sorted(files.items()))


def save(folder, files):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def save_tar(path, files, prefix="rendered_chairs/", mode="w"):
    with tarfile.open(path, mode) as archive:
        for file, data in reversed(files.items()):  # In another order than the sorted one.
            info = tarfile.TarInfo(prefix + file)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def pixels(data):
    return preprocess(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), 300, 64)


def check(dataset, files):
    """Whether `dataset` holds `files`, in sorted order, through the original's crop and resize."""
    assert len(dataset.train) == len(files)
    np.testing.assert_array_equal(dataset.train.take(0, len(files)), [pixels(data) for data in files.values()])
    last = len(files) - 1
    np.testing.assert_array_equal(
        dataset.train.images[np.array([last, 0])], [pixels(list(files.values())[i]) for i in (last, 0)]
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_the_folder(tmp_path, renders, enabled):
    save(tmp_path / "rendered_chairs", renders)
    cache = Cache(tmp_path / "cache", enabled)
    check(chairs.read(tmp_path, cache), renders)
    check(chairs.read(tmp_path / "rendered_chairs", cache), renders)
    assert (tmp_path / "cache").exists() == enabled


@pytest.mark.parametrize("enabled", [True, False])
def test_the_tar(tmp_path, renders, enabled):
    path = save_tar(tmp_path / "rendered_chairs.tar", renders)
    cache = Cache(tmp_path / "cache", enabled)
    check(chairs.read(path, cache), renders)
    check(chairs.read(tmp_path, cache), renders)


def test_views_are_told_by_the_names(tmp_path, renders):
    dataset = chairs.read(save(tmp_path / "rendered_chairs", renders), Cache(tmp_path, False))
    assert [(factor.name, factor.unit) for factor in dataset.factors] == [
        ("chair", ""),
        ("elevation", "deg"),
        ("azimuth", "deg"),
    ]
    assert [factor.values for factor in dataset.factors] == [("1028b3", "9a1b"), (20, 30), (11, 198, 349)]
    assert dataset.train.factors.dtype == np.int64
    np.testing.assert_array_equal(
        dataset.train.factors, [(c, e, a) for c in range(2) for e in range(2) for a in range(3)]
    )


def test_other_names_have_no_views(tmp_path, renders):
    dataset = chairs.read(save(tmp_path, {**renders, "x/renders/side.png": render()}), Cache(tmp_path, False))
    assert (dataset.train.factors, dataset.factors) == (None, ())
    assert len(dataset.train) == 13


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_other_modes_are_taken_as_rgb(tmp_path, mode):
    data = {f"a/renders/{name(0, 20, 11)}": render(mode)}
    check(chairs.read(save(tmp_path, data), Cache(tmp_path, False)), data)


def test_broken_renders_are_named_and_left_out(tmp_path, renders, capsys):
    names = list(renders)
    whole = renders[names[4]]
    bad = {names[0]: whole[: len(whole) // 2], names[5]: b"", names[7]: b"no image", names[8]: render(size=(299, 400))}
    dataset = chairs.read(save(tmp_path / "rendered_chairs", renders | bad), Cache(tmp_path / "cache"))
    check(dataset, {name: data for name, data in renders.items() if name not in bad})
    assert len(dataset.train.factors) == 8
    assert dataset.train.factors[0].tolist() == [0, 0, 1]  # The rows follow the images.
    out = capsys.readouterr().out
    assert all(f"Skipped: {name} is broken" in out for name in bad)
    assert "299x400 pixels are fewer than the 300x300 to crop" in out
    assert "4 of 12" in out
    with pytest.raises(UserError, match=f"{names[0]} is broken"):
        chairs.read(tmp_path, Cache(tmp_path, False)).train.take(0, 3)


def test_all_broken_is_an_error(tmp_path, renders):
    save(tmp_path / "rendered_chairs", dict.fromkeys(renders, b"no image"))
    with pytest.raises(UserError, match="all 12 images are broken; the first: 1028b3/renders"):
        chairs.read(tmp_path, Cache(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_other_things_in_between(tmp_path, renders):
    folder = save(tmp_path, renders)
    save(
        folder,
        {
            "all_chair_names.mat": b"x",
            "1028b3/notes.txt": b"x",
            "9a1b/renders/Thumbs.db": b"x",
            "9a1b/renders/._image_000.png": b"x",
            "9a1b/renders/folder.png/x": b"x",
            "no_renders/x.png": b"x",
        },
    )
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "9a1b" / "renders" / "to itself").symlink_to("to itself")
    check(chairs.read(folder, Cache(tmp_path, False)), renders)


def test_links_that_lead_nowhere_are_broken_renders(tmp_path, renders, capsys):
    folder = save(tmp_path / "rendered_chairs", renders)
    (folder / "9a1b" / "renders" / name(7, 20, 11)).symlink_to("nowhere")
    (folder / "9a1b" / "renders" / name(8, 20, 11)).symlink_to(name(8, 20, 11))
    check(chairs.read(folder, Cache(tmp_path / "cache")), renders)
    assert capsys.readouterr().out.count("Skipped: cannot read") == 2


def test_an_unreadable_folder(tmp_path, renders, monkeypatch):
    folder = save(tmp_path / "rendered_chairs", renders)
    scandir = chairs.files.os.scandir

    def refuse(path):  # The superuser, who may run this test, reads everything.
        if pathlib.Path(path).parent.name == "9a1b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(chairs.files.os, "scandir", refuse)
    with pytest.raises(UserError, match="cannot read the folder .*9a1b/renders: Permission denied"):
        chairs.read(folder, Cache(tmp_path, False))


def test_bad_tars(tmp_path, renders):
    path = tmp_path / "rendered_chairs.tar"
    whole = save_tar(path, renders).read_bytes()
    for content, message in (
        (whole[:3000], "no readable tar"),
        (b"no tar", "no readable tar"),
        (b"", "no readable tar"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            chairs.read(path, Cache(tmp_path, False))
    save_tar(path, renders, mode="w:gz")
    with pytest.raises(UserError, match="no readable tar"):
        chairs.read(path, Cache(tmp_path, False))
    save_tar(path, {"a/notes.txt": b"x"})
    with pytest.raises(UserError, match="no 3D Chairs renders"):
        chairs.read(path, Cache(tmp_path, False))


def test_a_tar_that_lies_about_sizes(tmp_path):
    """A header may announce any size; no more is read than an image may have."""
    item = chairs.Item("a/renders/x.png", str(tmp_path / "big"), 0, 1 << 40)
    (tmp_path / "big").write_bytes(b"x")
    with pytest.raises(UserError, match="no image file's size"):
        chairs.ImageFiles((item,), 300, 64).load(0)


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no 3D Chairs renders in"):
        chairs.read(tmp_path, Cache(tmp_path, False))
    with pytest.raises(UserError, match="cannot read the folder"):
        chairs.read(tmp_path / "missing", Cache(tmp_path, False))
