"""TensorFlow Datasets: data it has prepared is found without importing it, and a download that cannot succeed gives up at once."""

import os
import pathlib
import socket
import threading

import numpy as np

from common.errors import UserError

_HOST = ("storage.googleapis.com", 443)  # Holds TFDS's own files and most downloads.
_PATIENCE = 4.0  # Seconds.


def data_dir() -> pathlib.Path:
    """TFDS's own data folder: $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or pathlib.Path.home() / "tensorflow_datasets")


def prepared(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The newest prepared version of data set `name` below `folder` (TFDS's data folder, the data set's, or a version's), or None."""
    try:
        for base in (folder, folder / name):
            found = [p.parent for p in sorted(base.glob("*/dataset_info.json"))] + \
                ([base] if (base / "dataset_info.json").is_file() else [])
            found = [p for p in found if name in (p.name, p.parent.name)]
            if found:
                return found[-1]
    except OSError:
        pass
    return None


def read_arrays(folder: pathlib.Path, split: str, keys: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """All examples of a split of the prepared data set in `folder`, in its stored order, one array a feature. Raises UserError if damaged."""
    try:
        columns = zip(*([example[key] for key in keys] for example in examples(folder, split)), strict=True)
        return tuple(np.stack(column) for column in columns)
    except (ValueError, KeyError) as error:
        raise UserError(f"{folder}: split {split} cannot be read: {error}") from None


def examples(folder: pathlib.Path, split: str):
    """Yields each example of a split, as a dict of numpy values, in its stored order. Raises UserError if it is damaged."""
    import tensorflow as tf
    import tensorflow_datasets

    try:
        builder = tensorflow_datasets.builder_from_directory(str(folder))
        yield from builder.as_dataset(split=split, shuffle_files=False).as_numpy_iterator()
    except (tf.errors.OpError, OSError, ValueError, KeyError, AssertionError) as error:
        raise UserError(f"{folder} is no readable TFDS data set (split {split}): {str(error).splitlines()[0]}") from None


def download(name: str) -> pathlib.Path:
    """Lets TFDS download and prepare data set `name` in its own folder. Raises UserError where that fails; without a network, in seconds."""
    if not _reachable():
        raise UserError(f"no download: {_HOST[0]} was not reached within {_PATIENCE:.0f} s")
    import tensorflow_datasets

    try:
        builder = tensorflow_datasets.builder(name, data_dir=str(data_dir()))
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises errors of many libraries, none of which it documents.
        raise UserError(f"the download of {name} by TFDS failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}") from None
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
