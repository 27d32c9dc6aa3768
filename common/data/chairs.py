"""3D Chairs (Aubry et al. 2014): rendered_chairs/<id>/renders/image_III_pEEE_tAAA_r096.png, 1,393 chairs x 62 views of 600x600 pixels.

The folder, or the official rendered_chairs.tar unextracted. Only the centre 300x300 of each render is used, at 64x64.
"""

import io
import os
import pathlib
import re
import tarfile

import numpy as np

from common.config import Config
from common.data import cache as image_cache
from common.data import files, tfds
from common.data.dataset import Dataset, Split
from common.data.factors import Factor
from common.data.files import ImageFiles, Item
from common.data.synthetic import chairs
from common.data.synthetic.images import SyntheticImages
from common.errors import UserError, first_line

TITLE = "3D Chairs"
SYNTHETIC = "shaded chairs of boxes, 31 azimuths x 2 elevations"
ACCEPTED_FORMATS = "rendered_chairs/<id>/renders/*.png or rendered_chairs.tar"
CROP, SIZE = 300, 64

_DAMAGE = (
    tarfile.TarError,
    ValueError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    RecursionError,
)  # What tarfile raises on damaged files.
_MAX_HEADER = 1 << 16  # Bytes: a long name is a header, too.
_NAME = re.compile(r"image_\d+_p(\d{1,3})_t(\d{1,3})_r\d+\.png")


def default_paths() -> list[pathlib.Path]:
    """Where a download by hand may lie."""
    base = tfds.manual_dir()
    return [base / "rendered_chairs", base / "rendered_chairs.tar"]


def download(cache) -> Dataset:
    """There is no package that fetches this data set."""
    raise UserError(
        "no download: it has to be fetched by hand, from https://www.di.ens.fr/willow/research/seeing3Dchairs/data/rendered_chairs.tar"
    )


def synthetic(config: Config) -> Dataset:
    """Synthetic renders, as many as the real ones, drawn on demand."""
    train = Split(SyntheticImages(chairs, 0, chairs.SIZE, CROP, SIZE), chairs.factors(np.arange(chairs.SIZE)))
    return Dataset("synthetic chairs (common/data/synthetic/chairs.py)", train, factors=chairs.FACTORS, synthetic=True)


def read(path: pathlib.Path, cache) -> Dataset:
    """Reads the renders from a tar, or from a folder that is or holds `rendered_chairs` or its tar. Raises UserError where there are none."""
    if path.is_file():
        items = _items_of_tar(path)
    elif (path / "rendered_chairs").is_dir():
        items = _items_of_folder(path / "rendered_chairs")
    elif (path / "rendered_chairs.tar").is_file():
        items = _items_of_tar(path / "rendered_chairs.tar")
    else:
        items = _items_of_folder(path)
    if not items:
        raise UserError(f"no 3D Chairs renders in {path}: it should be or hold {ACCEPTED_FORMATS}")
    images = ImageFiles(tuple(items), CROP, SIZE)
    kept = np.arange(len(images))
    if cache.enabled:
        images, kept = image_cache.open_images(images, cache.folder, "chairs")
    table, factors = _factors([items[i].name for i in kept])
    return Dataset(str(path), Split(images, table), factors=factors)


def _items_of_folder(folder: pathlib.Path) -> list[Item]:
    """The renders below `folder`, chair by chair, sorted; anything else in between is passed over."""
    items = []
    for chair in files.listing(folder):
        renders = pathlib.Path(chair.path, "renders")
        if os.path.isdir(renders):  # False, not an error, for a loop of links.
            items += [
                Item(f"{chair.name}/renders/{file.name}", file.path) for file in files.image_files(renders, (".png",))
            ]
    return items


def _items_of_tar(path: pathlib.Path) -> list[Item]:
    """The renders inside an uncompressed tar, as stretches of it: nothing is ever extracted."""
    items = []
    try:
        with _Headers(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                name = pathlib.PurePosixPath(member.name)
                if not 0 <= member.size <= os.fstat(file.fileno()).st_size:
                    raise tarfile.ReadError(f"{name.name} has {member.size} bytes")
                if name.is_absolute() or ".." in name.parts:
                    raise UserError(f"{path} holds {member.name!r}, which leads out of it: get the file anew")
                if member.isreg() and not member.issparse() and _is_render(name):  # Neither links nor devices.
                    items.append(Item("/".join(name.parts[-3:]), str(path), member.offset_data, member.size))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise UserError(f"{path} is no readable tar: {first_line(error)}") from None
    return sorted(items)


class _Headers(io.FileIO):
    """A tar of which only the headers are read: what they announce to be larger than any header is damage, and takes no memory."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _is_render(path: pathlib.PurePosixPath) -> bool:
    return path.suffix.lower() == ".png" and not path.name.startswith(".") and path.parts[-2:-1] == ("renders",)


def _factors(names: list[str]) -> tuple[np.ndarray | None, tuple[Factor, ...]]:
    """Chair, elevation and azimuth of each image by its name, int64 [n, 3]; (None, ()) where a name does not follow the pattern."""
    rows = []
    for name in names:
        parts = pathlib.PurePosixPath(name).parts
        match = _NAME.fullmatch(parts[-1])
        if not match:
            return None, ()
        rows.append((parts[0], int(match[1]), int(match[2])))
    columns = [np.unique(column, return_inverse=True) for column in zip(*rows)]
    factors = tuple(
        Factor(name, tuple(values.tolist()), unit)
        for name, (values, _), unit in zip(("chair", "elevation", "azimuth"), columns, ("", "deg", "deg"))
    )
    return np.stack([levels for _, levels in columns], axis=1).astype(np.int64), factors
