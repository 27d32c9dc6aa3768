"""Images of one's own: folders, archives and arrays; classes, splits, and what can be wrong with them."""

import dataclasses
import errno
import logging
import pathlib
import re
import runpy
import zipfile

import numpy as np
import pytest
from PIL import Image

import InfoVAE_CelebA
import InfoVAE_dSprites
import InfoVAE_MNIST
from common import cli
from common.data import images
from common.data.entries import Entry
from common.data.load import load_dataset
from common.errors import UserError
from common.options import Cache
from helpers.images import encoded, tar
from helpers.paths import ROOT

FACES, DIGITS, SPRITES = InfoVAE_CelebA.CONFIG, InfoVAE_MNIST.CONFIG, InfoVAE_dSprites.CONFIG
NO_CACHE = Cache(pathlib.Path(), False)
ENDINGS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF"}


def picture(seed=0, size=(30, 20)):
    """Noise of that width and height."""
    return np.random.RandomState(seed).randint(0, 256, (*size[::-1], 3)).astype(np.uint8)


def write(folder, *names):
    """Write images of these names, each other noise, in the format of its ending."""
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(ENDINGS[name.rpartition(".")[2].lower()], picture(seed)))
    return folder


def read(path, fraction=0.0, config=FACES):
    """The data set at `path`, without a cache."""
    return images.read(path, dataclasses.replace(config, test_fraction=fraction), NO_CACHE)


def classes(split, dataset):
    """How many images each class has, by name."""
    counts = np.bincount(dataset.labels(split), minlength=dataset.factors[-1].levels)
    return dict(zip(dataset.factors[-1].values, counts.tolist(), strict=True))


def test_every_format_is_read(tmp_path):
    dataset = read(write(tmp_path, *(f"a.{ending}" for ending in ENDINGS), "B.JPG"))
    assert dataset.train.take(0, 9).shape == (6, 64, 64, 3)
    assert dataset.label is None and dataset.test is None


def test_an_image_is_its_centre_resized(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("PNG", picture()))
    square = Image.fromarray(picture()[:, 5:25])
    wanted = square.resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(read(tmp_path).train.take(0, 1)[0], wanted)
    grey = square.resize((28, 28), Image.Resampling.BILINEAR).convert("L")
    np.testing.assert_array_equal(read(tmp_path, config=DIGITS).train.take(0, 1)[0, :, :, 0], grey)


@pytest.mark.parametrize("config", [SPRITES, InfoVAE_dSprites.PRESETS["light"]], ids=["default", "light"])
def test_images_for_sprites_are_black_and_white(tmp_path, config):
    (tmp_path / "a.png").write_bytes(encoded("PNG", picture()))
    square = Image.fromarray(picture()[:, 5:25])
    bright = np.asarray(square.resize((64, 64), Image.Resampling.BILINEAR).convert("L")) >= 128
    for path in (tmp_path, npz(tmp_path, images=picture()[None])):
        np.testing.assert_array_equal(read(path, config=config).train.take(0, 1)[0, :, :, 0], bright)


def test_sub_folders_are_classes(tmp_path):
    dataset = read(write(tmp_path, "dog/1.png", "cat/x/1.png", "cat/2.png"))
    assert dataset.label == "class" and classes(dataset.train, dataset) == {"cat": 2, "dog": 1}


def test_a_folder_of_everything_is_not_a_class(tmp_path):
    dataset = read(write(tmp_path, "all/of/dog/1.png", "all/of/cat/1.png"))
    assert classes(dataset.train, dataset) == {"cat": 1, "dog": 1}
    assert read(write(tmp_path / "flat", "all/1.png", "all/2.png")).label is None


def test_images_next_to_folders_leave_no_classes(tmp_path, caplog):
    assert read(write(tmp_path, "1.png", "cat/1.png", "dog/1.png")).label is None
    assert "No classes, since some images, such as 1.png, lie next to the folders" in caplog.text


