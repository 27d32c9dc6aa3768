"""MNIST in the forms in which people have it: Keras's, IDX, CSV, compressed and renamed in every way."""

import bz2
import gzip
import io
import lzma

import numpy as np
import pytest

from common.data import mnist
from helpers.forms import ARCHIVES, HTML, LFS, below, refused, renamed, save, tarred, zipped
from helpers.prepared import store_mnist

pytestmark = pytest.mark.fast

RANDOM = np.random.default_rng(0)

IMAGES = RANDOM.integers(0, 256, (12, 28, 28), dtype=np.uint8)
LABELS = (np.arange(12) % 10).astype(np.uint8)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def npz(**arrays):
    np.savez(out := io.BytesIO(), **arrays)
    return out.getvalue()


def table(count, end="\n"):
    rows = np.concatenate([LABELS[:count, None], IMAGES[:count].reshape(count, -1)], axis=1)
    return "".join(",".join(map(str, row)) + end for row in rows).encode()


HEADER = ("label," + ",".join(f"{i}x{j}" for i in range(28) for j in range(28)) + "\n").encode()
IDX = {
    "train-images-idx3-ubyte": idx(IMAGES),
    "train-labels-idx1-ubyte": idx(LABELS),
    "t10k-images-idx3-ubyte": idx(IMAGES[:5]),
    "t10k-labels-idx1-ubyte": idx(LABELS[:5]),
}
GZ = {f"{name}.gz": gzip.compress(data) for name, data in IDX.items()}
NPZ = npz(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:5], y_test=LABELS[:5])
MNIST = {
    "mnist.npz": {"mnist.npz": NPZ},
    "an npz of another name": {"digits.npz": NPZ},
    "an npz called zip": {"mnist.zip": NPZ},
    "an npz without an ending": {"mnist": NPZ},
    "an npz in a zip": {"archive.zip": zipped({"mnist.npz": NPZ})},
    "a compressed npz": {"mnist.npz.gz": gzip.compress(NPZ)},
    "one folder too shallow": {"datasets/mnist.npz": NPZ},
    "a second npz": {"a.npz": npz(x=IMAGES), "mnist.npz": NPZ},
    "IDX": IDX,
    "IDX and others": IDX | {"notes.txt": b"train", "train-images.png": b"x", ".DS_Store": b"x"},
    "gz": GZ,
    "gz and plain": IDX | GZ,
    "gz only in name": {f"{name}.gz": data for name, data in IDX.items()},
    "gz without the name": {name: gzip.compress(data) for name, data in IDX.items()},
    "some of each": dict([*list(IDX.items())[:2], *list(GZ.items())[2:]]),
    "bz2": {f"{name}.bz2": bz2.compress(data) for name, data in IDX.items()},
    "xz called gz": {f"{name}.gz": lzma.compress(data) for name, data in IDX.items()},
    "a zip of each": {f"{name}.zip": zipped({name: data}) for name, data in IDX.items()},
    "a zip of gz": {"mnist.zip": zipped(below("MNIST", GZ))},
    "a zip with macOS's junk": {"mnist.zip": zipped(IDX | below("__MACOSX", renamed(IDX, ("t", "._t"))))},
    "dots": renamed(IDX, ("-idx", ".idx")),
    "Kaggle": {f"{name}/{name.replace('-idx', '.idx')}": data for name, data in IDX.items()},
    "Kaggle's doubles": renamed(IDX, ("-idx", ".idx")) | {f"{name}/{name}": data for name, data in IDX.items()},
    "torchvision": below("MNIST/raw", IDX | GZ),
    "torchvision, too deep": below("raw", IDX),
    "torchvision, too shallow": below("data/MNIST/raw", IDX),
    "names of a browser": renamed(GZ, (".gz", " (1).gz")),
    "capital letters": {name.upper(): data for name, data in GZ.items()},
    "no idx in the names": renamed(IDX, ("-idx3-ubyte", ""), ("-idx1-ubyte", "")),
    "labels and images exchanged": renamed(
        IDX, ("images-idx3", "x"), ("labels-idx1", "images-idx3"), ("x", "labels-idx1")
    ),
    "CSV": {"mnist_train.csv": HEADER + table(12), "mnist_test.csv": HEADER + table(5)},
    "CSV without a header": {"mnist_train.csv": table(12), "mnist_test.csv": table(5, "\r\n")},
    "CSV with a byte-order mark": {
        "train.csv": b"\xef\xbb\xbf" + HEADER + table(12),
        "test.csv": b"\xef\xbb\xbf" + table(5),
    },
    "compressed CSV": {"mnist_train.csv.gz": gzip.compress(table(12)), "mnist_test.csv.gz": gzip.compress(table(5))},
    "Kaggle's CSV": {
        "archive.zip": zipped({"mnist_train.csv": HEADER + table(12), "mnist_test.csv": HEADER + table(5)})
    },
} | {f"one {ending}": {f"mnist.{ending}": pack(IDX)} for ending, pack in ARCHIVES.items()}


@pytest.mark.parametrize("files", MNIST.values(), ids=MNIST)
def test_mnist_is_read(tmp_path, files):
    check_mnist(mnist.read(save(tmp_path, files), None))


