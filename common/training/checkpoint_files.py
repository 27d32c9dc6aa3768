"""The files of checkpoints: `<folder>/<name>-<step>.index` and `.data-00000-of-00001`. Does not import TensorFlow."""

import os
import pathlib
import re


def saved(folder: pathlib.Path) -> list[str]:
    """Return the paths, without ending, of the checkpoints in `folder`, newest first. They may be damaged."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    matches = (re.fullmatch(r"(.+-\d+)\.index", name, re.DOTALL) for name in names)
    return sorted((str(folder / match[1]) for match in matches if match), key=step_of, reverse=True)


def step_of(path: str) -> int:
    """Return the training step after which the checkpoint at `path` was saved."""
    return int(path.rsplit("-", 1)[1])
