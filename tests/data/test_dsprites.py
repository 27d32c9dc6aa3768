"""dSprites from the npz and from TFDS: packed into bits, in the grid's order, and what may be wrong with them."""

import zipfile

import numpy as np
import pytest

from common.data import cache, dsprites
from common.data.synthetic import sprites
from common.errors import UserError
from common.options import Cache
from helpers.prepared import store

SAMPLE = np.random.default_rng(0).choice(sprites.SIZE, 1500, replace=False)  # More than a chunk.
IMAGES = sprites.images(SAMPLE)[..., 0]
CLASSES = sprites.factors(SAMPLE)


def save(path, zipped=True, **changes):
    """Writes an npz as the official one is made: its `metadata` are a pickled object, which nobody may load."""
    arrays = {
        "imgs": IMAGES,
        "latents_classes": CLASSES,
        "latents_values": np.zeros((1500, 6)),
        "metadata": np.array({"title": "dSprites"}),
    } | changes
    (np.savez_compressed if zipped else np.savez)(
        path, **{name: array for name, array in arrays.items() if array is not None}
    )
    return path


def check(dataset, images=IMAGES, classes=CLASSES):
    assert len(dataset.train) == len(images)
    taken = dataset.train.take(0, len(images))
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
    check(dsprites.read(path, kept))
    check(dsprites.read(tmp_path, kept))
    if enabled:
        (entry,) = kept.folder.iterdir()
        assert (entry / "bits.npy").stat().st_size == 128 + 1500 * 512


def test_bool_pixels(tmp_path):
    check(dsprites.read(save(tmp_path / "x.npz", imgs=IMAGES.astype(bool)), Cache(None, False)))


def test_without_classes_only_the_whole_grid_has_factors(tmp_path):
    dataset = dsprites.read(save(tmp_path / "x.npz", latents_classes=None), Cache(None, False))
    assert (len(dataset.train), dataset.train.factors, dataset.factors) == (1500, None, ())


def test_the_cache_is_a_memory_map_of_bits(tmp_path):
    dataset = dsprites.read(save(tmp_path / "x.npz"), Cache(tmp_path / "cache"))
    bits = dataset.train.images._bits
    assert isinstance(bits, np.memmap) and not bits.flags.writeable
    np.testing.assert_array_equal(bits, np.packbits(IMAGES.reshape(1500, -1), axis=1))


def damaged(path):
    save(path, zipped=False)
    content = bytearray(path.read_bytes())
    content[100_000] ^= 1  # A pixel: the zip's checksum tells.
    path.write_bytes(content)


def truncated(path):
    path.write_bytes(save(path).read_bytes()[:5000])


def early(path):
    """The header announces one image more than there are."""
    save(path)
    with zipfile.ZipFile(path) as archive:
        data = archive.read("imgs.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("imgs.npy", data.replace(b"(1500, ", b"(1501, "))


def late(path):
    early(path)
    with zipfile.ZipFile(path) as archive:
        data = archive.read("imgs.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("imgs.npy", data.replace(b"(1501, ", b"(1499, "))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: save(path, imgs=None), "lacks imgs"),
        (
            lambda path: save(path, imgs=IMAGES[:, :32]),
            r"imgs is uint8 \[1500, 32, 64\], and dSprites are uint8 \[737280, 64, 64\]",
        ),
        (lambda path: save(path, imgs=IMAGES[:0]), r"imgs is uint8 \[0, 64, 64\]"),
        (lambda path: save(path, imgs=IMAGES[0]), r"imgs is uint8 \[64, 64\]"),
        (lambda path: save(path, imgs=IMAGES[..., None]), r"imgs is uint8 \[1500, 64, 64, 1\]"),
        (lambda path: save(path, imgs=IMAGES.astype(np.float32)), "imgs is float32"),
        (lambda path: save(path, imgs=IMAGES * 255), "pixels must be 0 or 1; got 255"),
        (lambda path: save(path, imgs=np.asfortranarray(IMAGES)), "Fortran order"),
        (lambda path: save(path, imgs=np.array([{}], object)), "Python objects"),
        (lambda path: save(path, latents_classes=np.array([{}], object)), "Python objects"),
        (
            lambda path: save(path, latents_classes=CLASSES[:-1]),
            r"latents_classes is int64 \[1499, 6\] instead of int64 \[1500, 6\]",
        ),
        (lambda path: save(path, latents_classes=CLASSES + 1), "must lie below"),
        (lambda path: path.write_bytes(b"no zip"), "no whole dSprites npz"),
        (damaged, "no whole dSprites npz"),
        (truncated, "no whole dSprites npz"),
        (early, "ends early"),
        (late, "goes on"),
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


@pytest.fixture
def prepared(tmp_path):
    """What TFDS would prepare of IMAGES."""
    import tensorflow_datasets

    sizes = dict(zip(dsprites._LABELS, (3, 6, 40, 32, 32)))
    features = {"image": tensorflow_datasets.features.Image(shape=(64, 64, 1))} | {
        name: tensorflow_datasets.features.ClassLabel(num_classes=size) for name, size in sizes.items()
    }
    examples = [{"image": image[..., None]} | dict(zip(sizes, row[1:].tolist())) for image, row in zip(IMAGES, CLASSES)]
    return store(tmp_path, "dsprites", "2.0.0", features, {"train": examples})


@pytest.mark.parametrize("enabled", [True, False])
def test_tfds_in_the_order_of_the_grid(tmp_path, prepared, enabled):
    order = np.argsort(SAMPLE)
    for _ in range(2):  # The second time from the cache.
        check(dsprites.read(tmp_path, Cache(tmp_path / "cache", enabled)), IMAGES[order], CLASSES[order])


def test_the_whole_grid_is_recognised(monkeypatch, tmp_path):
    monkeypatch.setattr(sprites, "SIZE", 1500)  # The grid's first 1500 images, as if they were all.
    dataset = dsprites.read(save(tmp_path / "x.npz", latents_classes=None), Cache(None, False))
    np.testing.assert_array_equal(
        dataset.train.factors, np.stack(np.unravel_index(np.arange(1500), (1, 3, 6, 40, 32, 32)), axis=1)
    )


def test_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(UserError, match="the disk of the cache .* is full: free 1 MiB"):
        dsprites.read(save(tmp_path / "x.npz"), Cache(tmp_path / "cache"))


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no dSprites in"):
        dsprites.read(tmp_path, Cache(None, False))


def test_the_stand_in_is_the_whole_grid(make_config):
    dataset = dsprites.synthetic(make_config())
    assert dataset.synthetic and len(dataset.train) == 737_280
    np.testing.assert_array_equal(dataset.train.images[SAMPLE[:9]], IMAGES[:9, :, :, None])
    np.testing.assert_array_equal(dataset.train.factors[SAMPLE], CLASSES)
