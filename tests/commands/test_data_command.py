"""The command `data`: what would be read, in a few lines, as JSON and as a picture."""

import json
import runpy

import numpy as np
import pytest
from PIL import Image

from common import cli
from common.data.synthetic import sprites
from helpers.forms import save
from helpers.images import encoded
from helpers.paths import ROOT
from helpers.prepared import store_mnist

pytestmark = pytest.mark.fast

RANDOM = np.random.default_rng(0)
DIGITS = RANDOM.integers(0, 200, (12, 28, 28), dtype=np.uint8)
LABELS = (np.arange(12) % 10).astype(np.uint8)


def image(size):
    """A PNG, white above black."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[: size[0] // 2] = 255
    return encoded("PNG", pixels)


@pytest.fixture
def data(tmp_path, capsys):
    """`data(script, *flags)` runs the command on tmp_path/data; returns its lines, as a dict, and its JSON."""

    def run(script, *flags):
        places = [
            "--out",
            tmp_path / "out",
            "--cache-dir",
            tmp_path / "cache",
            "--json",
            tmp_path / "new" / "data.json",
        ]
        arguments = ["data", *places, *(flags or ["--data-dir", tmp_path / "data"])]
        names = runpy.run_path(str(ROOT / f"InfoVAE_{script}.py"))
        assert cli.main(names["CONFIG"], "", [str(argument) for argument in arguments]) == 0
        shown = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
        return dict(line for line in shown if len(line) == 2), json.loads((tmp_path / "new" / "data.json").read_text())

    return run


def test_mnist_is_described(data, tmp_path):
    path = tmp_path / "data" / "mnist.npz"
    path.parent.mkdir()
    images = DIGITS.copy()
    images[4] = 9
    np.savez(path, x_train=images, y_train=LABELS, x_test=DIGITS[:3], y_test=LABELS[:3])
    save(path.parent, {f"{letter}.txt": b"x" for letter in "abcdefg"})
    shown, facts = data("MNIST")
    assert facts == {
        "source": str(path),
        "train": 11,
        "test": 3,
        "classes": 10,
        "attributes": [],
        "factors": {},
        "pixels": {"min": 0, "max": 199},
        "unused": [f"{letter}.txt" for letter in "abcdefg"],
        "broken": ["train image 4"],
    }
    assert (shown["source"], shown["train"], shown["test"], shown["classes"]) == (
        str(path),
        "11 images",
        "3 images",
        "10",
    )
    assert shown["unused"] == "7: a.txt, b.txt, c.txt, d.txt, e.txt and 2 more"
    assert shown["broken"] == "1: train image 4"
    assert shown["pixels"].startswith("0 to 199")


def test_the_picture_shows_the_first_64_images_unchanged(data, tmp_path):
    images = RANDOM.integers(50, 200, (70, 28, 28), dtype=np.uint8)
    (tmp_path / "data").mkdir()
    np.savez(
        tmp_path / "data" / "mnist.npz", x_train=images, y_train=images[:, 0, 0] % 10, x_test=images, y_test=[1] * 70
    )
    shown, _ = data("MNIST")
    assert shown["picture"] == str(tmp_path / "out" / "results" / "InfoVAE_MNIST" / "data.png")
    with Image.open(shown["picture"]) as picture:
        expected = images[:64].reshape(8, 8, 28, 28).transpose(0, 2, 1, 3).reshape(224, 224)
        np.testing.assert_array_equal(np.asarray(picture), expected)


def test_prepared_mnist_is_described(data, tmp_path):
    folder = store_mnist(tmp_path / "data", DIGITS, LABELS)
    _, facts = data("MNIST")
    assert (facts["source"], facts["train"], facts["test"], facts["classes"]) == (f"{folder} (TFDS)", 12, 12, 10)


@pytest.mark.parametrize("flags", [[], ["--no-cache"]])
def test_celeba_is_described(data, tmp_path, flags):
    names = [f"{i:06d}.png" for i in range(1, 5)]
    files = {f"img_align_celeba_png/{name}": image((130, 128)) for name in names[:3]}
    files |= {f"img_align_celeba_png/{names[3]}": b"<html>", "identity_CelebA.txt": b"x"}
    files["list_attr_celeba.txt"] = "\n".join(["Bald Male", *(f"{name} 1 -1" for name in names)]).encode()
    files["list_eval_partition.txt"] = "\n".join(f"{name} {i}" for i, name in enumerate(names[:3])).encode() + b"\nx 0"
    files["list_eval_partition.txt"] += f"\n{names[3]} 2".encode()
    save(tmp_path / "data", files)
    shown, facts = data("CelebA", "--data-dir", tmp_path / "data", *flags)
    assert (facts["train"], facts["test"], facts["classes"], facts["factors"]) == (3, 1, 0, {})
    assert facts["attributes"] == ["Bald", "Male"] and shown["attributes"] == "2: Bald, Male"
    assert (facts["unused"], facts["broken"]) == (["identity_CelebA.txt"], [f"img_align_celeba_png/{names[3]}"])
    assert facts["pixels"] == {"min": 0, "max": 255}


def test_chairs_are_described(data, tmp_path):
    views = {f"{c}/renders/image_00{i}_p020_t0{i}0_r096.png": image((300, 300)) for c in "ab" for i in range(3)}
    save(tmp_path / "data", views | {"a/renders/preview.png": image((300, 300))})
    shown, facts = data("3DChairs")
    assert (facts["train"], facts["test"], facts["attributes"]) == (6, 0, [])
    assert facts["factors"] == {"chair": 2, "elevation": 1, "azimuth": 3}
    assert shown["factors"] == "chair 2, elevation 1, azimuth 3"
    assert (facts["unused"], facts["broken"]) == (["a/renders/preview.png"], [])


def test_dsprites_is_described_and_drawn_in_black_and_white(data, tmp_path):
    (tmp_path / "data").mkdir()
    sample = np.arange(0, sprites.SIZE, sprites.SIZE // 20)
    pixels, levels = sprites.images(sample)[..., 0], sprites.factors(sample)
    np.savez(tmp_path / "data" / "sprites.npz", imgs=pixels, latents_classes=levels)
    shown, facts = data("dSprites")
    assert (facts["train"], facts["pixels"]) == (len(sample), {"min": 0, "max": 1})
    assert facts["factors"] == {factor.name: factor.levels for factor in sprites.FACTORS}
    with Image.open(shown["picture"]) as picture:
        np.testing.assert_array_equal(np.asarray(picture)[:64, :64], pixels[0] * 255)


def test_odd_names_are_escaped(data, tmp_path):
    folder = save(tmp_path / "data", {"t10k\n\x1b[31m.txt": b"x"})
    np.savez(folder / "x.npz", x_train=DIGITS, y_train=LABELS, x_test=DIGITS, y_test=LABELS)
    shown, facts = data("MNIST")
    assert "t10k\n\x1b[31m.txt" in facts["unused"] and r"t10k\n\x1b[31m.txt" in shown["unused"]


def test_synthetic_data_is_called_so(data):
    shown, facts = data("MNIST", "--data", "synthetic")
    assert "synthetic" in facts["source"] and "InfoVAE_MNIST-synthetic" in shown["picture"]
    assert facts["train"] == 60_000


def test_missing_data_is_one_line_and_writes_nothing(tmp_path, capsys):
    names = runpy.run_path(str(ROOT / "InfoVAE_MNIST.py"))
    (tmp_path / "data").mkdir()
    arguments = ["data", "--data-dir", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert cli.main(names["CONFIG"], "", arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no MNIST in {tmp_path}/data: it is empty" in line
    assert not (tmp_path / "out").exists()
