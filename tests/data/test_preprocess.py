"""Preprocessing and grids, bit for bit: the original's own outputs, and the rules they follow."""

import io
import pathlib
import struct
import zlib

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
    ("values", "pixels"),
    [
        ([-1.0, 0.0, 1.0], [0, 128, 255]),  # 127.5 + 0.5 is cut off at 128.
        ([10.0, 11.0, 12.0, 20.0], [0, 26, 51, 255]),  # 25.5 + 0.5 and 51 + 0.5.
        ([0.0, 0.5, 254.4, 255.0], [0, 1, 254, 255]),
        ([3.0, 3.0, 3.0], [0, 0, 0]),
        ([-7.0, -7.0], [0, 0]),
    ],
)
def test_stretch_known_answers(values, pixels):
    stretched = stretch(np.array(values))
    np.testing.assert_array_equal(stretched, pixels)
    assert stretched.dtype == np.uint8


def test_stretch_undoes_any_positive_scaling_of_all_channels():
    image = np.zeros((1, 2, 3))
    image[0, 0] = [0, 1, 2]
    image[0, 1] = [4, 3, 2]
    np.testing.assert_array_equal(stretch(image)[0], [[0, 64, 128], [255, 191, 128]])
    np.testing.assert_array_equal(stretch(image * 8.0 - 3.0), stretch(image))
    np.testing.assert_array_equal(stretch((image * 40).astype(np.uint8)), stretch(image))  # Bytes do not wrap around.


GRAY = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
COLOURS = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)


def rgb(gray):
    return np.repeat(gray[..., None], 3, axis=-1)


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP"])
def test_gray_images_are_converted_to_rgb(form):
    np.testing.assert_array_equal(decode(encoded(form, GRAY, lossless=True)), rgb(GRAY))


def test_16_bits_of_gray_are_scaled_to_8():
    np.testing.assert_array_equal(decode(encoded("PNG", GRAY.astype(np.uint16) * 257)), rgb(GRAY))


def deep_png(pixels, colour):
    """A PNG of 16 bits per channel, uint16 [h, w, c], which Pillow cannot write; `colour` is PNG's type."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = {
        b"IHDR": struct.pack(">2I5B", width, height, 16, colour, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    body = (struct.pack(">I", len(v)) + k + v + struct.pack(">I", zlib.crc32(k + v)) for k, v in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def test_16_bits_of_colour_are_scaled_to_8():
    deep = COLOURS.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(deep_png(deep, 2)), COLOURS)
    opaque = np.concatenate([deep, np.full((4, 4, 1), 0xFFFF, np.uint16)], axis=-1)
    np.testing.assert_array_equal(decode(deep_png(opaque, 6)), COLOURS)
    np.testing.assert_array_equal(decode(deep_png(opaque[..., 2:], 4)), rgb(COLOURS[..., 2]))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_transparent_pixels_lie_on_white(form):
    alpha = np.full((4, 4, 1), 255, np.uint8)
    alpha[1], alpha[2] = 0, 51  # A fifth of 255.
    expected = COLOURS.copy()
    expected[1], expected[2] = 255, np.rint(204 + COLOURS[2] / 5)
    decoded = decode(encoded(form, np.concatenate([COLOURS, alpha], axis=-1), lossless=True, exact=True))
    assert np.abs(decoded.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(decoded[[0, 1, 3]], expected[[0, 1, 3]])


def test_gray_with_a_transparent_value_lies_on_white():
    alpha = np.where(GRAY == 17, 0, 255).astype(np.uint8)
    white = rgb(np.where(GRAY == 17, 255, GRAY))
    np.testing.assert_array_equal(decode(encoded("PNG", np.stack([GRAY, alpha], axis=-1))), white)
    np.testing.assert_array_equal(decode(encoded("PNG", GRAY, transparency=17)), white)  # The same as a PNG's tRNS.


def test_palette_images_have_the_colours_of_their_palette():
    indices = np.arange(16, dtype=np.uint8).reshape(4, 4) % 3
    colours = np.array([[200, 30, 0], [0, 0, 255], [90, 90, 90]], np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette(colours.tobytes())
    out = io.BytesIO()
    image.save(out, "PNG")
    np.testing.assert_array_equal(decode(out.getvalue()), colours[indices])
    image.save(out := io.BytesIO(), "PNG", transparency=1)
    colours[1] = 255
    np.testing.assert_array_equal(decode(out.getvalue()), colours[indices])


def test_cmyk_has_the_colours_of_its_inks():
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0], inks[8:, :, 3] = 255, 255  # Cyan above black.
    out = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(out, "JPEG", quality=95)
    decoded = decode(out.getvalue()).astype(int)
    assert np.abs(decoded[:8] - [0, 255, 255]).max() <= 3 and decoded[8:].max() <= 3


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_cameras_rotation_is_applied(form):
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees, clockwise.
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # White on the left.
    decoded = decode(encoded(form, pixels, exif=exif, **({} if form == "PNG" else {"quality": 95})))
    assert decoded.shape == (32, 16, 3)
    assert decoded[:12].min() > 240 and decoded[20:].max() < 15  # White at the top.


@pytest.mark.parametrize(
    "data, what",
    [
        (b"<!DOCTYPE html>", "an HTML page.*download it again"),
        (b"\xef\xbb\xbf \n<html lang='en'>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "a Git LFS pointer.*git lfs pull"),
        (b"", "an empty file"),
        (b"II*\0 and so on", "a TIFF image"),
        (b"\0\0\0\x20ftypavif", "an AVIF or HEIC image"),
        (b"\0" * 100, "a file of zeros"),
        (b'{"code": 403}', "a JSON text"),
    ],
)
def test_what_is_not_an_image_is_called_by_its_kind(data, what):
    with pytest.raises(ValueError, match=f"^{what}"):
        decode(data)


def test_incomplete_images_are_refused():
    whole = encoded("PNG", np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    for data in (b"", b"not an image", whole[:-200], whole[:20]):
        with pytest.raises(ValueError):
            decode(data)


def test_decompression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr("common.data.preprocess.MAX_PIXELS", 99)
    with pytest.raises(ValueError, match="10x10 pixels are too many"):
        decode(encoded("PNG", np.zeros((10, 10, 3), np.uint8)))
