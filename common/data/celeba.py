"""CelebA (Liu et al. 2015): img_align_celeba/*.jpg, 202,599 photographs of faces, 178x218 pixels, with 40 attributes each.

The folder as its authors give it, or as TFDS prepares it. Only the centre 128x128 of each photograph is used, at 64x64. As in the
original, training sees all images; the authors' test partition, where its list is there, is offered beside as a view of them.
"""

import pathlib

import numpy as np

from common.config import Config
from common.data import cache as image_cache
from common.data import files, tfds
from common.data.dataset import Dataset, Images, Split, Subset
from common.data.factors import Factor
from common.data.files import ImageFiles, Item
from common.data.synthetic import faces
from common.data.synthetic.images import SyntheticImages
from common.errors import UserError

TITLE = "CelebA"
SYNTHETIC = "stylised portraits with CelebA's attributes"
ACCEPTED_FORMATS = "img_align_celeba/*.jpg (list_attr_celeba.txt and list_eval_partition.txt beside it are used), or TFDS's prepared celeb_a/"
CROP, SIZE = 128, 64
MANUAL_FILES = (
    "img_align_celeba.zip",
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
    "list_landmarks_align_celeba.txt",
    "identity_CelebA.txt",
)

_FOLDER = "img_align_celeba"
_ATTRIBUTES, _PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"
_SIGNS = (-1, 1)  # What an attribute's levels 0 and 1 stand for.
_SPLITS = ("train", "validation", "test")  # TFDS's names of the authors' partitions 0, 1, 2.
_TEST = 2


def default_paths() -> list[pathlib.Path]:
    """Where CelebA lies on machines that have used it before."""
    return [tfds.place("celeb_a"), tfds.manual_dir() / _FOLDER]


def download(cache) -> Dataset:
    """Lets TFDS prepare CelebA. Raises UserError where that fails, as it mostly does: Google Drive limits the downloads of its files."""
    try:
        folder = tfds.download("celeb_a", MANUAL_FILES)
    except UserError as error:
        raise UserError(
            f"{error}; TFDS takes these five files, from CelebA's own site, out of {tfds.manual_dir()}/: {', '.join(MANUAL_FILES)}"
        ) from None
    return _from_tfds(folder, cache)


def synthetic(config: Config) -> Dataset:
    """Synthetic portraits, as many as the real ones, drawn on demand; their factors are followed by the attributes that they show."""
    indices = np.arange(faces.SIZE)
    table = np.concatenate([faces.factors(indices), _levels(faces.attributes(indices))], axis=1)
    train = Split(SyntheticImages(faces, 0, faces.SIZE, CROP, SIZE), table)
    return Dataset(
        "synthetic faces (common/data/synthetic/faces.py)",
        train,
        factors=faces.FACTORS + _factors(faces.ATTRIBUTES),
        synthetic=True,
    )


def read(path: pathlib.Path, cache) -> Dataset:
    """Reads CelebA from a folder that is or holds img_align_celeba, or from what TFDS prepared. Raises UserError where it is neither."""
    if not path.is_dir():
        raise UserError(f"{path} is no folder: it should be or hold {ACCEPTED_FORMATS}")
    for folder in (
        path / _FOLDER,
        path / _FOLDER / _FOLDER,
        path / "celeba" / _FOLDER,
        path,
    ):  # As given, Kaggle's, torchvision's.
        items = (
            [Item(entry.name, entry.path) for entry in files.image_files(folder, (".jpg",))] if folder.is_dir() else []
        )
        if items:
            return _from_files(folder, items, str(path), cache)
    prepared = tfds.prepared(path, "celeb_a")
    if prepared:
        return _from_tfds(prepared, cache)
    raise UserError(f"no CelebA in {path}: it should be or hold {ACCEPTED_FORMATS}")


def _from_files(folder: pathlib.Path, items: list[Item], source: str, cache) -> Dataset:
    names, attributes = _read_attributes(folder)
    partition = _read_partition(folder)
    # Looked up before the images are: a list that does not fit them is told at once.
    table = None if attributes is None else _rows(attributes, items, _find(folder, _ATTRIBUTES))
    part = None if partition is None else _rows(partition, items, _find(folder, _PARTITION))[:, 0]
    return _dataset(source, ImageFiles(tuple(items), CROP, SIZE), names, table, part, cache)


def _from_tfds(folder: pathlib.Path, cache) -> Dataset:
    """All examples in TFDS's stored order, which is not the files' (their names are lost), split after split."""
    shards = sorted(folder.glob("celeb_a-*"))

    def fill(entry: pathlib.Path) -> None:
        for name, array in _index_tfds(folder).items():
            np.save(entry / f"{name}.npy", array)

    if cache.enabled:  # It takes half a minute to go through all examples.
        identity = [[path.name, *files.stamp(path)] for path in shards]
        entry = image_cache.entry(cache.folder, "celeba-index", identity, 1 << 26, fill)
        index = _load_index(entry, len(shards))
    else:
        index = _index_tfds(folder)
    items = tuple(
        Item(f"{shards[shard].name} byte {start}", str(shards[shard]), start, length)
        for shard, start, length in index["where"].tolist()
    )
    return _dataset(
        f"{folder} (TFDS)",
        ImageFiles(items, CROP, SIZE),
        tuple(index["names"].tolist()),
        index["table"],
        index["part"],
        cache,
    )


def _load_index(entry: pathlib.Path, shards: int) -> dict[str, np.ndarray]:
    """`_index_tfds` from its files in the cache. Raises UserError where they are damaged."""
    where = image_cache.load(entry / "where.npy", np.int64, (None, 3), 1 << 62)
    image_cache.check_range(entry / "where.npy", where[:, 0], shards)
    table = image_cache.load(entry / "table.npy", np.uint8, (len(where), None), len(_SIGNS))
    return {
        "where": where,
        "part": image_cache.load(entry / "part.npy", np.uint8, (len(where),), len(_SPLITS)),
        "table": table,
        "names": image_cache.load(entry / "names.npy", np.str_, (table.shape[1],)),
    }


