"""Reading npz files that nobody vouches for."""

import pathlib
import zipfile
import zlib

import numpy as np

from common.errors import UserError, first_line

_DAMAGE = (ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, SyntaxError,
           TypeError, OverflowError)  # What zipfile and numpy raise on damaged files.


def read_npz(path: pathlib.Path, max_bytes: int, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """Reads arrays of numbers from an npz file, without pickle.

    Args:
        path: the file.
        max_bytes: what all its arrays may unpack to.
        names: the arrays to read; all, where None.

    Raises:
        UserError: the file is missing, damaged or too large, lacks a name, or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
            if size > max_bytes:
                raise UserError(f"{path} unpacks to {size} bytes, more than the {max_bytes} that could be meant")
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names or () if name not in archive]
            if missing:
                raise UserError(f"{path} lacks {', '.join(missing)}")
            return {name: archive[name] for name in names or archive.files}
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise UserError(f"{path} is no readable npz file: {first_line(error)}") from None
