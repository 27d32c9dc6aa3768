"""dSprites in the forms in which people have it."""

import gzip
import io

import numpy as np
import pytest

from common.data import dsprites
from common.data.synthetic import sprites
from helpers.forms import HTML, LFS, NO_CACHE, refused, save, tarred, zipped

pytestmark = pytest.mark.fast

RANDOM = np.random.default_rng(0)


def npz(**arrays):
    np.savez(out := io.BytesIO(), **arrays)
    return out.getvalue()


SAMPLE = RANDOM.choice(sprites.SIZE, 20, replace=False)
SPRITES = npz(imgs=sprites.images(SAMPLE)[..., 0], latents_classes=sprites.factors(SAMPLE))
DSPRITES = {
    "as published": {dsprites.OFFICIAL: SPRITES},
    "too shallow": {f"a/dsprites-dataset/{dsprites.OFFICIAL}": SPRITES, "a/README.md": b"x"},
    "renamed": {"sprites (1).npz": SPRITES},
    "called zip": {"dsprites.zip": SPRITES},
    "another npz next to it": {"a.npz": npz(x=np.zeros(3)), "dsprites.npz": SPRITES},
}


@pytest.mark.parametrize("files", DSPRITES.values(), ids=DSPRITES)
def test_dsprites_is_read(tmp_path, files):
    dataset = dsprites.read(save(tmp_path, files), NO_CACHE)
    np.testing.assert_array_equal(dataset.train.take(0, 99), sprites.images(SAMPLE))
    np.testing.assert_array_equal(dataset.train.factors, sprites.factors(SAMPLE))
    assert len(dataset.unused) == len(files) - 1


BAD_DSPRITES = {
    "an HTML page": ({dsprites.OFFICIAL: HTML}, "npz is an HTML page, not a complete dSprites .npz: download it again"),
    "a pointer": ({dsprites.OFFICIAL: LFS}, "npz is a Git LFS pointer.*git lfs pull"),
    "in a zip": ({"a.zip": zipped({"dsprites.npz": SPRITES})}, "has to be unpacked first: unzip .*a.zip"),
    "in a tar": ({"a.tar": tarred({"dsprites.npz": SPRITES})}, "has to be unpacked first: tar -xf .*a.tar"),
    "compressed": ({"dsprites.npz.gz": gzip.compress(SPRITES)}, "has to be unpacked first: gunzip .*dsprites.npz.gz"),
    "HDF5": ({"dsprites.hdf5": b"\x89HDF\r\n\x1a\n..."}, f"is an HDF5 file.*download {dsprites.OFFICIAL} instead"),
    "truncated": ({dsprites.OFFICIAL: SPRITES[:-99]}, "is not a complete dSprites .npz"),
    "nothing of it": (
        {"a/b.txt": b"x"},
        "no dSprites in .*: it contains 1 .txt, such as a/b.txt .a text file.; it should",
    ),
    "an image of one value": ({"a.npz": npz(imgs=np.zeros((3, 64, 64), np.uint8))}, "image whose pixels are all equal"),
}


@pytest.mark.parametrize("files, message", BAD_DSPRITES.values(), ids=BAD_DSPRITES)
def test_dsprites_is_refused_with_what_was_found(tmp_path, files, message):
    refused(dsprites, save(tmp_path, files), message)