def _index_tfds(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Where each image lies, int64 [n, 3] of (shard in sorted order, start, length); its partition; its attributes' levels; their names."""
    print(f"Going through the examples of {folder}", flush=True)
    shards = {str(path): number for number, path in enumerate(sorted(folder.glob("celeb_a-*")))}
    where, part, table, names = [], [], [], ()
    for number, split in enumerate(_SPLITS):
        for item, features in tfds.image_items(folder, split, "image"):
            names = names or tuple(sorted(name for name in features if name.startswith("attributes/")))
            levels = [list(features[name].int64_list.value) for name in names]
            if item.path not in shards or any(level not in ([0], [1]) for level in levels):
                raise UserError(
                    f"{folder}: {item.name} has attributes that are not CelebA's: remove it and let TFDS prepare it again"
                )
            where.append((shards[item.path], item.offset, item.length))
            part.append(number)
            table.append(bytes(level for (level,) in levels))
    if not where:
        raise UserError(f"{folder} holds no examples: remove it and let TFDS prepare it again")
    return {
        "where": np.asarray(where, np.int64),
        "part": np.asarray(part, np.uint8),
        "table": np.frombuffer(b"".join(table), np.uint8).reshape(len(table), len(names)),
        "names": np.array([name.removeprefix("attributes/") for name in names]),
    }


def _dataset(
    source: str, images: ImageFiles, names: tuple[str, ...], table: np.ndarray | None, part: np.ndarray | None, cache
) -> Dataset:
    """The data set of `images`, of which row i of `table` and entry i of `part` tell the attributes' levels and the partition."""
    kept = np.arange(len(images))
    if cache.enabled:
        images, kept = image_cache.open_images(images, cache.folder, "celeba")
    table = None if table is None else table[kept].astype(np.int64)
    test = None if part is None else _test(images, table, np.flatnonzero(part[kept] == _TEST))
    return Dataset(source, Split(images, table), test, _factors(names))


def _test(images: Images, table: np.ndarray | None, indices: np.ndarray) -> Split | None:
    return Split(Subset(images, indices), None if table is None else table[indices]) if len(indices) else None


def _levels(attributes: np.ndarray) -> np.ndarray:
    """Attributes {-1, 1} as levels {0, 1}."""
    return (attributes > 0).astype(np.int64)


def _factors(names: tuple[str, ...]) -> tuple[Factor, ...]:
    return tuple(Factor(name, _SIGNS) for name in names)


def _find(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """A list of CelebA's, by its name: beside the folder of images, in it, or in the parent, also where the authors' own tree has it."""
    for base in (folder.parent, folder, folder.parent.parent):
        for path in (base / name, base / "Anno" / name, base / "Eval" / name):
            if path.is_file():
                return path
    return None


def _read_attributes(folder: pathlib.Path) -> tuple[tuple[str, ...], dict[str, bytes] | None]:
    """The names of the attributes and each image's levels, a byte each; ((), None) without list_attr_celeba.txt.

    The file: the number of images, the names, then a row an image: its name and -1 or 1 for each attribute.
    """
    path = _find(folder, _ATTRIBUTES)
    if path is None:
        return (), None
    lines = _lines(path)
    names = tuple(lines[1].split()) if len(lines) > 1 else ()
    if not names or len(set(names)) < len(names):
        raise UserError(f"{path} line 2: it should name the attributes, each once")
    rows = _parse(path, lines, 2, len(names), {"-1": 0, "1": 1}, "-1 or 1")
    if lines[0].strip() != str(len(rows)):
        raise UserError(
            f"{path} line 1: it announces {lines[0].strip()[:20]!r} images, and {len(rows)} follow: get the file anew"
        )
    return names, rows


def _read_partition(folder: pathlib.Path) -> dict[str, bytes] | None:
    """Each image's partition as a byte: 0 train, 1 validation, 2 test; None without list_eval_partition.txt."""
    path = _find(folder, _PARTITION)
    return None if path is None else _parse(path, _lines(path), 0, 1, {"0": 0, "1": 1, "2": 2}, "0, 1 or 2")


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").rstrip().splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text file: get the file anew") from None


def _parse(
    path: pathlib.Path, lines: list[str], first: int, columns: int, codes: dict[str, int], meaning: str
) -> dict[str, bytes]:
    """Lines from `first` on, "name value ..." with `columns` values of `codes`, as name -> codes. Raises UserError naming file and line."""
    rows = {}
    for number in range(first, len(lines)):
        name, *values = lines[number].split() or [""]
        try:
            row = bytes([codes[value] for value in values])
        except KeyError as error:
            raise UserError(f"{path} line {number + 1}: {error.args[0][:20]!r} should be {meaning}") from None
        if len(row) != columns or name in rows:
            what = "a second row of the same image" if name in rows else f"{len(row)} values instead of {columns}"
            raise UserError(f"{path} line {number + 1}: {what}")
        rows[name] = row
    return rows


def _rows(rows: dict[str, bytes], items: list[Item], path: pathlib.Path) -> np.ndarray:
    """The row of each image, uint8 [n, columns]. Raises UserError naming the first image that has none."""
    try:
        return np.frombuffer(b"".join([rows[item.name] for item in items]), np.uint8).reshape(len(items), -1)
    except KeyError as error:
        raise UserError(f"{path} has no row for {error.args[0]}: get the file anew, or take the image away") from None
