"""CelebA (Liu et al. 2015): 202,599 photographs of faces, 178x218 pixels, with 40 attributes each.

The aligned images as their authors or Kaggle distribute them, unpacked or not, or as TFDS prepares them. Only the
centre 128x128 of each photograph is used, at 64x64. As in the original, training sees all images; the authors' test
partition, if its list is there, is available as `test`, a view of them.
"""

import collections
import dataclasses
import logging
import os
import pathlib
import re
from collections.abc import Iterator

import numpy as np

from common.data import cache as image_cache
from common.data import celeba_lists, tfds
from common.data.dataset import Dataset, Factor, Images, Split, Subset, SyntheticImages
from common.data.entries import Entry, list_files, not_found, report_unused, unused, with_members
from common.data.facts import SIGNS
from common.data.files import BATCH, ImageFiles, broken_names, decode_all, fingerprint, open_images, report_broken
from common.data.synthetic import faces
from common.errors import UserError
from common.options import Cache

TITLE = "CelebA"
SYNTHETIC = "stylised portraits with CelebA's attributes"
ACCEPTED_FORMATS = (
    "img_align_celeba/*.jpg or img_align_celeba.zip (with list_attr_celeba.txt and list_eval_partition.txt next to it,"
    " if wanted), or TFDS's prepared celeb_a/"
)
CROP, SIZE = 128, 64
_FOLDER, _WILD = "img_align_celeba", "img_celeba"
_USUAL = (_FOLDER, f"{_FOLDER}/{_FOLDER}", f"celeba/{_FOLDER}", "")  # Where images precede what TFDS prepared.
_ATTRIBUTES, _PARTITION = "list_attr_celeba", "list_eval_partition"
# The files that TFDS needs, if it cannot download them itself.
MANUAL_FILES = (
    f"{_FOLDER}.zip",
    f"{_ATTRIBUTES}.txt",
    f"{_PARTITION}.txt",
    "list_landmarks_align_celeba.txt",
    "identity_CelebA.txt",
)

_SPLITS = ("train", "validation", "test")  # TFDS's names of the authors' partitions 0, 1, 2.

logger = logging.getLogger(__name__)


def default_paths() -> list[pathlib.Path]:
    """Return where earlier downloads may have left CelebA."""
    return [tfds.place("celeb_a"), tfds.manual_dir() / _FOLDER]


def download(cache: Cache) -> Dataset:
    """Let TFDS prepare CelebA. Raises UserError if that fails, which is common: Google Drive limits downloads."""
    try:
        folder = tfds.download("celeb_a", MANUAL_FILES)
    except UserError as error:
        remedy = f"put these files from CelebA's own site into {tfds.manual_dir()}/: {', '.join(MANUAL_FILES)}"
        raise UserError(f"{error}; {remedy}") from None
    return _from_tfds(folder, cache)


def synthetic() -> Dataset:
    """Return synthetic portraits, as many as the real ones, drawn on demand, with their factors and attributes."""
    indices = np.arange(faces.SIZE)
    table = np.concatenate([faces.factors(indices), faces.attributes(indices) > 0], axis=1)
    train = Split(SyntheticImages(faces, 0, faces.SIZE, CROP, SIZE), table)
    factors = faces.FACTORS + _factors(faces.ATTRIBUTES)
    return Dataset("synthetic faces (common/data/synthetic/faces.py)", train, factors=factors, synthetic=True)


def read(path: pathlib.Path, cache: Cache) -> Dataset:
    """Read CelebA at or below `path`: photographs in a folder, a zip archive or a tar, or TFDS's prepared data.

    Raises:
        UserError: there is no CelebA, or it is damaged.
    """
    entries = list_files(path)
    prepared = tfds.prepared(path, "celeb_a")
    if prepared and not _photographs([entry for entry in entries if entry.folder in _USUAL]):
        return _from_tfds(prepared, cache)
    found = _photographs(entries)
    if not found:
        entries = with_members(entries, lambda found: bool(_photographs(found)))
        found = _photographs(entries)
    if not found:
        raise not_found(TITLE, path, entries, ACCEPTED_FORMATS)
    if _WILD in map(_without_ending, found[0].folder.split("/")):
        raise UserError(f"{path} has CelebA's images in the wild; the aligned ones are needed: {_FOLDER}")
    return _from_files(path, entries, found, cache)


