"""The files of checkpoints: `<folder>/<name>-<step>.index` and `.data-00000-of-00001`. Does not import TensorFlow."""

import os
import pathlib
import re


def saved(folder: pathlib.Path, name: str | None = None) -> list[str]:
    """Return the paths, without ending, of the checkpoints in `folder`, newest first. They may be damaged.

    Args:
        folder: where to look.
        name: of the checkpoints; by default any.
    """
    pattern = ".+" if name is None else re.escape(name)
    try:
        files = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    matches = (re.fullmatch(rf"({pattern}-\d+)\.index", file, re.DOTALL) for file in files)
    return sorted((str(folder / match[1]) for match in matches if match), key=step_of, reverse=True)


def step_of(path: str) -> int:
    """Return the training step after which the checkpoint at `path` was saved."""
    return int(path.rsplit("-", 1)[1])