def check_mnist(dataset):
    np.testing.assert_array_equal(dataset.train.take(0, 12)[..., 0], IMAGES)
    np.testing.assert_array_equal(dataset.labels(dataset.train), LABELS)
    np.testing.assert_array_equal(dataset.test.take(0, 9)[..., 0], IMAGES[:5])
    np.testing.assert_array_equal(dataset.labels(dataset.test), LABELS[:5])


@pytest.mark.parametrize(
    "name, data", [("x.npz", NPZ), ("x", NPZ), ("x.zip", zipped(GZ)), ("x.tgz", tarred(IDX, "w:gz"))]
)
def test_mnist_is_read_from_one_file(tmp_path, name, data):
    check_mnist(mnist.read(save(tmp_path, {name: data}) / name, None))


NAME = "train-images-idx3-ubyte"
BAD_MNIST = {
    "an HTML page as npz": (
        {"mnist.npz": HTML},
        "mnist.npz is an HTML page, not a readable .npz file: download it again",
    ),
    "a pointer as npz": ({"mnist.npz": LFS}, "mnist.npz is a Git LFS pointer.*git lfs pull"),
    "an empty npz": ({"mnist.npz": b""}, "mnist.npz is an empty file"),
    "another npz": ({"a.npz": npz(x=IMAGES)}, "a.npz lacks x_train"),
    "an HTML page as gz": (
        GZ | {f"{NAME}.gz": HTML},
        f"{NAME}.gz is an HTML page, not an IDX file of unsigned bytes: d",
    ),
    "zeros": (IDX | {NAME: bytes(999)}, f"{NAME} is a file of zeros, not an IDX file"),
    "a truncated gz": (GZ | {f"{NAME}.gz": GZ[f"{NAME}.gz"][:-99]}, f"{NAME}.gz is damaged"),
    "a truncated file": (IDX | {NAME: IDX[NAME][:-9]}, f"{NAME} contains fewer than .* download it again"),
    "three of four": (dict(list(IDX.items())[:3]), "lacks t10k-labels-idx1-ubyte"),
    "7z": ({"mnist.7z": b"7z\xbc\xaf\x27\x1c..."}, "has to be unpacked first: 7z x .*mnist.7z"),
    "an XML document as npz": (
        {"mnist.npz": b"<?xml version='1.0'?><Error/>"},
        "is an XML document.*download it again",
    ),
    "a JSON text as gz": ({"x.tgz": b'{"code": 403}'}, "x.tgz is a JSON text, not MNIST: download it again"),
    "a pickle": ({"mnist.pkl.gz": gzip.compress(b"\x80\x04...")}, "such as mnist.pkl.gz .a pickle.; it should"),
    "torchvision's tensors": ({"processed/training.pt": b"PK"}, "it contains 1 .pt, such as processed/training.pt"),
    "CSV without labels": (
        {"train.csv": table(12), "test.csv": "\n".join(",".join(["7"] * 784) for _ in range(3)).encode()},
        "test.csv has 784 columns instead of a label and 784 pixels",
    ),
    "CSV of floats": (
        {"train.csv": table(12), "test.csv": b"0.5," * 784 + b"1\n"},
        "test.csv is not a table of a label",
    ),
    "images of one value": (
        {"mnist.npz": npz(x_train=0 * IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS)},
        "are equal",
    ),
}


@pytest.mark.parametrize("files, message", BAD_MNIST.values(), ids=BAD_MNIST)
def test_mnist_is_refused_with_what_was_found(tmp_path, files, message):
    refused(mnist, save(tmp_path, files), message)


def test_one_of_the_four_files_is_refused_with_its_folder(tmp_path):
    refused(mnist, save(tmp_path, IDX) / NAME, "one of the four: name its folder")


def test_a_digit_of_one_value_costs_itself_alone(tmp_path, caplog):
    images = IMAGES.copy()
    images[3], images[7] = 0, 9
    data = npz(x_train=images, y_train=LABELS, x_test=IMAGES, y_test=LABELS)
    dataset = mnist.read(save(tmp_path, {"mnist.npz": data}), None)
    np.testing.assert_array_equal(dataset.train.take(0, 12)[..., 0], np.delete(IMAGES, [3, 7], axis=0))
    np.testing.assert_array_equal(dataset.labels(dataset.train), np.delete(LABELS, [3, 7]))
    assert dataset.broken == ("train image 3", "train image 7") and "train image 7" in caplog.text


def test_what_tfds_downloaded_does_not_replace_what_it_prepared(tmp_path):
    folder = store_mnist(tmp_path, IMAGES, LABELS)
    save(tmp_path / "downloads", {f"mnist_{name}.gz": data for name, data in GZ.items()})
    assert mnist.read(tmp_path, None).source == f"{folder} (TFDS)"


def test_tfds_is_found_by_what_it_says_of_itself(tmp_path):
    folder = store_mnist(tmp_path / "a" / "tensorflow_datasets", IMAGES, LABELS)
    assert len(mnist.read(tmp_path / "a", None).train) == 12
    folder = folder.rename(tmp_path / "digits")
    assert len(mnist.read(folder, None).train) == 12