def test_train_and_test_are_splits(tmp_path, caplog):
    dataset = read(write(tmp_path, "Train/cat/1.png", "Train/dog/2.png", "Train/dog/3.png", "test/dog/1.png"), 0.5)
    assert classes(dataset.train, dataset) == {"cat": 1, "dog": 2}
    assert classes(dataset.test, dataset) == {"cat": 0, "dog": 1}
    assert "no test images of cat" in caplog.text


def test_images_outside_of_the_splits_are_named(tmp_path):
    with pytest.raises(UserError, match="val/1.png lies in neither: move it"):
        read(write(tmp_path, "train/1.png", "test/1.png", "val/1.png"))


def test_each_class_has_its_part_of_the_test_images(tmp_path):
    names = [*(f"cat/{i}.png" for i in range(10)), *(f"dog/{i}.png" for i in range(5))]
    dataset = read(write(tmp_path, *names), 0.2)
    assert classes(dataset.test, dataset) == {"cat": 2, "dog": 1}
    assert classes(dataset.train, dataset) == {"cat": 8, "dog": 4}
    pixels = [split.take(0, 15).tobytes() for split in (dataset.train, dataset.test)]
    assert [split.take(0, 15).tobytes() for split in (read(tmp_path, 0.2).train, read(tmp_path, 0.2).test)] == pixels


def test_more_images_move_few_test_images():
    checksums = np.random.RandomState(0).permutation(200)
    few, many = (images.held_out(checksums[:n], np.zeros(n), 0.1) for n in (190, 200))
    assert few.sum() == 19 and many.sum() == 20
    assert (few != many[:190]).sum() <= 2


def test_the_first_images_are_of_all_classes(tmp_path):
    names = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(20)]
    dataset = read(write(tmp_path, *names))
    assert set(dataset.labels(dataset.train)[:10].tolist()) == {0, 1}


def test_archives_are_read_as_folders(tmp_path):
    write(tmp_path / "pets", "train/cat/1.png", "train/dog/1.png", "test/cat/2.png")
    files = {file.relative_to(tmp_path).as_posix(): file.read_bytes() for file in tmp_path.rglob("*.png")}
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    (tmp_path / "pets.tar").write_bytes(tar(list(files.items())))
    wanted = read(tmp_path / "pets")
    for name in ("pets.zip", "pets.tar"):
        found = read(tmp_path / name)
        assert classes(found.test, found) == {"cat": 1, "dog": 0}
        np.testing.assert_array_equal(found.train.take(0, 2), wanted.train.take(0, 2))


