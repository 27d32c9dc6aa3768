"""TensorFlow Datasets: data it has prepared is found without importing it, and a download that cannot succeed gives up at once."""

import contextlib
import json
import os
import pathlib
import re
import socket
import threading

import numpy as np

from common.data.files import Item
from common.errors import UserError, first_line

_VERSION = re.compile(r"\d+\.\d+\.\d+")  # Of a folder; TFDS writes into incomplete.* beside it.
_CLASSES = ("pythonClassName", "python_class_name", "type")  # The keys under which descriptions of features name one.
_RECORD = 16  # Bytes around each record of a TFRecord file: its length and two checksums, 12 of them before it.
_HOST = ("storage.googleapis.com", 443)  # Holds TFDS's own files and most downloads.
_PATIENCE = 4.0  # Seconds.


def data_dir() -> pathlib.Path:
    """TFDS's own data folder: $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or pathlib.Path.home() / "tensorflow_datasets")


def manual_dir() -> pathlib.Path:
    """Where TFDS looks for files that were downloaded by hand."""
    return data_dir() / "downloads" / "manual"


def place(name: str) -> pathlib.Path:
    """The newest prepared version of data set `name` in TFDS's own folder, or, where there is none, a name for people of where it would be.

    The data set's folder itself says nothing: a download that failed leaves it behind empty.
    """
    return prepared(data_dir(), name) or data_dir() / name / "<version>"


def prepared(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The newest prepared version of data set `name` below `folder` (TFDS's data folder, the data set's, or a version's), or None."""
    try:
        for base in (folder, folder / name):
            versions = [p.parent for p in base.glob("*/dataset_info.json") if _VERSION.fullmatch(p.parent.name)]
            found = sorted(versions, key=lambda p: [int(n) for n in p.name.split(".")]) + (
                [base] if (base / "dataset_info.json").is_file() else []
            )
            found = [p for p in found if name in (p.name, p.parent.name)]
            if found:
                return found[-1]
    except OSError:
        pass
    return None


def read_arrays(folder: pathlib.Path, split: str, keys: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """All examples of a split of the prepared data set in `folder`, in its stored order, one array a feature. Raises UserError if damaged."""
    try:
        columns = list(zip(*([example[key] for key in keys] for example in examples(folder, split)), strict=True))
        if not columns:
            raise ValueError("it is empty")
        return tuple(np.stack(column) for column in columns)
    except (ValueError, KeyError) as error:
        raise UserError(f"{folder}: split {split} cannot be read: {error}") from None


def examples(folder: pathlib.Path, split: str, batch_size: int | None = None):
    """Yields each example (or each batch of them) of a split, as a dict of numpy values, in its stored order. Raises UserError if it is damaged."""
    import tensorflow_datasets

    with _reading(folder, split):
        _check_classes(folder / "features.json")
        builder = tensorflow_datasets.builder_from_directory(str(folder))
        if builder.info.file_format == tensorflow_datasets.core.FileFormat.TFRECORD:
            for path in builder.info.splits[split].filepaths:
                _check_lengths(path)
        count = 0
        for example in builder.as_dataset(split=split, shuffle_files=False, batch_size=batch_size).as_numpy_iterator():
            yield example
            count += len(next(iter(example.values()))) if batch_size else 1
        _check_count(count, builder, split)


def image_items(folder: pathlib.Path, split: str, feature: str):
    """Yields (item, features) of each example of a split in its stored order, for images that TFDS keeps as the bytes of their files.

    The item is the stretch of a TFRecord file that holds those bytes, so they can be read like files, in any order and by
    any process; `features` are the example's tf.train features by name. Raises UserError if the split is damaged or has no such files.
    """
    import tensorflow as tf
    import tensorflow_datasets

    with _reading(folder, split):
        _check_classes(folder / "features.json")
        builder = tensorflow_datasets.builder_from_directory(str(folder))
        if builder.info.file_format != tensorflow_datasets.core.FileFormat.TFRECORD:
            raise UserError(
                f"{folder} is stored as {builder.info.file_format.value}: prepare it again as tfrecord, TFDS's default"
            )
        count = 0
        for path in map(str, builder.info.splits[split].filepaths):
            _check_lengths(path)
            start = 0
            for index, record in enumerate(tf.data.TFRecordDataset(path).as_numpy_iterator()):
                features = tf.train.Example.FromString(record).features.feature
                data = features[feature].bytes_list.value[0]
                yield (
                    Item(f"{pathlib.Path(path).name} image {index}", path, start + 12 + record.index(data), len(data)),
                    features,
                )
                start += _RECORD + len(record)
                count += 1
        _check_count(count, builder, split)


def _check_classes(path: pathlib.Path) -> None:
    """Raises ValueError where a description of features names a class from elsewhere than TFDS, which would import whatever it names."""

    def check(pairs):
        for key, value in pairs:
            if key in _CLASSES and isinstance(value, str) and not value.startswith("tensorflow_datasets."):
                raise ValueError(f"{path.name} names the class {value[:80]!r}")

    json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=check)


def _check_lengths(path: str | os.PathLike) -> None:
    """Raises ValueError unless the records of a TFRecord file are as long as it is. TensorFlow trusts a length, and crashes if it is absurd."""
    start, size = 0, os.stat(path).st_size
    with open(path, "rb", buffering=0) as file:
        while start < size:
            file.seek(start)
            start += _RECORD + int.from_bytes(file.read(8), "little")
    if start != size:
        raise ValueError(f"{os.path.basename(path)} has {size} bytes, and its records {start}")


def _check_count(count: int, builder, split: str) -> None:
    if count != builder.info.splits[split].num_examples:
        raise ValueError(f"{count} examples instead of {builder.info.splits[split].num_examples}")


@contextlib.contextmanager
def _reading(folder: pathlib.Path, split: str):
    """What goes wrong inside is a UserError that names the data set."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # TFDS raises errors of many libraries, none of which it documents.
        raise UserError(f"{folder} is no readable TFDS data set (split {split}): {first_line(error)}") from None


def download(name: str, by_hand: tuple[str, ...] = ()) -> pathlib.Path:
    """Lets TFDS download and prepare data set `name` in its own folder. Raises UserError where that fails; without a network, in seconds.

    `by_hand`: the files that TFDS takes from its folder for downloads by hand. Where all of them are there, it needs no network.
    """
    if not (by_hand and all((manual_dir() / file).is_file() for file in by_hand)) and not _reachable():
        raise UserError(f"no download: {_HOST[0]} was not reached within {_PATIENCE:.0f} s")
    import tensorflow_datasets

    try:
        builder = tensorflow_datasets.builder(name, data_dir=str(data_dir()))
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises errors of many libraries, none of which it documents.
        raise UserError(
            f"the download of {name} by TFDS failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        ) from None
    return pathlib.Path(builder.data_dir)


def _reachable() -> bool:
    """Whether a connection can be opened, in bounded time: name resolution alone can block for minutes, and takes no timeout."""
    answer = []

    def connect():
        try:
            socket.create_connection(_HOST, timeout=_PATIENCE).close()
            answer.append(True)
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return bool(answer)
