"""CelebA as a folder and as TFDS prepares it, its lists, and damage to them."""

import io

import numpy as np
import pytest
from PIL import Image

from common.data import celeba, tfds
from common.data.preprocess import decode, preprocess
from common.data.synthetic import faces
from common.errors import UserError
from common.options import Cache
from helpers.images import encoded
from helpers.prepared import store_celeba

pytestmark = pytest.mark.fast

COUNT = 7
NAMES = [f"{i + 1:06d}.jpg" for i in range(COUNT)]
ATTRIBUTES = ("Bald", "Eyeglasses", "Smiling")
RANDOM = np.random.default_rng(0)
SIGNS = RANDOM.choice([-1, 1], (COUNT, 3))
PARTITION = [0, 2, 1, 0, 2, 2, 0]
NO_CACHE = Cache(None, False)


@pytest.fixture(scope="module")
def photographs():
    """The bytes of COUNT JPEGs of 178x218 pixels."""
    blocks = RANDOM.integers(0, 256, (COUNT, 9, 7, 3), dtype=np.uint8)
    return [encoded("JPEG", np.asarray(Image.fromarray(b).resize((178, 218))), quality=90) for b in blocks]


@pytest.fixture(scope="module")
def expected(photographs):
    return np.stack([preprocess(decode(data), 128, 64) for data in photographs])


def save(folder, photographs, **lists):
    """Write the photographs to `folder`/img_align_celeba, and the lists that are not None next to it."""
    (folder / "img_align_celeba").mkdir(parents=True)
    for name, data in zip(NAMES, photographs, strict=True):
        (folder / "img_align_celeba" / name).write_bytes(data)
    rows = [f"{name} {'  '.join(map(str, row))}" for name, row in zip(NAMES, SIGNS, strict=True)]
    texts = {
        "list_attr_celeba": "\n".join([str(COUNT), " ".join(ATTRIBUTES) + " ", *rows]) + "\n",
        "list_eval_partition": "".join(f"{name} {p}\n" for name, p in zip(NAMES, PARTITION, strict=True)),
    } | lists
    for name, text in texts.items():
        if text is not None:
            (folder / f"{name}.txt").write_text(text, encoding="latin-1")
    return folder


