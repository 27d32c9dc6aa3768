"""dSprites from the .npz file and from TFDS: packed into bits, in the grid's order, and damage to them."""

import zipfile

import numpy as np
import pytest

from common.data import cache, dsprites
from common.data.synthetic import sprites
from common.errors import UserError
from common.options import Cache
from helpers.prepared import store

pytestmark = pytest.mark.fast

SAMPLE = np.random.default_rng(0).choice(sprites.SIZE, 1500, replace=False)  # More than a chunk.
IMAGES = sprites.images(SAMPLE)[..., 0]
CLASSES = sprites.factors(SAMPLE)
NO_CACHE = Cache(None, False)


def save(path, zipped=True, **changes):
    """Write an .npz like the official one, whose `metadata` is a pickled object. None leaves an array out."""
    arrays = {
        "imgs": IMAGES,
        "latents_classes": CLASSES,
        "latents_values": np.zeros((1500, 6)),
        "metadata": np.array({"title": "dSprites"}),
    } | changes
    arrays = {name: array for name, array in arrays.items() if array is not None}
    (np.savez_compressed if zipped else np.savez)(path, **arrays)
    return path


def check(dataset, images=IMAGES, classes=CLASSES):
    taken = dataset.train.take(0, len(images) + 1)
    assert taken.dtype == np.uint8
    np.testing.assert_array_equal(taken, images[..., None])
    np.testing.assert_array_equal(dataset.train.images[np.array([900, 0, 900])], images[[900, 0, 900], :, :, None])
    np.testing.assert_array_equal(dataset.train.factors, classes)
    assert dataset.factors == sprites.FACTORS
    assert dataset.train.factors.dtype == np.int64


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_npz(tmp_path, enabled, zipped):
    path = save(tmp_path / dsprites.OFFICIAL, zipped)
    kept = Cache(tmp_path / "cache", enabled)
    for place in (path, tmp_path):
        dataset = dsprites.read(place, kept)
        check(dataset)
    bits = dataset.train.images._bits
    np.testing.assert_array_equal(bits, np.packbits(IMAGES.reshape(1500, -1), axis=1))
    if enabled:
        assert isinstance(bits, np.memmap) and not bits.flags.writeable
        (entry,) = kept.folder.iterdir()
        assert (entry / "bits.npy").stat().st_size == 128 + 1500 * 512


def test_bool_pixels_are_accepted(tmp_path):
    check(dsprites.read(save(tmp_path / "x.npz", imgs=IMAGES.astype(bool)), NO_CACHE))


def test_without_classes_only_the_whole_grid_has_factors(tmp_path, monkeypatch):
    path = save(tmp_path / "x.npz", latents_classes=None)
    dataset = dsprites.read(path, NO_CACHE)
    assert (len(dataset.train), dataset.train.factors, dataset.factors) == (1500, None, ())
    monkeypatch.setattr(sprites, "SIZE", 1500)  # As if these were all.
    expected = np.stack(np.unravel_index(np.arange(1500), (1, 3, 6, 40, 32, 32)), axis=1)
    np.testing.assert_array_equal(dsprites.read(path, NO_CACHE).train.factors, expected)


def flipped(path):
    content = bytearray(save(path, zipped=False).read_bytes())
    content[100_000] ^= 1  # A pixel, which the zip's checksum detects.
    path.write_bytes(content)


def claiming(count):
    """A maker of an .npz whose header says `count` images instead of 1500."""

    def make(path):
        with zipfile.ZipFile(save(path)) as archive:
            data = archive.read("imgs.npy")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("imgs.npy", data.replace(b"(1500, ", b"(%d, " % count))

    return make


def changed(**arrays):
    return lambda path: save(path, **arrays)


INCOMPLETE = "not a complete dSprites .npz"


@pytest.mark.parametrize(
    "make, message",
    [
        (changed(imgs=None), "lacks imgs"),
        (changed(imgs=IMAGES[:, :32]), r"imgs must be uint8 \[737280, 64, 64\], got uint8 \[1500, 32, 64\]"),
        (changed(imgs=IMAGES[:0]), r"got uint8 \[0, 64, 64\]"),
        (changed(imgs=IMAGES[0]), r"got uint8 \[64, 64\]"),
        (changed(imgs=IMAGES[..., None]), r"got uint8 \[1500, 64, 64, 1\]"),
        (changed(imgs=IMAGES.astype(np.float32)), "got float32"),
        (changed(imgs=IMAGES * 255), "pixels must be 0 or 1, got 255"),
        (changed(imgs=np.asfortranarray(IMAGES)), "Fortran order"),
        (changed(imgs=np.array([{}], object)), "Python objects"),
        (changed(latents_classes=np.array([{}], object)), "Python objects"),
        (changed(latents_classes=CLASSES[:-1]), r"latents_classes must be int64 \[1500, 6\], got int64 \[1499, 6\]"),
        (changed(latents_classes=CLASSES + 1), "must be below"),
        (lambda path: path.write_bytes(b"not a zip"), INCOMPLETE),
        (flipped, INCOMPLETE),
        (lambda path: path.write_bytes(save(path).read_bytes()[:5000]), INCOMPLETE),
        (claiming(1501), "truncated"),
        (claiming(1499), "trailing data"),
    ],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_bad_npz(tmp_path, make, message, enabled):
    path = tmp_path / dsprites.OFFICIAL
    make(path)
    with pytest.raises(UserError, match=message) as error:
        dsprites.read(path, Cache(tmp_path / "cache", enabled))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists() or list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("enabled", [True, False])
def test_tfds_in_the_order_of_the_grid(tmp_path, enabled):
    import tensorflow_datasets

    sizes = dict(zip(dsprites._LABELS, (3, 6, 40, 32, 32), strict=True))
    features = {name: tensorflow_datasets.features.ClassLabel(num_classes=size) for name, size in sizes.items()}
    features["image"] = tensorflow_datasets.features.Image(shape=(64, 64, 1))
    images, classes = IMAGES[:1100], CLASSES[:1100]
    rows = [dict(zip(sizes, row[1:].tolist(), strict=True)) for row in classes]
    examples = [{"image": image[..., None], **row} for image, row in zip(images, rows, strict=True)]
    store(tmp_path, "dsprites", "2.0.0", features, {"train": examples})
    order = np.argsort(SAMPLE[:1100])
    for _ in range(2):  # The second time from the cache.
        check(dsprites.read(tmp_path, Cache(tmp_path / "cache", enabled)), images[order], classes[order])


def test_full_disk_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(UserError, match="no space left for the cache .*: free 1 MiB"):
        dsprites.read(save(tmp_path / "x.npz"), Cache(tmp_path / "cache"))


def test_missing_data_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no dSprites in"):
        dsprites.read(tmp_path, NO_CACHE)


def test_synthetic_data_is_the_whole_grid():
    dataset = dsprites.synthetic()
    assert dataset.synthetic and len(dataset.train) == 737_280
    np.testing.assert_array_equal(dataset.train.images[SAMPLE[:9]], IMAGES[:9, :, :, None])
    np.testing.assert_array_equal(dataset.train.factors[SAMPLE], CLASSES)
