"""Preprocessing of the original, bit for bit: decode, crop, contrast stretch, resize (docs/original.md, section 6)."""

import contextlib
import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from common.data import formats

MAX_PIXELS = 64_000_000  # Larger than any image in the data sets; limits decompression bombs.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # Pillow's other decoders are not needed, so they need not be trusted.


def decode(data: bytes) -> np.ndarray:
    """Decode a PNG, JPEG, WebP or BMP file to RGB as a person sees it, uint8 [h, w, 3].

    16-bit images are scaled to 8 bits, transparent pixels lie on white, and a camera's rotation is applied. Raises
    ValueError if the file is damaged or anything else; the message says what.
    """
    kind = formats.recognise(data[: formats.HEAD])
    if kind not in formats.IMAGES:
        raise ValueError(formats.instead(kind, "an image that can be read"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images; the limit below decides.
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{image.width}x{image.height} pixels are too many")
                return np.asarray(_as_seen(image))
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:  # Pillow raises all of these.
        raise ValueError(str(error) or type(error).__name__) from None


def _as_seen(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # Damaged EXIF data says nothing; if it is the image, it fails again below.
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow keeps the upper 8 bits of 16-bit colours itself.
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 0xFFFF) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Crop the centre `size` x `size` of image [h, w, ...]. Raises ValueError if the image is smaller.

    The crop starts at round((h - size) / 2). Ties round to even, as in the original.
    """
    height, width = image.shape[:2]
    if height < size or width < size:
        raise ValueError(f"{width}x{height} pixels are fewer than the {size}x{size} to crop")
    top, left = round((height - size) / 2), round((width - size) / 2)
    return image[top : top + size, left : left + size]


def stretch(image: np.ndarray) -> np.ndarray:
    """Stretch the contrast of a real array of any shape over all axes jointly: minimum to 0, maximum to 255, uint8.

    In the original this is a side effect of the library that resized and saved float images. A constant image becomes
    0.
    """
    image = np.asarray(image)
    low, high = float(image.min()), float(image.max())
    scale = 255.0 / ((high - low) or 1.0)
    # A table of all 256 values is faster than computing each pixel.
    values = np.arange(256.0) if image.dtype == np.uint8 else image.astype(np.float64)
    stretched = (((values - low) * scale).clip(0.0, 255.0) + 0.5).astype(np.uint8)
    return stretched[image] if image.dtype == np.uint8 else stretched


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 [h, w, 3] to [size, size, 3] with Pillow's BILINEAR filter, which averages over areas."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def preprocess(image: np.ndarray, crop: int, size: int) -> np.ndarray:
    """Crop, stretch and resize an RGB image: uint8 [h, w, 3] -> uint8 [size, size, 3]."""
    return resize(stretch(centre_crop(image, crop)), size)
