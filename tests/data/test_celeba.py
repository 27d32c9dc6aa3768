"""CelebA as a folder and as TFDS prepares it, its lists, and what may be wrong with them."""

import io

import numpy as np
import pytest
from PIL import Image

from common.data import celeba, tfds
from common.data.preprocess import preprocess
from common.data.synthetic import faces
from common.errors import UserError
from common.options import Cache
from helpers.prepared import store

COUNT = 7
NAMES = [f"{i + 1:06d}.jpg" for i in range(COUNT)]
ATTRIBUTES = ("Bald", "Eyeglasses", "Smiling")
RANDOM = np.random.default_rng(0)
SIGNS = RANDOM.choice([-1, 1], (COUNT, 3))
PARTITION = [0, 2, 1, 0, 2, 2, 0]


@pytest.fixture(scope="module")
def photographs():
    """The bytes of COUNT JPEGs of 178x218 pixels."""
    made = []
    for _ in range(COUNT):
        blocks = Image.fromarray(RANDOM.integers(0, 256, (9, 7, 3), dtype=np.uint8)).resize((178, 218))
        data = io.BytesIO()
        blocks.save(data, "JPEG", quality=90)
        made.append(data.getvalue())
    return made


def pixels(data):
    return preprocess(np.asarray(Image.open(io.BytesIO(data))), 128, 64)


