"""Fingerprints of data sets: equal for equal content in any form, different for any other, cheap for a large one."""

import dataclasses
import struct

import numpy as np
import pytest

from common.data import mnist
from common.data.dataset import Dataset, Factor, Split, Subset
from common.data.fingerprint import differences, fingerprint

pytestmark = pytest.mark.fast


def dataset(images=30, **changes):
    """Noise of 4x4 pixels with a class, and ten test images."""
    random = np.random.RandomState(0)
    splits = [
        Split(random.randint(0, 256, (n, 4, 4, 1)).astype(np.uint8), random.randint(0, 3, (n, 1))) for n in (images, 10)
    ]
    return dataclasses.replace(Dataset("noise", *splits, (Factor("class", (0, 1, 2)),), "class"), **changes)


def changed(split, part, index):
    """A split with another value at `index` of its images or factors."""
    values = getattr(split, part).copy()
    values[index] += 1
    return dataclasses.replace(split, **{part: values})


def test_the_form_of_the_images_does_not_matter(tmp_path):
    whole = dataset()
    parts = Split(Subset(np.flip(whole.train.images, 0), np.arange(30)[::-1]), whole.train.factors.astype(np.int32))
    assert fingerprint(whole) == fingerprint(dataclasses.replace(whole, train=parts, source="elsewhere"))
    assert differences(fingerprint(whole), fingerprint(dataset())) == ""


def test_mnist_is_the_same_as_npz_and_as_idx_files(tmp_path):
    random, arrays = np.random.RandomState(1), {}
    for split, prefix, count in (("train", "train", 12), ("test", "t10k", 5)):
        images = random.randint(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = random.randint(0, 10, count).astype(np.uint8)
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
        head = struct.pack(">4I", 0x803, count, 28, 28)
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())
    idx = fingerprint(mnist.read(tmp_path, None))
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert fingerprint(mnist.read(tmp_path / "mnist.npz", None)) == idx


SAME = dataset()
OTHERS = {
    "other training images": dataset(train=changed(SAME.train, "images", (17, 3, 1, 0))),
    "other labels of the training images": dataset(train=changed(SAME.train, "factors", (29, 0))),
    "other test images": dataset(test=changed(SAME.test, "images", (9, 0, 0, 0))),
    "other labels of the test images": dataset(test=changed(SAME.test, "factors", (0, 0))),
    "29 training images instead of 30": dataset(train=Split(SAME.train.images[:29], SAME.train.factors[:29])),
    "training images of [4, 4, 3] instead of [4, 4, 1]": dataset(
        train=Split(np.repeat(SAME.train.images, 3, axis=3), SAME.train.factors)
    ),
    "no test images": dataset(test=None),
    "other attributes or factors": dataset(factors=(Factor("class", (0, 1, 2, 3)),)),
}


@pytest.mark.parametrize("said", OTHERS)
def test_every_change_is_named(said):
    assert differences(fingerprint(SAME), fingerprint(OTHERS[said])) == said


def test_several_changes_are_all_named():
    other = dataset(train=changed(SAME.train, "images", 0), test=None)
    assert differences(fingerprint(SAME), fingerprint(other)) == "other training images, no test images"
    assert differences(fingerprint(dataset(test=None)), fingerprint(SAME)) == "unexpected test images"
    assert fingerprint(dataset(test=Split(SAME.test.images[:0]))) == fingerprint(dataset(test=None))


@pytest.mark.parametrize("saved", [{}, {"train": 3}, {"train": {}}, {"train": {"count": [1] * 99}}, {"test": "x"}])
def test_a_damaged_fingerprint_differs(saved):
    assert "training images" in differences(saved, fingerprint(SAME))


class Counted:
    """So many blank images of 64 pixels, of which it counts those that are looked at."""

    def __init__(self, count):
        self.count, self.seen = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, indices):
        self.seen += len(indices)
        return np.zeros((len(indices), 64, 64, 3), np.uint8)


@pytest.mark.parametrize(("count", "synthetic", "seen"), [(200_000, False, 256), (900, True, 256), (100, False, 100)])
def test_of_many_images_a_selection_counts(count, synthetic, seen):
    images = Counted(count)
    fingerprint(Dataset("many", Split(images), synthetic=synthetic))
    assert images.seen == seen + 1  # One for the shape.
