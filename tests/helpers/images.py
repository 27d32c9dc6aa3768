"""Small image files and tars of them."""

import io
import tarfile

import numpy as np
from PIL import Image

RANDOM = np.random.RandomState(0)
PIXELS = RANDOM.randint(0, 256, (20, 20, 3), np.uint8)
VIEWS = [f"chair/renders/image_{i:03d}_p020_t{i:03d}_r096.png" for i in range(3)]


def encoded(form, **options):
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, form, **options)
    return out.getvalue()


def tar(members, form=tarfile.GNU_FORMAT) -> bytes:
    """A tar of (name, data) and of TarInfos."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()
