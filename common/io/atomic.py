"""Files that are whole or absent."""

import contextlib
import json
import os
import pathlib
import tempfile

_UNFINISHED = ".unfinished-"


@contextlib.contextmanager
def atomic_write(path: pathlib.Path):
    """Yields a temporary path, of the same ending, that takes the name `path` when the block ends well, and goes when it does not."""
    handle, name = tempfile.mkstemp(prefix=_UNFINISHED, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # A temporary file is its owner's alone; a result is not.
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: pathlib.Path) -> None:
    """Removes what `atomic_write` left in `folder` when its process was killed."""
    for path in folder.iterdir():
        if path.name.startswith(_UNFINISHED):
            path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(value, path: pathlib.Path) -> None:
    """Writes `value` as indented JSON to `path`, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