def _photographs(entries: list[Entry]) -> list[Entry]:
    """Return the photographs among files: those of one folder, sorted by name, each number once.

    The folder is known by its name or its files' names, or is the top. The aligned JPEGs precede the aligned PNGs, and
    these any other; of several folders, the one with the most images counts. If any file in it is named as CelebA's
    are, those that are not are left out.
    """
    folders = collections.defaultdict(list)
    for entry in entries:
        if entry.is_image:
            folders[entry.folder].append(entry)

    def rank(folder: str) -> tuple:
        names = [_without_ending(part) for part in folder.split("/")]
        return _FOLDER in names, f"{_FOLDER}_png" in names, _WILD not in names, len(folders[folder]), folder

    for folder in sorted(folders, key=rank, reverse=True):
        found = folders[folder]
        numbered = [entry for entry in found if re.fullmatch(r"\d{6}", entry.stem, re.ASCII)]
        if numbered or not folder or any(rank(folder)[:2]):
            return list({entry.stem: entry for entry in reversed(numbered or found)}.values())[::-1]
    return []


def _without_ending(folder: str) -> str:
    """Return a folder's name without the ending of an archive."""
    return re.sub(r"\.(zip|tar|tgz|tar\.\w+)$", "", folder.lower())


def _from_files(path: pathlib.Path, entries: list[Entry], found: list[Entry], cache: Cache) -> Dataset:
    # The lists are read before the images are preprocessed, so that a list that does not match fails at once.
    lists = _find_lists(path, entries, found[0].folder)
    attributes = celeba_lists.read_attributes(lists[_ATTRIBUTES]) if _ATTRIBUTES in lists else None
    partition = celeba_lists.read_partition(lists[_PARTITION]) if _PARTITION in lists else None
    for stem, what in ((_ATTRIBUTES, "attributes"), (_PARTITION, "test images")):
        if stem not in lists:
            logger.info("There is no %s.txt or .csv in %s, so the %s are not known", stem, path, what)
    used = found
    for each in filter(None, (attributes, partition)):
        used = each.listed(used)
    left_out = unused(entries, [*used, *lists.values()])
    report_unused(entries, left_out, f"in other folders than {found[0].folder or path}, or unknown to CelebA's lists")
    files = ImageFiles(tuple(used), CROP, SIZE)
    images, valid_indices = open_images(files, cache, "celeba")
    dataset = _dataset(
        str(path), images, valid_indices,
        names=attributes.columns if attributes else (),
        levels=attributes.select(used) if attributes else None,
        partition=partition.select(used)[:, 0] if partition else None,
    )  # fmt: skip
    return dataclasses.replace(dataset, unused=left_out, broken=broken_names(files, valid_indices))


def _find_lists(path: pathlib.Path, entries: list[Entry], folder: str) -> dict[str, Entry]:
    """Return the two lists, if there are any: below `path`, in archives there, or in a folder next to them.

    Those in the same tree as the images' `folder` precede others, then text precedes CSV.
    """
    found = {}

    def rank(entry: Entry) -> tuple:
        shared = os.path.commonprefix([entry.folder.split("/"), folder.split("/")])
        return -len(shared), entry.suffix != ".txt", entry.name.count("/"), entry.name

    for candidates in _places(path, entries):
        for stem in {_ATTRIBUTES, _PARTITION} - found.keys():
            lists = [e for e in candidates if e.base.lower().startswith(stem) and not e.is_junk]
            if lists:
                found[stem] = min(lists, key=rank)
        if len(found) == 2:
            break
    return found


def _places(path: pathlib.Path, entries: list[Entry]) -> Iterator[list[Entry]]:
    yield entries
    if not any(entry.is_member for entry in entries):
        yield with_members(entries)
    yield _around(path)


