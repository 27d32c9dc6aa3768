"""CelebA (Liu et al. 2015): 202,599 photographs of faces, 178x218 pixels, with 40 attributes each.

The folder img_align_celeba as its authors distribute it, or as TFDS prepares it. Only the centre 128x128 of each
photograph is used, at 64x64. As in the original, training sees all images; the authors' test partition, if its list is
there, is available as `test`, a view of them.
"""

import pathlib
from collections.abc import Iterator

import numpy as np

from common.data import cache as image_cache
from common.data import tfds
from common.data.dataset import Dataset, Factor, Images, Split, Subset, SyntheticImages
from common.data.files import BATCH, ImageFile, ImageFiles, decode_all, fingerprint, image_files, open_images
from common.data.synthetic import faces
from common.errors import UserError
from common.options import Cache

TITLE = "CelebA"
SYNTHETIC = "stylised portraits with CelebA's attributes"
ACCEPTED_FORMATS = (
    "img_align_celeba/*.jpg (with list_attr_celeba.txt and list_eval_partition.txt next to it, if wanted), or TFDS's"
    " prepared celeb_a/"
)
CROP, SIZE = 128, 64
_FOLDER, _ATTRIBUTES, _PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
# The files that TFDS needs, if it cannot download them itself.
MANUAL_FILES = (f"{_FOLDER}.zip", _ATTRIBUTES, _PARTITION, "list_landmarks_align_celeba.txt", "identity_CelebA.txt")

_SIGNS = (-1, 1)  # The values of an attribute's levels 0 and 1.
_SPLITS = ("train", "validation", "test")  # TFDS's names of the authors' partitions 0, 1, 2.


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
    """Read CelebA from a folder that is or contains img_align_celeba, or TFDS's prepared data.

    Raises:
        UserError: `path` is neither, or damaged.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: it should be or contain {ACCEPTED_FORMATS}")
    # The second is Kaggle's layout, the third torchvision's.
    for folder in (path / _FOLDER, path / _FOLDER / _FOLDER, path / "celeba" / _FOLDER, path):
        names = image_files(folder, ".jpg") if folder.is_dir() else []
        if names:
            files = ImageFiles(tuple(ImageFile(entry.name, entry.path) for entry in names), CROP, SIZE)
            return _from_files(folder, files, str(path), cache)
    prepared = tfds.prepared(path, "celeb_a")
    if prepared:
        return _from_tfds(prepared, cache)
    raise UserError(f"no CelebA in {path}: it should be or contain {ACCEPTED_FORMATS}")


def _from_files(folder: pathlib.Path, files: ImageFiles, source: str, cache: Cache) -> Dataset:
    # The lists are read before the images are preprocessed, so that a list that does not match fails at once.
    names, levels = _read_attributes(folder, files)
    partition = _read_partition(folder, files)
    images, valid_indices = open_images(files, cache, "celeba")
    return _dataset(source, images, valid_indices, names=names, levels=levels, partition=partition)


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
    levels = image_cache.load(path / "levels.npy", np.uint8, (len(partition), None), len(_SIGNS))
    names = image_cache.load(path / "names.npy", np.str_, (levels.shape[1],))
    images, valid_indices = image_cache.load_images(path, "celeba", (len(partition), SIZE, SIZE, 3))
    return _dataset(
        f"{folder} (TFDS)", images, valid_indices, names=tuple(names.tolist()), levels=levels, partition=partition
    )


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
                if sorted(attributes) != names or any(column.dtype != bool for column in attributes.values()):
                    raise UserError(f"{folder} has attributes that are not CelebA's: {tfds.PREPARE_AGAIN}")
                levels.append(np.stack([attributes[name] for name in names], axis=1))
                files = [ImageFile(f"an image of {folder}, {split}", data=data) for data in chunk["image"]]
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
    return tuple(Factor(name, _SIGNS) for name in names)


def _find(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """Return the path of a list: next to the folder of images, in it, or where the authors' own tree has it."""
    for base in (folder.parent, folder, folder.parent.parent):
        for path in (base / name, base / "Anno" / name, base / "Eval" / name):
            if path.is_file():
                return path
    return None


def _read_attributes(folder: pathlib.Path, files: ImageFiles) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Return names and levels, uint8 [n, attributes]; ((), None) without list_attr_celeba.txt.

    The file: the number of images, the names, then one row per image: its name and -1 or 1 for each attribute.
    """
    path = _find(folder, _ATTRIBUTES)
    if path is None:
        return (), None
    lines = _lines(path)
    names = tuple(lines[1].split()) if len(lines) > 1 else ()
    if not names or len(set(names)) < len(names):
        raise UserError(f"{path} line 2: it should name the attributes, each once")
    rows = _parse(path, lines, 2, len(names), {"-1": 0, "1": 1})
    if lines[0].strip() != str(len(rows)):
        header = f"{lines[0].strip()[:20]!r} images, but {len(rows)} follow"
        raise UserError(f"{path} line 1: header says {header}: download the file again")
    return names, _select(rows, files, path)


def _read_partition(folder: pathlib.Path, files: ImageFiles) -> np.ndarray | None:
    """Return 0 (train), 1 (validation) or 2 (test) for each image, uint8 [n]; None without list_eval_partition.txt."""
    path = _find(folder, _PARTITION)
    if path is None:
        return None
    return _select(_parse(path, _lines(path), 0, 1, {"0": 0, "1": 1, "2": 2}), files, path)[:, 0]


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").rstrip().splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text file: download it again") from None


def _parse(path: pathlib.Path, lines: list[str], first: int, columns: int, codes: dict[str, int]) -> dict[str, bytes]:
    """Parse lines "name value ..." from `first` on: name -> `columns` codes. Raises UserError naming file and line."""
    rows = {}
    for number, line in enumerate(lines[first:], first + 1):
        name, *values = line.split() or [""]
        try:
            row = bytes([codes[value] for value in values])
        except KeyError as error:
            expected = f"one of {', '.join(codes)}"
            raise UserError(f"{path} line {number}: {error.args[0][:20]!r} should be {expected}") from None
        if len(row) != columns or name in rows:
            what = "a second row for the same image" if name in rows else f"{len(row)} values instead of {columns}"
            raise UserError(f"{path} line {number}: {what}")
        rows[name] = row
    return rows


def _select(rows: dict[str, bytes], files: ImageFiles, path: pathlib.Path) -> np.ndarray:
    """Return the row of each image, uint8 [n, columns]. Raises UserError if an image has none."""
    try:
        selected = b"".join([rows[file.name] for file in files.files])
    except KeyError as error:
        raise UserError(f"{path} has no row for {error.args[0]}: download it again, or remove the image") from None
    return np.frombuffer(selected, np.uint8).reshape(len(files), -1)
