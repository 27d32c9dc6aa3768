"""3D Chairs (Aubry et al. 2014): 86,366 renders of 600x600 pixels, 1,393 chairs from 62 viewpoints.

The folder rendered_chairs/<id>/renders/image_III_pEEE_tAAA_r096.png, or the official rendered_chairs.tar without
extracting it. Only the centre 300x300 of each render is used, at 64x64.
"""

import io
import os
import pathlib
import re
import tarfile

import numpy as np

from common.data import tfds
from common.data.dataset import Dataset, Factor, Split, SyntheticImages
from common.data.files import ImageFile, ImageFiles, image_files, open_images, sorted_entries
from common.data.synthetic import chairs
from common.errors import UserError, first_line
from common.options import Cache

TITLE = "3D Chairs"
SYNTHETIC = "shaded chairs of boxes, 31 azimuths x 2 elevations"
ACCEPTED_FORMATS = "rendered_chairs/<id>/renders/*.png or rendered_chairs.tar"
URL = "https://www.di.ens.fr/willow/research/seeing3Dchairs/data/rendered_chairs.tar"
CROP, SIZE = 300, 64

# What tarfile raises on damaged files.
_DAMAGE = (tarfile.TarError, ValueError, LookupError, EOFError, OverflowError, RecursionError)
_MAX_HEADER = 1 << 16  # Bytes. Long names are stored like headers.
_NAME = re.compile(r"image_\d+_p(\d{1,3})_t(\d{1,3})_r\d+\.png")


def default_paths() -> list[pathlib.Path]:
    """Return where manually downloaded data may be."""
    base = tfds.manual_dir()
    return [base / "rendered_chairs", base / "rendered_chairs.tar"]


def download(cache: Cache) -> Dataset:
    """Raise UserError: no package downloads this data set."""
    raise UserError(f"no download: get it manually from {URL}")


def synthetic() -> Dataset:
    """Return synthetic renders, as many as the real ones, drawn on demand."""
    train = Split(SyntheticImages(chairs, 0, chairs.SIZE, CROP, SIZE), chairs.factors(np.arange(chairs.SIZE)))
    return Dataset("synthetic chairs (common/data/synthetic/chairs.py)", train, factors=chairs.FACTORS, synthetic=True)


def read(path: pathlib.Path, cache: Cache) -> Dataset:
    """Read the renders from a tar, or from a folder that is or contains `rendered_chairs` or its tar.

    Raises:
        UserError: there are none.
    """
    inside = (path / "rendered_chairs", path / "rendered_chairs.tar")
    found = next((p for p in inside if p.exists()), path)
    files = _files_of_tar(found) if found.is_file() else _files_of_folder(found)
    if not files:
        raise UserError(f"no 3D Chairs renders in {path}: it should be or contain {ACCEPTED_FORMATS}")
    images, valid_indices = open_images(ImageFiles(tuple(files), CROP, SIZE), cache, "chairs")
    table, factors = _factors([files[i].name for i in valid_indices])
    return Dataset(str(path), Split(images, table), factors=factors)


def _files_of_folder(folder: pathlib.Path) -> list[ImageFile]:
    """Return the renders below `folder`, sorted by chair and name; other files are ignored."""
    files = []
    for chair in sorted_entries(folder):
        renders = pathlib.Path(chair.path, "renders")
        if os.path.isdir(renders):  # False, not an error, for a loop of links.
            files += [ImageFile(f"{chair.name}/renders/{f.name}", f.path) for f in image_files(renders, ".png")]
    return files


def _files_of_tar(path: pathlib.Path) -> list[ImageFile]:
    """Return the renders inside an uncompressed tar, as byte ranges: nothing is extracted."""
    files = []
    try:
        with _HeaderReader(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                name = pathlib.PurePosixPath(member.name)
                if not 0 <= member.size <= os.fstat(file.fileno()).st_size:
                    raise tarfile.ReadError(f"{name.name} has {member.size} bytes")
                if name.is_absolute() or ".." in name.parts:
                    raise UserError(f"{path} contains {member.name!r}, which escapes the archive: download it again")
                if member.isreg() and not member.issparse() and _is_render(name):  # Neither links nor devices.
                    files.append(ImageFile("/".join(name.parts[-3:]), str(path), member.offset_data, member.size))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise UserError(f"{path} is not a readable tar: {first_line(error)}") from None
    return sorted(files)


class _HeaderReader(io.FileIO):
    """A tar of which only headers are read. It limits reads, so that a corrupt header cannot allocate memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size) or b""


def _is_render(path: pathlib.PurePosixPath) -> bool:
    return path.suffix.lower() == ".png" and not path.name.startswith(".") and path.parts[-2:-1] == ("renders",)


def _factors(names: list[str]) -> tuple[np.ndarray | None, tuple[Factor, ...]]:
    """Parse chair, elevation and azimuth from file names: int64 [n, 3]; (None, ()) if a name has another pattern."""
    rows = []
    for name in names:
        parts = pathlib.PurePosixPath(name).parts
        match = _NAME.fullmatch(parts[-1])
        if not match:
            return None, ()
        rows.append((parts[0], int(match[1]), int(match[2])))
    factors, table = [], np.empty((len(rows), 3), np.int64)
    for i, (name, unit) in enumerate((("chair", ""), ("elevation", "deg"), ("azimuth", "deg"))):
        values, table[:, i] = np.unique([row[i] for row in rows], return_inverse=True)
        factors.append(Factor(name, tuple(values.tolist()), unit))
    return table, tuple(factors)
