"""Small image files, and tars of them."""

import io
import tarfile

import numpy as np
from PIL import Image

RANDOM = np.random.RandomState(0)
PIXELS = RANDOM.randint(0, 256, (20, 20, 3), np.uint8)
VIEWS = [f"chair/renders/image_{i:03d}_p020_t{i:03d}_r096.png" for i in range(3)]


def encoded(form: str, pixels: np.ndarray = PIXELS, mode: str | None = None, **options) -> bytes:
    """Return an image as a file of Pillow's format `form`, converted to `mode` before."""
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, form, **options)
    return out.getvalue()


def tar(members: list, form: int = tarfile.GNU_FORMAT, mode: str = "w") -> bytes:
    """Return a tar of (name, data) pairs and TarInfos."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()