def save(folder, photographs, **lists):
    """Writes the photographs to `folder`/img_align_celeba and the lists, of which None are left out, beside."""
    (folder / "img_align_celeba").mkdir(parents=True)
    for name, data in zip(NAMES, photographs):
        (folder / "img_align_celeba" / name).write_bytes(data)
    rows = [f"{name} {'  '.join(map(str, row))}" for name, row in zip(NAMES, SIGNS)]
    texts = {
        "list_attr_celeba": "\n".join([str(COUNT), " ".join(ATTRIBUTES) + " ", *rows]) + "\n",
        "list_eval_partition": "".join(f"{name} {part}\n" for name, part in zip(NAMES, PARTITION)),
    } | lists
    for name, text in texts.items():
        if text is not None:
            (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.mark.parametrize("enabled", [True, False])
def test_the_folder(tmp_path, photographs, enabled):
    save(tmp_path, photographs)
    for path in (tmp_path, tmp_path / "img_align_celeba"):
        dataset = celeba.read(path, Cache(tmp_path / "cache", enabled))
        np.testing.assert_array_equal(dataset.train.take(0, COUNT), [pixels(data) for data in photographs])
        assert [(f.name, f.values) for f in dataset.factors] == [(name, (-1, 1)) for name in ATTRIBUTES]
        assert dataset.train.factors.dtype == np.int64
        np.testing.assert_array_equal(dataset.train.factors, (SIGNS + 1) // 2)
        test = [1, 4, 5]
        assert len(dataset.test) == 3
        np.testing.assert_array_equal(dataset.test.take(0, 3), dataset.train.images[np.array(test)])
        np.testing.assert_array_equal(dataset.test.factors, dataset.train.factors[test])


@pytest.mark.parametrize("path", ["celeba/img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_as_others_lay_it_out(tmp_path, photographs, path):
    save((tmp_path / path).parent, photographs)
    assert len(celeba.read(tmp_path, Cache(None, False)).test) == 3


def test_the_lists_as_their_authors_lay_them_out(tmp_path, photographs):
    save(tmp_path / "Img", photographs)
    for folder, name in (("Anno", "list_attr_celeba.txt"), ("Eval", "list_eval_partition.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / "Img" / name).rename(tmp_path / folder / name)
    dataset = celeba.read(tmp_path / "Img", Cache(None, False))
    assert (len(dataset.test), len(dataset.factors)) == (3, 3)


def test_without_the_lists(tmp_path, photographs):
    dataset = celeba.read(
        save(tmp_path, photographs, list_attr_celeba=None, list_eval_partition=None), Cache(None, False)
    )
    assert (len(dataset.train), dataset.train.factors, dataset.factors, dataset.test) == (COUNT, None, (), None)


def test_the_partition_without_attributes(tmp_path, photographs):
    dataset = celeba.read(save(tmp_path, photographs, list_attr_celeba=None), Cache(None, False))
    assert (len(dataset.test), dataset.test.factors) == (3, None)


def test_rows_follow_the_images_that_are_whole(tmp_path, photographs):
    broken = list(photographs)
    broken[1] = broken[1][:900]
    save(tmp_path, broken)
    (tmp_path / "img_align_celeba" / "._000001.jpg").write_bytes(b"x")
    (tmp_path / "img_align_celeba" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "img_align_celeba" / "folder.jpg").mkdir()
    dataset = celeba.read(tmp_path, Cache(tmp_path / "cache"))
    kept = [0, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(dataset.train.factors, (SIGNS[kept] + 1) // 2)
    np.testing.assert_array_equal(dataset.test.take(0, 9), [pixels(photographs[i]) for i in (4, 5)])
    np.testing.assert_array_equal(dataset.test.factors, (SIGNS[[4, 5]] + 1) // 2)


ROWS = "".join(f"{name} 1 -1 1\n" for name in NAMES)
HEAD = f"{COUNT}\nBald Eyeglasses Smiling\n"


@pytest.mark.parametrize(
    "text, message",
    [
        (
            f"{COUNT - 1}\nBald Eyeglasses Smiling\n{ROWS.replace(NAMES[3] + ' 1 -1 1' + chr(10), '')}",
            "no row for 000004.jpg",
        ),
        (HEAD + ROWS.replace(NAMES[3] + " 1 -1 1\n", ""), "line 1: it announces '7' images, and 6 follow"),
        (HEAD + ROWS.replace(NAMES[3] + " 1 -1", NAMES[3] + " 1"), "line 6: 2 values instead of 3"),
        (HEAD + ROWS.replace(NAMES[3] + " 1 -1", NAMES[3] + " 1 0"), "line 6: '0' should be -1 or 1"),
        (HEAD + ROWS.replace(NAMES[3], NAMES[2]), "line 6: a second row of the same image"),
        (HEAD + ROWS.replace(NAMES[3] + " 1 -1 1", ""), "line 6: 0 values instead of 3"),
        (f"{COUNT}\nBald Bald Smiling\n{ROWS}", "line 2"),
        ("", "line 2"),
        ("\0\xff", "no text file"),
    ],
)
def test_bad_attributes(tmp_path, photographs, text, message):
    save(tmp_path, photographs, list_attr_celeba=None)
    path = tmp_path / "list_attr_celeba.txt"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=message) as error:
        celeba.read(tmp_path, Cache(tmp_path / "cache"))
    assert str(path) in str(error.value)
    assert not (tmp_path / "cache").exists()  # It is told before the images are preprocessed.


@pytest.mark.parametrize(
    "text, message",
    [
        ("000001.jpg 0\n", "no row for 000002.jpg"),
        ("000001.jpg 3\n", "line 1: '3' should be 0, 1 or 2"),
        ("000001.jpg 0\n000002.jpg\n", "line 2: 0 values instead of 1"),
    ],
)
def test_a_bad_partition(tmp_path, photographs, text, message):
    save(tmp_path, photographs, list_eval_partition=text)
    with pytest.raises(UserError, match=f"list_eval_partition.txt.*{message}"):
        celeba.read(tmp_path, Cache(None, False))


@pytest.fixture
def prepared(tmp_path, photographs):
    """What TFDS would prepare from the photographs and their lists."""
    import tensorflow_datasets

    features = {
        "image": tensorflow_datasets.features.Image(shape=(218, 178, 3), encoding_format="jpeg"),
        "attributes": {name: np.bool_ for name in ATTRIBUTES},
    }
    examples = [
        {"image": io.BytesIO(data), "attributes": dict(zip(ATTRIBUTES, row > 0))}
        for data, row in zip(photographs, SIGNS)
    ]
    splits = {
        name: [example for example, p in zip(examples, PARTITION) if p == part]
        for part, name in enumerate(("train", "validation", "test"))
    }
    return store(tmp_path, "celeb_a", "2.1.0", features, splits)


@pytest.mark.parametrize("enabled", [True, False])
def test_tfds(tmp_path, photographs, prepared, enabled):
    expected = np.stack([pixels(data) for data in photographs])
    for _ in range(2):  # The second time from the cache.
        dataset = celeba.read(tmp_path, Cache(tmp_path / "cache", enabled))
        images = dataset.train.take(0, COUNT)
        # TFDS keeps an order of its own within each split, and the bytes of the files, so the pixels are Pillow's.
        found = [int(np.flatnonzero((expected == image).all(axis=(1, 2, 3)))[0]) for image in images]
        assert [PARTITION[i] for i in found] == sorted(PARTITION)
        assert sorted(found) == list(range(COUNT))
        assert tuple(factor.name for factor in dataset.factors) == ATTRIBUTES
        np.testing.assert_array_equal(dataset.train.factors, (SIGNS[found] + 1) // 2)
        np.testing.assert_array_equal(dataset.test.take(0, 9), images[4:])


def test_damaged_tfds(tmp_path, prepared):
    shard = next(prepared.glob("*test.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(UserError, match="no readable TFDS data set .split test"):
        celeba.read(tmp_path, Cache(tmp_path / "cache"))


def test_a_failed_download_tells_the_five_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(tfds, "_reachable", lambda: False)
    with pytest.raises(UserError) as error:
        celeba.download(Cache(None, False))
    assert f"{tmp_path}/downloads/manual/" in str(error.value)
    assert all(name in str(error.value) for name in celeba.MANUAL_FILES)
    assert "\n" not in str(error.value)


def test_the_five_files_are_those_of_tfds():
    import tensorflow_datasets.datasets.celeb_a.celeb_a_dataset_builder as source

    table = source.__file__.replace("celeb_a_dataset_builder.py", "checksums.tsv")
    with open(table, encoding="utf-8") as file:
        assert sorted(line.split()[-1] for line in file) == sorted(celeba.MANUAL_FILES)


def test_what_a_failed_download_leaves_is_not_taken_for_data(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (tmp_path / "celeb_a" / "incomplete.ABCDEF_2.1.0").mkdir(parents=True)
    assert not any(place.exists() for place in celeba.default_paths())


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no CelebA in"):
        celeba.read(tmp_path, Cache(None, False))
    (tmp_path / "celeba.zip").touch()
    with pytest.raises(UserError, match="is no folder: it should be or hold img_align_celeba"):
        celeba.read(tmp_path / "celeba.zip", Cache(None, False))


def test_the_stand_in_has_celebas_attributes(make_config):
    dataset = celeba.synthetic(make_config())
    assert dataset.synthetic and len(dataset.train) == 202_599
    assert dataset.train.take(3, 5).shape == (2, 64, 64, 3)
    names = [factor.name for factor in dataset.factors]
    assert tuple(names[len(faces.FACTORS) :]) == faces.ATTRIBUTES
    sample = np.array([0, 77, 202_598])
    np.testing.assert_array_equal(dataset.train.factors[sample, len(faces.FACTORS) :] * 2 - 1, faces.attributes(sample))
    np.testing.assert_array_equal(dataset.train.factors[sample, : len(faces.FACTORS)], faces.factors(sample))
