"""The original's pixels, bit for bit: decoding, centre crop, contrast stretch, resize and scaling (REFERENCE.md section 6)."""

import io
import warnings

import numpy as np
from PIL import Image

MAX_PIXELS = 64_000_000  # No photograph of a data set comes near it; a decompression bomb goes beyond.
_FORMATS = ("PNG", "JPEG")  # Of the data sets; what else Pillow knows are decoders that nobody needs to trust.


def decode(data: bytes) -> np.ndarray:
    """Decodes a PNG's or JPEG's bytes with Pillow to RGB, uint8 [h, w, 3]. Raises ValueError for anything but a whole, sane image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images; the limit below decides.
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{image.width}x{image.height} pixels are too many")
                return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:  # All of these are Pillow's.
        raise ValueError(str(error) or type(error).__name__) from None


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The centre `size` x `size` of image [h, w, ...], starting at round((h - size) / 2). Raises ValueError where it is smaller."""
    height, width = image.shape[:2]
    if height < size or width < size:
        raise ValueError(f"{width}x{height} pixels are fewer than the {size}x{size} to crop")
    top, left = round((height - size) / 2), round((width - size) / 2)  # To even on a tie, as in the original.
    return image[top : top + size, left : left + size]


def stretch(image: np.ndarray) -> np.ndarray:
    """The original's contrast stretch, over all axes jointly: any real array -> uint8, minimum to 0 and maximum to 255.

    It happened by accident, in the library that resized and saved float images; a constant image becomes 0.
    """
    image = np.asarray(image)
    low, high = float(image.min()), float(image.max())
    scale = 255.0 / ((high - low) or 1.0)
    # Of 256 values each needs to be worked out once.
    values = np.arange(256.0) if image.dtype == np.uint8 else image.astype(np.float64)
    stretched = (((values - low) * scale).clip(0.0, 255.0) + 0.5).astype(np.uint8)
    return stretched[image] if image.dtype == np.uint8 else stretched


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Pillow's BILINEAR (area-aware) resize of uint8 [h, w, 3] to [size, size, 3]."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def preprocess(image: np.ndarray, crop: int, size: int) -> np.ndarray:
    """Crop, stretch and resize of an RGB image, uint8 [h, w, 3] -> uint8 [size, size, 3]."""
    return resize(stretch(centre_crop(image, crop)), size)
