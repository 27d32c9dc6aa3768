"""Preprocessing and grids, bit for bit: the original's own outputs, and the rules they follow."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from common.data.preprocess import centre_crop, decode, preprocess, stretch
from common.evaluation.figures.image_files import merge, save_grid
from helpers.images import encoded
from helpers.paths import GOLDEN_IMAGES as GOLDEN

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def golden():
    """The original's outputs by name."""
    with np.load(GOLDEN / "images.npz", allow_pickle=False) as archive:
        return dict(archive)


def preprocessed(name, crop):
    return preprocess(decode((GOLDEN / name).read_bytes()), crop, 64) / 127.5 - 1


@pytest.mark.parametrize("name, crop", [("celeba/face.png", 128), ("chairs/chair.png", 300)])
def test_png_is_read_as_by_the_original(golden, name, crop):
    np.testing.assert_array_equal(preprocessed(pathlib.Path(name).name, crop), golden[name])


def test_jpeg_is_read_nearly_as_by_the_original(golden):
    """The recording's libjpeg upsamples colour (4:2:0) differently from libjpeg-turbo, which Pillow's wheels contain.

    That changes the darkest pixel of this crop and so, by the stretch, every other one.
    """
    levels = np.abs(preprocessed("face.jpg", 128) - golden["celeba/face.jpg"]) * 127.5
    assert levels.max() <= 10.5
    assert levels.mean() <= 3


def test_tensorflow_decodes_jpeg_to_the_same_pixels():
    import tensorflow as tf

    data = (GOLDEN / "face.jpg").read_bytes()
    np.testing.assert_array_equal(decode(data), tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"))


@pytest.mark.parametrize("name, key", [("grid", "merge2_2x3"), ("grid1", "merge_2x3")])
def test_grids_are_those_of_the_original(golden, name, key, tmp_path):
    np.testing.assert_array_equal(merge(golden[f"{name}/in"], 2, 3), golden[f"{name}/{key}"])
    save_grid(golden[f"{name}/in"], 2, 3, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        np.testing.assert_array_equal(np.asarray(image), golden[f"{name}/png"])
    with Image.open(GOLDEN / f"{name}_2x3.png") as image:
        np.testing.assert_array_equal(np.asarray(image), golden[f"{name}/png"])


def test_jpeg_grids_have_the_brightness_of_the_original(golden, tmp_path):
    """Colour differs, see above."""
    save_grid(golden["grid/in"], 2, 3, tmp_path / "grid.jpg")
    with Image.open(tmp_path / "grid.jpg") as ours, Image.open(GOLDEN / "grid_2x3.jpg") as theirs:
        assert ours.quantization == theirs.quantization
        for image in (ours, theirs):
            image.draft("L", image.size)  # Decodes only the brightness.
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize(
    "shape, top, left", [((218, 178), 45, 25), ((600, 600), 236, 236), ((131, 129), 2, 0), ((133, 135), 2, 4)]
)
def test_crop_starts_at_the_rounded_half(shape, top, left):
    """Ties round to even: 1.5 and 2.5 to 2, 0.5 to 0, 3.5 to 4."""
    rows, columns = np.indices(shape)
    crop = centre_crop(np.stack([rows, columns], axis=-1), 128)
    assert crop.shape == (128, 128, 2)
    assert crop[0, 0].tolist() == [top, left]


@pytest.mark.parametrize("shape", [(127, 200), (200, 127)])
def test_crop_larger_than_the_image_is_refused(shape):
    with pytest.raises(ValueError, match="fewer than the 128x128"):
        centre_crop(np.zeros(shape), 128)


@pytest.mark.parametrize(
    "values, stretched",
    [
        ([0.0, 128.0, 255.0], [0, 128, 255]),
        ([10.0, 20.0, 30.0], [0, 128, 255]),  # 127.5 + 0.5.
        ([-1.0, -0.5, 1.0], [0, 64, 255]),  # 63.75 + 0.5.
        ([7.0, 7.0], [0, 0]),
        ([0.3, 0.3], [0, 0]),
    ],
)
def test_stretch(values, stretched):
    result = stretch(np.array(values))
    assert result.dtype == np.uint8
    assert result.tolist() == stretched


def test_stretch_is_over_all_channels_jointly():
    image = np.zeros((2, 2, 3))
    image[..., 1], image[..., 2] = 60, 100
    assert stretch(image)[0, 0].tolist() == [0, 153, 255]


def test_gray_and_transparent_images_are_converted_to_rgb():
    gray = np.arange(16, dtype=np.uint8).reshape(4, 4)
    np.testing.assert_array_equal(decode(encoded("PNG", gray)), np.repeat(gray[..., None], 3, axis=-1))
    rgba = np.random.default_rng(0).integers(0, 256, (4, 4, 4), dtype=np.uint8)
    np.testing.assert_array_equal(decode(encoded("PNG", rgba)), rgba[..., :3])


def test_incomplete_images_are_refused():
    whole = encoded("PNG", np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    for data in (b"", b"not an image", whole[:-200], whole[:20]):
        with pytest.raises(ValueError):
            decode(data)


def test_decompression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr("common.data.preprocess.MAX_PIXELS", 99)
    with pytest.raises(ValueError, match="10x10 pixels are too many"):
        decode(encoded("PNG", np.zeros((10, 10, 3), np.uint8)))