def test_archives_may_be_the_splits(tmp_path):
    for name in ("train", "test"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr("cat/1.png", encoded("PNG", picture()))
            archive.writestr("dog/1.png", encoded("PNG", picture(1)))
    dataset = read(tmp_path)
    assert classes(dataset.test, dataset) == classes(dataset.train, dataset) == {"cat": 1, "dog": 1}


def test_broken_images_and_other_files_are_left_out(tmp_path, caplog):
    write(tmp_path, "cat/1.png", "dog/1.png", ".hidden/1.png", "__MACOSX/dog/1.png")
    (tmp_path / "cat" / "2.png").write_bytes(encoded("PNG", picture())[:99])
    (tmp_path / "dog" / "notes.txt").write_text("notes")
    caplog.set_level(logging.INFO, "common")
    dataset = read(tmp_path)
    assert len(dataset.train) == 2 and dataset.broken == ("cat/2.png",)
    assert classes(dataset.train, dataset) == {"cat": 1, "dog": 1}
    assert "not images: dog/notes.txt" in caplog.text


def test_an_image_that_cannot_be_read_is_not_cached_as_broken(tmp_path, monkeypatch):
    write(tmp_path / "pets", "1.png", "2.png")
    cache = Cache(tmp_path / "cache")

    def refuse(entry):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(UserError) as error:
        patch.setattr(Entry, "read", refuse)
        images.read(tmp_path / "pets", FACES, cache)
    assert re.fullmatch(r"cannot read .*/pets/[12].png: Permission denied: make it readable, or .*", str(error.value))
    assert images.read(tmp_path / "pets", FACES, cache).broken == ()


def test_resized_images_are_cached(tmp_path, monkeypatch):
    write(tmp_path / "pets", "1.png", "2.png")
    first = images.read(tmp_path / "pets", FACES, Cache(tmp_path / "cache")).train.take(0, 2)
    monkeypatch.setattr(images, "fit", None)
    again = images.read(tmp_path / "pets", FACES, Cache(tmp_path / "cache"))
    np.testing.assert_array_equal(again.train.take(0, 2), first)


def npz(folder, **arrays):
    """An .npz file of these arrays."""
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


COLOUR = np.stack([picture(seed) for seed in range(10)])


def test_arrays_have_classes_and_factors(tmp_path):
    labels, factors = np.array([7, 3] * 5), np.arange(20).reshape(10, 2)
    dataset = read(npz(tmp_path, images=COLOUR, labels=labels, factors=factors, names=np.array(["x"])), 0.2)
    assert [(factor.name, factor.levels) for factor in dataset.factors] == [
        ("factor 0", 10),
        ("factor 1", 10),
        ("class", 2),
    ]
    assert classes(dataset.test, dataset) == {3: 1, 7: 1} and classes(dataset.train, dataset) == {3: 4, 7: 4}
    assert dataset.train.take(0, 1).shape == (1, 64, 64, 3)


def test_arrays_of_the_right_size_stay_as_they_are(tmp_path):
    stored = np.random.RandomState(0).randint(0, 256, (5, 28, 28)).astype(np.uint8)
    dataset = read(npz(tmp_path, images=stored), config=DIGITS)
    np.testing.assert_array_equal(dataset.train.take(0, 5)[..., 0], stored)


def test_arrays_are_resized_as_files_are(tmp_path):
    path = npz(tmp_path, images=COLOUR)
    cached = images.read(path, dataclasses.replace(FACES, test_fraction=0.0), Cache(tmp_path / "cache"))
    for dataset in (read(path), cached):
        wanted = [images.fit(image, 64, 3) for image in COLOUR[:3]]
        np.testing.assert_array_equal(dataset.train.take(0, 3), wanted)


@pytest.mark.parametrize("config", [FACES, DIGITS], ids=["resized", "as they are"])
def test_arrays_of_one_colour_are_left_out(tmp_path, config):
    stored = np.random.RandomState(0).randint(0, 256, (6, 28, 28), np.uint8)
    stored[[1, 4]] = 7
    path = npz(tmp_path, images=stored, labels=np.array([5, 6, 7, 5, 6, 7]), factors=np.arange(6)[:, None])
    caches = (NO_CACHE, Cache(tmp_path / "cache"), Cache(tmp_path / "cache"))
    for dataset in (images.read(path, dataclasses.replace(config, test_fraction=0.0), cache) for cache in caches):
        assert dataset.broken == ("image 1", "image 4") and classes(dataset.train, dataset) == {5: 2, 7: 2}
        assert dataset.factors[0].values == (0, 2, 3, 5)
        wanted = [images.fit(image[..., None], config.image_shape[0], config.image_shape[2]) for image in stored]
        np.testing.assert_array_equal(dataset.train.take(0, 4), np.stack(wanted)[[0, 2, 3, 5]])


def test_arrays_of_0_and_1_are_black_and_white(tmp_path):
    stored = np.random.RandomState(0).randint(0, 2, (5, 64, 64), np.uint8)
    dataset = read(npz(tmp_path, images=stored), config=SPRITES)
    np.testing.assert_array_equal(dataset.train.take(0, 5)[..., 0], stored)


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"x": COLOUR}, "lacks images"),
        ({"images": COLOUR.astype(np.float32)}, r"images must be uint8 \[n, h, w, 1 or 3\], n > 0; got float32"),
        ({"images": COLOUR[..., :2]}, r"got uint8 \[10, 20, 30, 2\]"),
        ({"images": COLOUR[:0]}, r"n > 0; got uint8 \[0,"),
        ({"images": COLOUR, "labels": np.zeros(9, int)}, r"labels must be whole numbers \[10\], one row per image"),
        ({"images": COLOUR, "labels": np.zeros(10)}, "labels must be whole numbers"),
        ({"images": COLOUR, "labels": np.array(["a"] * 10)}, "labels is text"),
        ({"images": COLOUR, "factors": np.zeros(10, int)}, r"factors must be whole numbers \[10, f\]"),
        ({"images": COLOUR, "factors": np.zeros((10, 1001), int)}, "factors has 1001 columns: leave at most 1000"),
        ({"images": np.zeros_like(COLOUR)}, "all 10 images are of one colour"),
        ({"images": np.array([{}], object)}, "is not a readable .npz file"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, arrays, words):
    with pytest.raises(UserError, match=words):
        read(npz(tmp_path, **arrays))