def _around(path: pathlib.Path) -> list[Entry]:
    """Return what may be lists in the two folders above `path` and in Anno and Eval there, as in the authors' tree."""
    parents = list(pathlib.Path(os.path.abspath(path)).parents)[:2]
    folders = [parent / name for parent in parents for name in ("", "Anno", "Eval")]
    return [
        Entry(file.name, str(file)) for folder in folders for file in sorted(folder.glob("list_*")) if file.is_file()
    ]


def _from_tfds(folder: pathlib.Path, cache: Cache) -> Dataset:
    """Read all examples in TFDS's stored order, split by split. The file names are lost.

    They are streamed once into the cache, since TFRecords have no random access.
    """
    if not cache.enabled:
        remedy = f"leave out --no-cache, or name a folder of {_FOLDER}/*.jpg with --data-dir"
        raise UserError(f"--no-cache cannot be used with {folder}, which TFDS prepared: {remedy}")
    stored = [[path.name, *fingerprint(path)] for path in sorted(folder.iterdir())]
    size = 2 * sum(bytes_ for _, bytes_, _ in stored)  # 64x64 pixels take less than twice the bytes of the JPEG.
    path = image_cache.entry(cache.folder, "celeba-tfds", [CROP, SIZE, stored], size, lambda e: _write_tfds(folder, e))
    partition = image_cache.load(path / "partition.npy", np.uint8, (None,), len(_SPLITS))
    levels = image_cache.load(path / "levels.npy", np.uint8, (len(partition), None), len(SIGNS))
    names = image_cache.load(path / "names.npy", np.str_, (levels.shape[1],))
    images, valid_indices = image_cache.load_images(path, (len(partition), SIZE, SIZE, 3))
    broken = tuple(f"image {i}" for i in np.setdiff1d(np.arange(len(partition)), valid_indices))
    report_broken("celeba", broken, len(partition))
    dataset = _dataset(
        f"{folder} (TFDS)", images, valid_indices, names=tuple(names.tolist()), levels=levels, partition=partition
    )
    return dataclasses.replace(dataset, broken=broken)


def _write_tfds(folder: pathlib.Path, entry: pathlib.Path) -> None:
    """Write all examples to a cache entry: images, partition, names of the attributes, and their levels."""
    counts = [tfds.count(folder, split) for split in _SPLITS]
    total = sum(counts)
    if not total:
        raise UserError(f"{folder} contains no examples: {tfds.PREPARE_AGAIN}")
    names, levels = [], []

    def batches() -> Iterator[ImageFiles]:
        for split in _SPLITS:
            for chunk in tfds.examples(folder, split, BATCH, encoded="image"):
                attributes = chunk.get("attributes", {})
                names[:] = names or sorted(attributes)
                known = names and sorted(attributes) == names
                if not known or any(column.dtype != bool for column in attributes.values()):
                    raise UserError(f"{folder} has attributes that are not CelebA's: {tfds.PREPARE_AGAIN}")
                levels.append(np.stack([attributes[name] for name in names], axis=1))
                files = [Entry(f"an image of {folder}, {split}", data=data) for data in chunk["image"]]
                yield ImageFiles(tuple(files), CROP, SIZE)

    image_cache.write_images(entry, "celeba", (total, SIZE, SIZE, 3), decode_all(batches(), total))
    np.save(entry / "partition.npy", np.repeat(np.arange(len(_SPLITS), dtype=np.uint8), counts))
    np.save(entry / "levels.npy", np.concatenate(levels).astype(np.uint8))
    np.save(entry / "names.npy", np.array(names))


def _dataset(
    source: str,
    images: Images,
    valid_indices: np.ndarray,
    *,
    names: tuple[str, ...],
    levels: np.ndarray | None,
    partition: np.ndarray | None,
) -> Dataset:
    """Return the data set of the valid images; row i of `levels` and entry i of `partition` are those of image i."""
    levels = None if levels is None else levels[valid_indices].astype(np.int64)
    test = None
    if partition is not None:
        indices = np.flatnonzero(partition[valid_indices] == _SPLITS.index("test"))
        if len(indices):
            test = Split(Subset(images, indices), None if levels is None else levels[indices])
    return Dataset(source, Split(images, levels), test, _factors(names))


def _factors(names: tuple[str, ...]) -> tuple[Factor, ...]:
    return tuple(Factor(name, SIGNS) for name in names)
