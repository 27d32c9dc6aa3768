"""MNIST in each of its forms, and damage to them."""

import gzip
import io
import runpy
import zipfile

import numpy as np
import pytest

from common import cli
from common.data import mnist, tfds
from common.data.load import load_dataset
from common.errors import UserError
from common.options import Cache
from helpers.paths import ROOT
from helpers.prepared import store_mnist

pytestmark = pytest.mark.fast

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (12, 28, 28), dtype=np.uint8)
LABELS = (np.arange(12) % 10).astype(np.uint8)
CACHE = Cache(None, False)


def save_npz(path, **changes):
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:5], "y_test": LABELS[:5]} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def idx(array):
    """Return an array of unsigned bytes as an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def save_idx(folder, zipped=False, separator="-"):
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", 12), ("t10k", 5)):
        for kind, array in ((f"images{separator}idx3", IMAGES[:count]), (f"labels{separator}idx1", LABELS[:count])):
            path = folder / (f"{prefix}-{kind}-ubyte" + ".gz" * zipped)
            path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    return folder


def check(dataset):
    """`dataset` has IMAGES and LABELS, and the first 5 of them as its test split."""
    np.testing.assert_array_equal(dataset.train.take(0, 12)[..., 0], IMAGES)
    np.testing.assert_array_equal(dataset.labels(dataset.train), LABELS)
    np.testing.assert_array_equal(dataset.test.images[np.array([4, 0])][..., 0], IMAGES[[4, 0]])
    np.testing.assert_array_equal(dataset.labels(dataset.test), LABELS[:5])
    assert not dataset.synthetic


def test_npz(tmp_path):
    path = save_npz(tmp_path / "mnist.npz")
    check(mnist.read(path, CACHE))
    check(mnist.read(tmp_path, CACHE))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("separator", "-.")
def test_idx(tmp_path, zipped, separator):
    check(mnist.read(save_idx(tmp_path, zipped, separator), CACHE))


def test_fashion_mnist_is_read_as_it_is(tmp_path):
    """Its publishers' four files have MNIST's names and format; nearly no pixel is black."""
    images, labels = RANDOM.integers(1, 256, (6, 28, 28), dtype=np.uint8), np.array([9, 0, 0, 3, 7, 2], np.uint8)
    for name, array in (
        ("train-images-idx3-ubyte.gz", images),
        ("train-labels-idx1-ubyte.gz", labels),
        ("t10k-images-idx3-ubyte.gz", images[:2]),
        ("t10k-labels-idx1-ubyte.gz", labels[:2]),
    ):
        (tmp_path / name).write_bytes(gzip.compress(idx(array)))
    config = runpy.run_path(str(ROOT / "InfoVAE_MNIST.py"))["CONFIG"]
    config = cli.configure(config, {}, ["--model", "mixture", "--experts", "6"])
    dataset = load_dataset(config, tmp_path, "real", CACHE)
    np.testing.assert_array_equal(dataset.train.take(0, 6)[..., 0], images)
    np.testing.assert_array_equal(dataset.labels(dataset.train), labels)
    np.testing.assert_array_equal(dataset.labels(dataset.test), labels[:2])
    assert not dataset.synthetic


def test_layout_of_torchvision(tmp_path):
    save_idx(tmp_path / "MNIST" / "raw")
    check(mnist.read(tmp_path, CACHE))


def test_tfds(tmp_path):
    folder = store_mnist(tmp_path, IMAGES, LABELS)
    (tmp_path / "mnist" / "incomplete.ABC_3.0.1").mkdir()  # A build in progress.
    (tmp_path / "mnist" / "incomplete.ABC_3.0.1" / "dataset_info.json").touch()
    for path in (tmp_path, tmp_path / "mnist", folder):
        dataset = mnist.read(path, CACHE)
        # TFDS stores examples in its own order.
        assert len(dataset.test) == 12
        images, labels = dataset.train.take(0, 12)[..., 0], dataset.labels(dataset.train)
        found = [int(np.flatnonzero((image == IMAGES).all(axis=(1, 2)))[0]) for image in images]
        assert sorted(found) == list(range(12))
        np.testing.assert_array_equal(labels, LABELS[found])


def test_newest_prepared_version_is_taken(tmp_path):
    for version in ("3.0.1", "10.0.0", "9.9.9"):
        (tmp_path / "mnist" / version).mkdir(parents=True)
        (tmp_path / "mnist" / version / "dataset_info.json").touch()
    assert tfds.prepared(tmp_path, "mnist").name == "10.0.0"
    assert tfds.prepared(tmp_path, "dsprites") is None


def test_damaged_tfds(tmp_path):
    folder = store_mnist(tmp_path, IMAGES, LABELS)
    (shard,) = folder.glob("*train*")
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(UserError, match="split train"):
        mnist.read(tmp_path, CACHE)


def truncated(path):
    save_npz(path).write_bytes(path.read_bytes()[:-400])


def pickled(path):
    """An .npz whose x_train would run code if it were unpickled."""

    class Trap:
        def __reduce__(self):
            return exec, ("raise SystemExit('unpickled')",)

    data = io.BytesIO()
    np.save(data, np.array([Trap()], object), allow_pickle=True)
    with zipfile.ZipFile(save_npz(path, x_train=None), "a") as archive:
        archive.writestr("x_train.npy", data.getvalue())


def changed(**arrays):
    return lambda path: save_npz(path, **arrays)


@pytest.mark.parametrize(
    "make, message",
    [
        (changed(x_train=None), "x_train"),
        (changed(x_train=IMAGES[:, :27]), r"\[n, 28, 28\]"),
        (changed(x_train=IMAGES / 255.0), "uint8"),
        (changed(x_test=IMAGES[:0], y_test=LABELS[:0]), "n > 0"),
        (changed(y_train=LABELS[:-1]), "12 integers"),
        (changed(y_train=LABELS + 10), "from 0 to 9"),
        (truncated, "mnist.npz"),
        (pickled, "not a readable .npz"),
    ],
)
def test_bad_npz(tmp_path, make, message):
    path = tmp_path / "mnist.npz"
    make(path)
    with pytest.raises(UserError, match=message) as error:
        mnist.read(path, CACHE)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "zipped, content, message",
    [
        (False, idx(LABELS), "lacks train-images-idx3-ubyte"),  # Labels instead of images.
        (False, b"<!DOCTYPE html><html>", "is an HTML page, not an IDX file.*download it again"),
        (False, b"\0\0\x09\x03" + idx(IMAGES)[4:], "not an IDX file"),  # Signed bytes.
        (False, idx(IMAGES)[:-1], "header says"),
        (False, idx(IMAGES) + b"\0", "header says"),
        (False, b"", "not an IDX file"),
        (True, gzip.compress(idx(IMAGES))[:-20], "damaged"),
    ],
)
def test_bad_idx(tmp_path, zipped, content, message):
    save_idx(tmp_path, zipped)
    path = tmp_path / ("train-images-idx3-ubyte" + ".gz" * zipped)
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        mnist.read(tmp_path, CACHE)
    assert str(path.parent) in str(error.value)


def test_missing_idx_file_is_an_error(tmp_path):
    save_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="lacks t10k-labels-idx1-ubyte"):
        mnist.read(tmp_path, CACHE)


def test_missing_data_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no MNIST"):
        mnist.read(tmp_path, CACHE)