def test_without_images_the_error_says_what_lies_there(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    with pytest.raises(UserError, match="it contains 1 .heic.*, which are not read: convert"):
        read(tmp_path)


def test_all_broken_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError, match="all 1 images are broken"):
        read(tmp_path)


def test_of_each_class_some_are_test_images_but_never_all():
    labels = np.array([0, 1, 1, 2, 2, 2])
    for fraction, wanted in ((0.0, [0, 0, 0]), (0.01, [0, 1, 1]), (0.99, [0, 1, 2])):
        test = images.held_out(np.arange(6), labels, fraction)
        np.testing.assert_array_equal(np.bincount(labels[test], minlength=3), wanted)


@pytest.mark.parametrize(
    "path, name",
    [
        ("pets", "pets"),
        ("My pets (1).tar.gz", "My-pets-1"),
        ("a.b/x.npz", "x"),
        ("/", "images"),
        ("synthetic", "synthetic-images"),
        ("x-synthetic.zip", "x-synthetic-images"),
        ("\u00e4/...", "images"),
    ],
)
def test_a_run_is_called_after_script_and_images(path, name):
    config = images.on_images(FACES, pathlib.Path(path))
    assert config.name == f"InfoVAE_CelebA-{name}" and config.dataset == "images"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--images", "nowhere", "--dry-run"], "--images nowhere does not exist; it should be a folder of images"),
        (["--images", ".", "--data-dir", "."], "--images cannot be combined with --data-dir"),
        (["--images", ".", "--data", "synthetic"], "--images cannot be combined with --data"),
        (["--test-fraction", "1"], "--test-fraction must be at least 0 and below 1, got 1.0"),
    ],
)
def test_mistakes_with_flags_cost_one_line(arguments, words, capsys):
    assert cli.main(FACES, "", arguments) == 2
    assert words in capsys.readouterr().err


def test_a_script_for_images_needs_them():
    with pytest.raises(UserError, match="needs images of your own: name a folder of images"):
        load_dataset(dataclasses.replace(FACES, dataset="images"), None, "auto", NO_CACHE)


def blocks():
    """The Python examples of docs/own_data.md, by their first line."""
    page = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    return {block.partition("\n")[0]: block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)}


def test_the_examples_of_the_page_train_and_sample(tmp_path, monkeypatch):
    """Arrays as on the page, the page's script on them, and the commands that follow."""
    script = tmp_path / "Photos.py"
    array, script_text = blocks().values()
    monkeypatch.chdir(tmp_path)
    exec(compile(array.replace("500", "40"), "own_data.md", "exec"), {})
    script.write_text(script_text)
    small = ["--width", "0.05", "--batch-size", "4", "--steps-per-epoch", "1", "--epochs", "1", "--no-evaluate"]
    for arguments in (["--images", "photos.npz", "--cache-dir", "cache", *small], ["sample", "--count", "2"]):
        monkeypatch.setattr("sys.argv", ["Photos.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        assert ended.value.code == 0
    assert (tmp_path / "results" / "Photos" / "samples.png").is_file()
    assert "accuracy" in (tmp_path / "results" / "Photos" / "log.csv").read_text()
