"""TensorFlow Datasets: find prepared data without importing it, and fail fast without a network."""

import contextlib
import json
import os
import pathlib
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from common import surroundings
from common.errors import UserError, first_line
from common.io.notices import import_tensorflow

PREPARE_AGAIN = "delete it and let TFDS prepare it again"
_VERSION = re.compile(r"\d+\.\d+\.\d+")  # TFDS writes into incomplete.* next to it.
_CLASSES = ("pythonClassName", "python_class_name", "type")  # The keys under which features.json names a class.
_RECORD_OVERHEAD = 16  # Bytes around each record of a TFRecord file: its length and two checksums.
_HOST = ("storage.googleapis.com", 443)  # Has TFDS's own files and most downloads.
_TIMEOUT_S = 4.0


def data_dir() -> pathlib.Path:
    """Return TFDS's data folder: $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    return surroundings.tfds_home()


def manual_dir() -> pathlib.Path:
    """Return the folder where TFDS looks for manually downloaded files."""
    return data_dir() / "downloads" / "manual"


def place(name: str) -> pathlib.Path:
    """Return the newest prepared version of data set `name`, or a placeholder path for messages.

    The data set's own folder proves nothing: a failed download leaves it behind empty.
    """
    return prepared(data_dir(), name) or data_dir() / name / "<version>"


def prepared(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """Return the newest prepared version of data set `name`, or None.

    `folder` is TFDS's data folder, the folder that contains it, the data set's, or a version's.
    """
    with contextlib.suppress(OSError):
        for base in (folder, folder / name, *folder.glob(f"*/{name}")):
            versions = [p.parent for p in base.glob("*/dataset_info.json") if _VERSION.fullmatch(p.parent.name)]
            versions.sort(key=lambda p: [int(n) for n in p.name.split(".")])
            if (base / "dataset_info.json").is_file():
                versions.append(base)
            versions = [p for p in versions if name in (p.name, p.parent.name, _name(p))]
            if versions:
                return versions[-1]
    return None


def _name(folder: pathlib.Path) -> str | None:
    """Return the name of the data set in a version's folder, if that says so."""
    try:
        return str(json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def read_arrays(folder: pathlib.Path, split: str, keys: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """Read a whole split in its stored order, one array per feature. Raises UserError if it is damaged or empty."""
    with _reading(folder, split):
        rows = [[example[key] for key in keys] for example in examples(folder, split)]
        if not rows:
            raise ValueError("it is empty")
        return tuple(np.stack(column) for column in zip(*rows, strict=True))


def examples(folder: pathlib.Path, split: str, batch_size: int | None = None, encoded: str = "") -> Iterator[dict]:
    """Yield each example (or batch) of a split as numpy values, in its stored order. Raises UserError if it is damaged.

    `encoded` names an image feature to yield as the bytes of its file.
    """
    with _reading(folder, split):
        from tensorflow_datasets import decode

        builder = _open(folder, split)
        decoders = {encoded: decode.SkipDecoding()} if encoded else None
        data = builder.as_dataset(split=split, shuffle_files=False, batch_size=batch_size, decoders=decoders)
        yield from data.as_numpy_iterator()  # TFDS checks the number of examples.


def count(folder: pathlib.Path, split: str) -> int:
    """Return the number of examples of a split. Raises UserError if the data set is damaged."""
    with _reading(folder, split):
        return _open(folder, split).info.splits[split].num_examples


def _open(folder: pathlib.Path, split: str) -> Any:
    """Return the builder of prepared data, after checking what TFDS or TensorFlow would trust."""
    import_tensorflow()
    import tensorflow_datasets

    json.loads((folder / "features.json").read_text(encoding="utf-8"), object_pairs_hook=_check_classes)
    builder: Any = tensorflow_datasets.builder_from_directory(str(folder))
    if builder.info.file_format.value == "tfrecord":
        for path in builder.info.splits[split].filepaths:
            _check_lengths(path)
    return builder


def _check_classes(pairs: list[tuple[str, Any]]) -> None:
    """Raise ValueError if a JSON object names a class outside of TFDS, which would import whatever it names."""
    for key, value in pairs:
        if key in _CLASSES and isinstance(value, str) and not value.startswith("tensorflow_datasets."):
            raise ValueError(f"features.json names the class {value[:80]!r}")


def _check_lengths(path: str | os.PathLike) -> None:
    """Raise ValueError unless the records fill the TFRecord file. TensorFlow crashes on an absurd length."""
    start, size = 0, os.stat(path).st_size
    with open(path, "rb", buffering=0) as file:
        while start < size:
            file.seek(start)
            start += _RECORD_OVERHEAD + int.from_bytes(file.read(8), "little")
    if start != size:
        raise ValueError(f"{os.path.basename(path)} has {size} bytes, its records {start}")


@contextlib.contextmanager
def _reading(folder: pathlib.Path, split: str) -> Iterator[None]:
    """Turn errors inside the block into a UserError that names the data set."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # TFDS raises undocumented errors of many libraries.
        raise UserError(f"{folder} is not a readable TFDS data set (split {split}): {first_line(error)}") from None


def download(name: str, manual_files: tuple[str, ...] = ()) -> pathlib.Path:
    """Let TFDS download and prepare data set `name` in its own folder; returns the version's folder.

    Needs no network if all `manual_files` are in `manual_dir()`. Raises UserError on failure, within seconds if there
    is no network.
    """
    if not (manual_files and all((manual_dir() / file).is_file() for file in manual_files)) and not _reachable():
        raise UserError(f"no download: {_HOST[0]} could not be reached within {_TIMEOUT_S:.0f} s")
    import tensorflow_datasets

    try:
        builder = tensorflow_datasets.builder(name, data_dir=str(data_dir()))
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises undocumented errors of many libraries.
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"the download of {name} by TFDS failed: {reason}") from None
    return pathlib.Path(builder.data_dir)


def _reachable() -> bool:
    """Return whether a connection can be opened, within _TIMEOUT_S.

    A thread is needed because name resolution can block for minutes and takes no timeout.
    """
    answer = []

    def connect() -> None:
        with contextlib.suppress(OSError):
            socket.create_connection(_HOST, timeout=_TIMEOUT_S).close()
            answer.append(True)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_TIMEOUT_S)
    return bool(answer)
