"""3D Chairs (Aubry et al. 2014): 86,366 renders of 600x600 pixels, 1,393 chairs from 62 viewpoints.

The files <id>/renders/image_III_pEEE_tAAA_r096.png below a folder, or the official rendered_chairs.tar without
extracting it. Only the centre 300x300 of each render is used, at 64x64.
"""

import logging
import pathlib
import re

import numpy as np

from common.data import tfds
from common.data.dataset import Dataset, Factor, Split, SyntheticImages
from common.data.entries import IMAGE_SUFFIXES, Entry, list_files, not_found, report_unused, unused, with_members
from common.data.files import ImageFiles, broken_names, open_images
from common.data.synthetic import chairs
from common.errors import UserError
from common.options import Cache

TITLE = "3D Chairs"
SYNTHETIC = "shaded chairs of boxes, 31 azimuths x 2 elevations"
ACCEPTED_FORMATS = "rendered_chairs/<id>/renders/*.png or rendered_chairs.tar (or .zip)"
URL = "https://www.di.ens.fr/willow/research/seeing3Dchairs/data/rendered_chairs.tar"
CROP, SIZE = 300, 64

_FOLDER = "renders"
_NAME = re.compile(r"image_\d+_p(\d{1,3})_t(\d{1,3})_r\d+", re.IGNORECASE | re.ASCII)  # Without the ending.

logger = logging.getLogger(__name__)


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
    """Read the renders at or below `path`, in folders, tars or zip archives.

    Raises:
        UserError: there are none.
    """
    entries = list_files(path)
    renders = _renders(entries)
    if not renders:
        entries = with_members(entries, lambda found: bool(_renders(found)))
        renders = _renders(entries)
    if not renders:
        raise not_found(f"{TITLE} renders", path, entries, ACCEPTED_FORMATS)
    left_out = unused(entries, renders)
    report_unused(entries, left_out, "not renders of a chair, or there twice")
    files = ImageFiles(tuple(renders), CROP, SIZE)
    images, valid_indices = open_images(files, cache, "chairs")
    table, factors = _factors([renders[i] for i in valid_indices])
    broken = broken_names(files, valid_indices)
    return Dataset(str(path), Split(images, table), factors=factors, unused=left_out, broken=broken)


def _renders(entries: list[Entry]) -> list[Entry]:
    """Return the renders among files, sorted by chair and name, each view of a chair once.

    If no name tells a view, they are all images in folders named `renders`.
    """
    views = {}
    for entry in sorted(entries, key=lambda entry: (_chair(entry), entry.base, entry.name)):
        view = _view(entry)
        if view and not entry.is_junk:
            views.setdefault((_chair(entry), view), entry)
    if views:
        return list(views.values())
    found = [entry for entry in entries if entry.folder.split("/")[-1] == _FOLDER and entry.is_image]
    return sorted(found, key=lambda entry: (_chair(entry), entry.base, entry.name))


def _chair(entry: Entry) -> str:
    """Return the folder of a render that is named after its chair."""
    *_, above, folder = ["", *(entry.name if entry.is_member else entry.path).split("/")[:-1]]
    return above if folder == _FOLDER else folder


def _view(entry: Entry) -> tuple[int, int] | None:
    """Return elevation and azimuth in degrees from the name of a render; None if it has another pattern."""
    match = _NAME.fullmatch(entry.stem)
    return (int(match[1]), int(match[2])) if match and entry.suffix in ("", *IMAGE_SUFFIXES) else None


def _factors(renders: list[Entry]) -> tuple[np.ndarray | None, tuple[Factor, ...]]:
    """Return chair, elevation and azimuth of each render, int64 [n, 3]; (None, ()) if the names do not tell them."""
    views = [_view(entry) for entry in renders]
    rows = [(_chair(entry), *view) for entry, view in zip(renders, views, strict=True) if view]
    if len(rows) < len(renders):
        logger.warning("No file name tells elevation and azimuth, so the factors are not known")
        return None, ()
    factors, table = [], np.empty((len(rows), 3), np.int64)
    for i, (name, unit) in enumerate((("chair", ""), ("elevation", "deg"), ("azimuth", "deg"))):
        values, table[:, i] = np.unique([row[i] for row in rows], return_inverse=True)
        factors.append(Factor(name, tuple(values.tolist()), unit))
    return table, tuple(factors)
