"""3D Chairs in the forms in which people have them: folders of any depth, archives, and damage to these."""

import zipfile

import numpy as np
import pytest

from common.data import chairs
from common.data.preprocess import decode, preprocess
from helpers.forms import ARCHIVES, HTML, NO_CACHE, below, refused, renamed, save, tarred, zipped
from helpers.images import encoded

pytestmark = pytest.mark.fast

RANDOM = np.random.default_rng(0)

VIEWS = [(elevation, azimuth) for elevation in (20, 30) for azimuth in (11, 349)]
RENDERS = {
    f"{chair}/renders/image_{i:03d}_p{e:03d}_t{a:03d}_r096.png": encoded(
        "PNG", RANDOM.integers(0, 256, (304, 310, 3), dtype=np.uint8)
    )
    for chair in ("1028b3", "9a1b")
    for i, (e, a) in enumerate(VIEWS)
}
STRAY = encoded("PNG")
OFFICIAL = below("rendered_chairs", RENDERS | {"all_chair_names.mat": b"x"})
CHAIRS = {
    "as published": OFFICIAL,
    "without the outer folder": RENDERS,
    "nested": below("rendered_chairs", OFFICIAL),
    "one folder too shallow": below("data/chairs", OFFICIAL),
    "without renders/": renamed(RENDERS, ("renders/", "")),
    "nested without renders/": below("rendered_chairs", renamed(OFFICIAL, ("renders/", ""))),
    "other endings": renamed(RENDERS, (".png", ".PNG")),
    "no endings": renamed(RENDERS, (".png", "")),
    "called JPEG": renamed(RENDERS, (".png", ".jpg")),
    "macOS's junk": OFFICIAL | below("__MACOSX", renamed(OFFICIAL, ("image", "._image"))),
    "stray images": OFFICIAL | {"rendered_chairs/1028b3/renders/preview.png": STRAY},
    "a copy next to it": OFFICIAL | below("old", OFFICIAL),
} | {f"one {ending}": {f"rendered_chairs.{ending}": pack(OFFICIAL)} for ending, pack in ARCHIVES.items()}


@pytest.mark.parametrize("files", CHAIRS.values(), ids=CHAIRS)
def test_chairs_are_read(tmp_path, files):
    dataset = chairs.read(save(tmp_path / "data", files), NO_CACHE)
    expected = np.stack([preprocess(decode(data), 300, 64) for data in RENDERS.values()])
    np.testing.assert_array_equal(dataset.train.take(0, 9), expected)
    assert [(f.name, f.values) for f in dataset.factors] == [
        ("chair", ("1028b3", "9a1b")),
        ("elevation", (20, 30)),
        ("azimuth", (11, 349)),
    ]
    np.testing.assert_array_equal(dataset.train.factors, np.indices((2, 2, 2)).reshape(3, -1).T)


def test_one_chair_is_read_from_its_own_folder(tmp_path):
    folder = save(tmp_path, RENDERS) / "9a1b"
    for path in (folder, folder / "renders"):
        dataset = chairs.read(path, NO_CACHE)
        assert len(dataset.train) == 4 and dataset.factors[0].values == ("9a1b",)


BAD_CHAIRS = {
    "an HTML page as tar": ({"rendered_chairs.tar": HTML}, "rendered_chairs.tar is not a readable tar|is an HTML page"),
    "RAR": ({"chairs.rar": b"Rar!\x1a\x07\x01\x00"}, "has to be unpacked first: unrar x .*chairs.rar"),
    "zstd": ({"chairs.tar.zst": b"\x28\xb5\x2f\xfd...."}, "has to be unpacked first: unzstd .*chairs.tar.zst"),
    "other images": ({"a/b.png": STRAY}, "no 3D Chairs renders in .*: it contains 1 .png, such as a/b.png"),
    "all broken": (dict.fromkeys(RENDERS, HTML), "all 8 images are broken; the first: .*an HTML page"),
}


@pytest.mark.parametrize("files, message", BAD_CHAIRS.values(), ids=BAD_CHAIRS)
def test_chairs_are_refused_with_what_was_found(tmp_path, files, message):
    refused(chairs, save(tmp_path, files), message)


def test_a_large_compressed_tar_has_to_be_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("common.data.archives.MAX_UNPACKED", 100_000)
    save(tmp_path, {"rendered_chairs.tar.gz": tarred(OFFICIAL, "w:gz")})
    refused(
        chairs, tmp_path, "compressed tar of more than .*has to be unpacked first: tar -xf .*rendered_chairs.tar.gz"
    )


def test_a_damaged_member_of_a_zip_costs_itself_alone(tmp_path):
    data = bytearray(zipped(OFFICIAL, zipfile.ZIP_STORED))
    first, *_ = RENDERS.values()
    data[data.index(first) + len(first) // 2] ^= 1
    dataset = chairs.read(save(tmp_path, {"c.zip": bytes(data)}), NO_CACHE)
    assert len(dataset.train) == 7 and len(dataset.broken) == 1
