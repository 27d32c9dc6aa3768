"""Readers of arrays on damaged and hostile files: .npz, MNIST, dSprites, latents, IDX, and the cache."""

import gzip
import struct
from unittest import mock

import numpy as np
import pytest

from common.data import cache, dsprites, mnist
from common.data.entries import Entry
from common.data.synthetic import sprites
from common.errors import UserError
from common.evaluation import sample
from common.io.npz import read_npz
from common.options import Cache
from helpers import mutations
from helpers.mutations import MUTANTS, choice, survey

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randint(0, 256, (3, 28, 28), np.uint8)
LABELS = np.array([7, 0, 9], np.uint8)
SPRITES = RANDOM.randint(0, 2, (2, 64, 64), np.uint8)


@pytest.fixture
def evil(tmp_path):
    """An object whose pickle would create a folder. The end of the test checks that nothing did."""
    evil = mutations.Evil(tmp_path / "executed")
    yield evil
    assert not (tmp_path / "executed").exists()


def feed(path, read, make, count=MUTANTS, seed=0):
    """Write `count` mutants of `make(random)` to `path`, one after the other, and survey `read(path)`."""
    random = np.random.RandomState(seed)

    def written(data):
        path.write_bytes(data)
        read(path)

    counts = survey(written, (make(random) for _ in range(count)))
    assert sum(counts.values()) >= MUTANTS and counts["refused"] > count // 4  # They are really damaged.
    assert counts["accepted"]  # But not so much that the test would be trivial.


def test_npz(tmp_path, evil):
    arrays = {
        "a": np.arange(12, dtype=np.float32).reshape(3, 4),
        "b": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    }

    def read(path):
        for array in read_npz(path, 1 << 20).values():
            assert array.dtype.kind in "biuf" and array.dtype.isnative and array.nbytes < 1 << 20

    feed(tmp_path / "x.npz", read, lambda random: mutations.npz_mutant(random, arrays, evil))


def test_damaged_zip_gives_the_saved_arrays_or_none(tmp_path, evil):
    """Checksums detect any change."""
    np.savez(tmp_path / "x.npz", a=IMAGES[0, :9], b=LABELS)
    whole = (tmp_path / "x.npz").read_bytes()

    def read(path):
        arrays = read_npz(path, 1 << 20, ("a", "b"))
        np.testing.assert_array_equal(arrays["a"], IMAGES[0, :9])
        np.testing.assert_array_equal(arrays["b"], LABELS)

    def make(random):
        return (mutations.blind if random.rand() < 0.7 else mutations.zip_field)(random, whole)

    feed(tmp_path / "x.npz", read, make)


def test_mnist_npz(tmp_path, evil):
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:2], "y_test": LABELS[:2]}

    def read(path):
        check_mnist(mnist.read(path, None))

    feed(tmp_path / "mnist.npz", read, lambda random: mutations.npz_mutant(random, arrays, evil))


def check_mnist(dataset):
    for split in (dataset.train, dataset.test):
        images = split.take(0, len(split))
        assert images.dtype == np.uint8 and images.shape == (len(split), 28, 28, 1) and len(split) > 0
        assert split.factors.dtype == np.int64 and split.factors.shape == (len(split), 1)
        assert split.factors.min() >= 0 and split.factors.max() <= 9


@pytest.mark.parametrize("zipped", [False, True])
def test_idx(tmp_path, zipped):
    pack = gzip.compress if zipped else bytes
    ending = ".gz" if zipped else ""
    whole = {}
    for prefix, part in (("train", slice(0, 1)), ("t10k", slice(1, 3))):
        for name, array in (
            (f"{prefix}-images-idx3-ubyte", IMAGES[part]),
            (f"{prefix}-labels-idx1-ubyte", LABELS[part]),
        ):
            header = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
            whole[name] = header + array.tobytes()
    for name, data in whole.items():
        (tmp_path / f"{name}{ending}").write_bytes(pack(data))
    random = np.random.RandomState(0)

    def read(mutant):
        name, data = mutant
        (tmp_path / f"{name}{ending}").write_bytes(data)
        try:
            check_mnist(mnist.read(tmp_path, None))
        finally:
            (tmp_path / f"{name}{ending}").write_bytes(pack(whole[name]))

    def make():
        name = choice(random, list(whole))
        data = pack(mutations.idx_mutant(random, whole[name], 3 if "idx3" in name else 1))
        return name, mutations.blind(random, data) if zipped and random.rand() < 0.5 else data

    counts = survey(read, (make() for _ in range(MUTANTS)))
    assert min(counts.values()) > 20


def test_idx_bomb(tmp_path):
    """Data beyond the size in the header is not unpacked: here 300 MB, from a file of 1 MB."""
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(struct.pack(">2I", 0x801, 5))
        for _ in range(300):
            file.write(bytes(1 << 20))
    with mutations.limits(1 << 26), pytest.raises(UserError, match="contains more than the 5 bytes"):
        mnist.read_idx(Entry("x.gz", str(path)), 1)


def test_dsprites_npz(tmp_path, evil, monkeypatch):
    arrays = {"imgs": SPRITES, "latents_classes": sprites.factors(np.arange(2))}
    monkeypatch.setattr(cache, "progress_bar", lambda *_: mock.Mock())

    def read(path):
        split = dsprites.read(path, Cache(None, False)).train
        images = split.take(0, len(split))
        assert images.dtype == np.uint8 and images.shape == (len(split), 64, 64, 1)
        assert len(split) > 0 and images.max() <= 1
        if split.factors is not None:
            assert split.factors.shape == (len(split), 6)
            assert split.factors.min() >= 0 and (split.factors < dsprites._LEVELS).all()

    feed(tmp_path / "x.npz", read, lambda random: mutations.npz_mutant(random, arrays, evil))


def test_latents(tmp_path, evil, make_config):
    config = make_config()
    arrays = {"z": RANDOM.uniform(-1, 1, (4, 7)), "u": RANDOM.uniform(-1, 1, (4, 7)).astype(np.float32)}

    def read(path):
        latents = [part.numpy() for part in sample.read_latents(path, config.latent)]
        assert [part.shape[1] for part in latents] == [7, 4, 3] and len({len(part) for part in latents}) == 1
        assert all(part.dtype == np.float32 and len(part) > 1 and np.isfinite(part).all() for part in latents)

    feed(tmp_path / "l.npz", read, lambda random: mutations.npz_mutant(random, arrays, evil))


def test_latents_beyond_float32_are_not_finite(tmp_path, make_config):
    np.savez(tmp_path / "l.npz", z=np.full((2, 7), 1e300), u=np.zeros((2, 7)))
    with pytest.raises(UserError, match="z holds values that are not finite"):
        sample.read_latents(tmp_path / "l.npz", make_config().latent)


def test_cache_files(tmp_path, evil):
    array = RANDOM.randint(0, 256, (3, 8, 8, 3), np.uint8)

    def read(path):
        images = cache.load(path, np.uint8, (None, 8, 8, 3))
        assert isinstance(images, np.memmap) and images.dtype == np.uint8 and images.shape[1:] == (8, 8, 3)
        images.sum()

    def make(random):
        if random.rand() < 0.2:
            return mutations.npz_mutant(random, {"images": array}, evil)
        return mutations.npy(np.zeros(1), b"", b"") if random.rand() < 0.1 else mutations.npy_mutant(random, array)

    feed(tmp_path / "images.npy", read, make)