@pytest.mark.parametrize("enabled", [True, False])
def test_folder(tmp_path, photographs, expected, enabled):
    save(tmp_path, photographs)
    for path in (tmp_path, tmp_path / "img_align_celeba"):
        dataset = celeba.read(path, Cache(tmp_path / "cache", enabled))
        np.testing.assert_array_equal(dataset.train.take(0, COUNT), expected)
        assert [(f.name, f.values) for f in dataset.factors] == [(name, (-1, 1)) for name in ATTRIBUTES]
        assert dataset.train.factors.dtype == np.int64
        np.testing.assert_array_equal(dataset.train.factors, (SIGNS + 1) // 2)
        test = [1, 4, 5]
        assert len(dataset.test) == 3
        np.testing.assert_array_equal(dataset.test.take(0, 3), expected[test])
        np.testing.assert_array_equal(dataset.test.factors, dataset.train.factors[test])


@pytest.mark.parametrize("path", ["celeba/img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_layouts_of_torchvision_and_kaggle(tmp_path, photographs, path):
    save((tmp_path / path).parent, photographs)
    assert len(celeba.read(tmp_path, NO_CACHE).test) == 3


def test_lists_in_the_authors_folders(tmp_path, photographs):
    save(tmp_path / "Img", photographs)
    for folder, name in (("Anno", "list_attr_celeba.txt"), ("Eval", "list_eval_partition.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / "Img" / name).rename(tmp_path / folder / name)
    dataset = celeba.read(tmp_path / "Img", NO_CACHE)
    assert (len(dataset.test), len(dataset.factors)) == (3, 3)


def test_lists_are_optional(tmp_path, photographs):
    dataset = celeba.read(save(tmp_path / "partition", photographs, list_attr_celeba=None), NO_CACHE)
    assert (len(dataset.test), dataset.test.factors) == (3, None)
    neither = save(tmp_path / "neither", photographs, list_attr_celeba=None, list_eval_partition=None)
    dataset = celeba.read(neither, NO_CACHE)
    assert (len(dataset.train), dataset.train.factors, dataset.factors, dataset.test) == (COUNT, None, (), None)


@pytest.mark.parametrize("enabled", [True, False])
def test_rows_follow_the_valid_images(tmp_path, photographs, expected, enabled):
    save(tmp_path, [photographs[0], photographs[1][:900], *photographs[2:]])
    (tmp_path / "img_align_celeba" / "._000001.jpg").write_bytes(b"x")
    (tmp_path / "img_align_celeba" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "img_align_celeba" / "folder.jpg").mkdir()
    dataset = celeba.read(tmp_path, Cache(tmp_path / "cache", enabled))
    assert dataset.broken == ("img_align_celeba/000002.jpg",)
    assert dataset.unused == ("img_align_celeba/._000001.jpg", "img_align_celeba/Thumbs.db")
    np.testing.assert_array_equal(dataset.train.factors, (SIGNS[[0, 2, 3, 4, 5, 6]] + 1) // 2)
    np.testing.assert_array_equal(dataset.test.take(0, 9), expected[[4, 5]])
    np.testing.assert_array_equal(dataset.test.factors, (SIGNS[[4, 5]] + 1) // 2)


ROWS = "".join(f"{name} 1 -1 1\n" for name in NAMES)
HEAD = f"{COUNT}\nBald Eyeglasses Smiling\n"
BAD_ATTRIBUTES = {
    f"{COUNT - 1}{HEAD[1:]}{ROWS.replace('000004.jpg 1 -1 1' + chr(10), '')}": "has no row for 000004.jpg: download",
    HEAD + ROWS.replace("000004.jpg 1 -1 1\n", ""): "line 1: header says '7' images, but 6 follow",
    HEAD + ROWS.replace("000004.jpg 1 -1", "000004.jpg 1"): "line 6: 2 values instead of 3",
    HEAD + ROWS.replace("000004.jpg 1 -1", "000004.jpg 1 0"): "line 6: '0' should be one of -1, 1",
    HEAD + ROWS.replace("000004.jpg", "000003.jpg"): "line 6: a second row for the same image",
    HEAD + ROWS.replace("000004.jpg 1 -1 1", ""): "line 6: 0 values instead of 3",
    f"{COUNT}\nBald Bald Smiling\n{ROWS}": "line 2",
    "": "is an empty file, not a list of CelebA: download it again",
    "\0\xff": "is not a text file",
}
BAD_PARTITIONS = {
    "000001.jpg 0\n": "has no row for 000002.jpg, nor for 5 other images",
    "000001.jpg 3\n": "line 1: '3' should be one of 0, 1, 2",
    "000001.jpg 0\n000002.jpg\n": "line 2: 0 values instead of 1",
}


@pytest.mark.parametrize(
    "name, text, message",
    [("list_attr_celeba", *bad) for bad in BAD_ATTRIBUTES.items()]
    + [("list_eval_partition", *bad) for bad in BAD_PARTITIONS.items()],
)
def test_bad_lists_are_refused_before_preprocessing(tmp_path, photographs, name, text, message):
    save(tmp_path, photographs, **{name: text})
    with pytest.raises(UserError, match=f"{tmp_path}/{name}.txt {message}"):
        celeba.read(tmp_path, Cache(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def prepared(tmp_path, photographs):
    """TFDS's data set of the photographs and their lists."""
    examples = [(io.BytesIO(data), row > 0) for data, row in zip(photographs, SIGNS, strict=True)]
    splits = {
        name: [example for example, p in zip(examples, PARTITION, strict=True) if p == number]
        for number, name in enumerate(("train", "validation", "test"))
    }
    return store_celeba(tmp_path, (218, 178, 3), ATTRIBUTES, splits)


def test_tfds_is_streamed_into_the_cache(tmp_path, expected, prepared):
    for _ in range(2):  # The second time from the cache.
        dataset = celeba.read(tmp_path, Cache(tmp_path / "cache"))
        images = dataset.train.take(0, COUNT)
        # TFDS has its own order within each split, but the bytes of the files, so the pixels are Pillow's.
        found = [int(np.flatnonzero((expected == image).all(axis=(1, 2, 3)))[0]) for image in images]
        assert [PARTITION[i] for i in found] == sorted(PARTITION)
        assert sorted(found) == list(range(COUNT))
        assert tuple(factor.name for factor in dataset.factors) == ATTRIBUTES
        np.testing.assert_array_equal(dataset.train.factors, (SIGNS[found] + 1) // 2)
        np.testing.assert_array_equal(dataset.test.take(0, 9), images[4:])


def test_a_broken_image_of_tfds_is_named_and_left_out(tmp_path, photographs, caplog):
    examples = [(io.BytesIO(data), row > 0) for data, row in zip(photographs, SIGNS, strict=True)]
    examples[2] = (io.BytesIO(photographs[2][:900]), SIGNS[2] > 0)
    store_celeba(
        tmp_path, (218, 178, 3), ATTRIBUTES, {"train": examples[:1], "validation": examples[1:2], "test": examples[2:]}
    )
    for _ in range(2):
        dataset = celeba.read(tmp_path, Cache(tmp_path / "cache"))
        assert len(dataset.train) == len(dataset.train.factors) == COUNT - 1 and len(dataset.test) == COUNT - 3
        (name,) = dataset.broken
        assert name.startswith("image ") and f"1 of 7 images are broken and left out: {name}" in caplog.text
        caplog.clear()


def test_tfds_is_refused_without_a_cache(tmp_path, prepared):
    with pytest.raises(UserError, match=f"--no-cache cannot be used with {prepared}.*leave out --no-cache"):
        celeba.read(tmp_path, NO_CACHE)


def test_tfds_without_attributes_is_refused(tmp_path, photographs):
    splits = {name: [(io.BytesIO(photographs[0]), ())] for name in ("train", "validation", "test")}
    folder = store_celeba(tmp_path, (218, 178, 3), (), splits)
    with pytest.raises(UserError, match=f"{folder} has attributes that are not CelebA's"):
        celeba.read(tmp_path, Cache(tmp_path / "cache"))


def test_damaged_tfds(tmp_path, prepared):
    shard = next(prepared.glob("*test.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(UserError, match="not a readable TFDS data set .split test"):
        celeba.read(tmp_path, Cache(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_failed_download_names_the_five_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(tfds, "_reachable", lambda: False)
    with pytest.raises(UserError) as error:
        celeba.download(NO_CACHE)
    assert f"{tmp_path}/downloads/manual/" in str(error.value)
    assert all(name in str(error.value) for name in celeba.MANUAL_FILES)
    assert "\n" not in str(error.value)


def test_five_files_are_those_of_tfds():
    import tensorflow_datasets.datasets.celeb_a.celeb_a_dataset_builder as source

    table = source.__file__.replace("celeb_a_dataset_builder.py", "checksums.tsv")
    with open(table, encoding="utf-8") as file:
        assert sorted(line.split()[-1] for line in file) == sorted(celeba.MANUAL_FILES)


def test_leftovers_of_a_failed_download_are_not_data(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (tmp_path / "celeb_a" / "incomplete.ABCDEF_2.1.0").mkdir(parents=True)
    assert not any(place.exists() for place in celeba.default_paths())


def test_missing_data_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no CelebA in"):
        celeba.read(tmp_path, NO_CACHE)
    (tmp_path / "celeba.zip").touch()
    with pytest.raises(UserError, match="celeba.zip is an empty file, not CelebA: download it again"):
        celeba.read(tmp_path / "celeba.zip", NO_CACHE)


def test_synthetic_data_has_factors_and_attributes():
    dataset = celeba.synthetic()
    assert dataset.synthetic and len(dataset.train) == 202_599
    assert dataset.train.take(3, 5).shape == (2, 64, 64, 3)
    split = len(faces.FACTORS)
    assert tuple(factor.name for factor in dataset.factors[split:]) == faces.ATTRIBUTES
    sample = np.array([0, 77, 202_598])
    np.testing.assert_array_equal(dataset.train.factors[sample, split:] * 2 - 1, faces.attributes(sample))
    np.testing.assert_array_equal(dataset.train.factors[sample, :split], faces.factors(sample))
