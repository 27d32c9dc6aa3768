"""Folders and archives of files, which are given as path -> bytes."""

import io
import zipfile

import pytest

from common.errors import UserError
from common.options import Cache
from helpers.images import tar

NO_CACHE = Cache(None, False)
HTML = b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 42\n"


def save(folder, files):
    """Write files, path -> bytes, below `folder`."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def zipped(files, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return out.getvalue()


def tarred(files, mode="w"):
    return tar(list(files.items()), mode=mode)


def below(folder, files):
    return {f"{folder}/{path}": data for path, data in files.items()}


def renamed(files, *changes):
    """Files with parts of their names replaced: pairs (old, new)."""
    result = {}
    for path, data in files.items():
        for old, new in changes:
            path = path.replace(old, new)
        result[path] = data
    return result


ARCHIVES = {
    "zip": zipped,
    "stored.zip": lambda files: zipped(files, zipfile.ZIP_STORED),
    "tar": tarred,
    "tar.gz": lambda files: tarred(files, "w:gz"),
    "tgz": lambda files: tarred(files, "w:gz"),
    "tar.bz2": lambda files: tarred(files, "w:bz2"),
    "tar.xz": lambda files: tarred(files, "w:xz"),
}


def refused(module, path, message):
    """Check that a reader refuses `path` with `message`, in one line."""
    with pytest.raises(UserError, match=message) as error:
        module.read(path, NO_CACHE)
    assert str(error.value).isprintable()
