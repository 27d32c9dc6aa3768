"""The files of a data set wherever they lie: in folders, in zip archives or in tars, which are not unpacked.

`list_files(path)` lists the files at or below a path; `with_members(entries)` adds those inside of archives. An entry
has a name and knows where its bytes are. `Entry.read()` returns them, in any process and in any order.
"""

import io
import logging
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import IO, NamedTuple

from common.data import archives, formats
from common.errors import UserError, first_line, printable
from common.io.npz import read_exactly

MAX_BYTES = 1 << 28  # Upper limit on the size of one file.
MAX_FILES = 2_000_000  # Upper limit on the files below a folder: the largest data set has 200,000 images.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif")
# Of files that are not images that can be read, so that their first bytes need not be.
_OTHER_SUFFIXES = (".txt", ".csv", ".md", ".json", ".mat", ".zip", ".tar", ".tgz", ".gz", ".npz", ".tif", ".tiff")
_TEXT_SUFFIXES = (".html", ".htm", ".md", ".txt", ".json", ".xml")  # A page may be what such a file should be.
_CONVERTIBLE = (".tif", ".tiff", ".avif", ".heic")
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".7z", ".rar")
_JUNK = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "lost+found")
_SHOWN = 5  # Names in a message.

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """One file: its name below the data set's folder, "/" between parts, and where its bytes are.

    They are `data` if that is given, else `length` bytes (None: all) from `offset` of the file at `path`; `packed` says
    how a member of a zip archive is stored.
    """

    name: str
    path: str = ""
    offset: int = 0
    length: int | None = None
    packed: archives.Packed | None = None
    data: bytes | None = None

    @property
    def base(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The name without its last part; "" at the top."""
        return self.name.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """The last part of the name without its ending."""
        return os.path.splitext(self.base)[0]

    @property
    def suffix(self) -> str:
        """The ending of the name in lower case, with its dot."""
        return os.path.splitext(self.base)[1].lower()

    @property
    def is_member(self) -> bool:
        """Whether it lies in an archive."""
        return self.length is not None

    @property
    def is_junk(self) -> bool:
        """Whether it is hidden or an operating system's own: ._x.jpg, .DS_Store, __MACOSX/x.jpg, Thumbs.db."""
        return any(part.startswith(".") or part.lower() in _JUNK for part in self.name.split("/"))

    @property
    def is_image(self) -> bool:
        """Whether it is an image by its ending or, if that says nothing, by its first bytes. Hidden files are not."""
        if self.is_junk or self.suffix in _OTHER_SUFFIXES:
            return False
        return self.suffix in IMAGE_SUFFIXES or self.kind() in formats.IMAGES

    def read(self) -> bytes:
        """Return the bytes. Raises OSError, or ValueError if they are damaged or too many."""
        if self.data is not None:
            return self.data
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = size if self.length is None else self.length
            if not 0 <= length <= MAX_BYTES:
                raise ValueError(f"implausible file size of {length} bytes")
            if self.offset > size:
                raise ValueError("the archive is damaged")
            file.seek(self.offset)
            return read_exactly(file, length) if self.packed is None else self.packed.read(file, length, MAX_BYTES)

    def open(self) -> IO[bytes]:
        """Open the file for reading; a gzip, bzip2 or xz file is unpacked while it is read.

        Raises what `read` does; reading raises one of `formats.DAMAGE`.
        """
        whole = self.is_member or self.data is not None
        return formats.unpacking(io.BytesIO(self.read()) if whole else open(self.path, "rb"))

    def kind(self) -> str:
        """Return what the file is by its first bytes, as `formats.recognise` says, behind any compression."""
        try:
            with self.open() as file:
                return formats.recognise(file.read(formats.HEAD))
        except formats.DAMAGE as error:
            return f"damaged ({first_line(error)})"

    def error(self, what: str) -> UserError:
        """Return an error that says where this file lies, then `what`."""
        inside = f" ({self.name})" if self.is_member else ""
        return UserError(f"{self.path or self.name}{inside} {what}")


def list_files(path: pathlib.Path) -> list[Entry]:
    """Return the files below the folder `path`, in all folders that are not hidden; or `path` itself.

    They are sorted by name, those in fewer folders first.
    Links are followed. Broken ones are listed, so that they are reported instead of silently missing.

    Raises:
        UserError: a folder cannot be read, or there are too many files.
    """
    root = os.path.abspath(path)
    if os.path.isfile(root):
        return [Entry(os.path.basename(root), root)]
    found = []
    for entry in _walk(root):
        found.append(entry)
        if len(found) > MAX_FILES:
            raise UserError(f"{path} contains more than {MAX_FILES} files: name the folder of the data set")
    return sorted(found, key=lambda entry: (entry.name.count("/"), entry))


def _walk(root: str) -> Iterator[Entry]:
    visited, waiting = set(), [(root, "")]  # No recursion: folders may be nested deeper than Python's stack.
    while waiting:
        folder, prefix = waiting.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in visited:
                continue  # A loop of links.
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as scanned:
                children = list(scanned)
        except OSError as error:
            raise UserError(f"cannot read the folder {folder}: {error.strerror or error}") from None
        for child in children:
            entry, link = Entry(prefix + child.name, child.path), child.is_symlink()
            # The functions of os.path answer False to a loop of links, and the methods of `child` need no system call.
            if os.path.isdir(child.path) if link else child.is_dir():
                if not Entry(child.name).is_junk:
                    waiting.append((child.path, f"{entry.name}/"))
            elif not os.path.exists(child.path) or os.path.isfile(child.path) if link else child.is_file():
                yield entry


def with_members(entries: list[Entry], enough: Callable[[list[Entry]], bool] | None = None) -> list[Entry]:
    """Return `entries` and the members of the archives among them, whose names begin with that of their archive.

    A compressed tar is unpacked into memory if it is small.

    Args:
        entries: what `list_files` found.
        enough: whether the data set is complete with these entries.

    Raises:
        UserError: it is not, and an archive is damaged or has to be unpacked first.
    """
    found, problems = list(entries), []
    for entry in entries:
        if entry.is_junk or entry.is_member or entry.suffix in (*IMAGE_SUFFIXES, ".npz"):
            continue
        try:
            found += sorted(
                Entry(f"{entry.name}/{m.name}", entry.path, m.offset, m.length, m.packed, m.data)
                for m in archives.members(entry.path)
            )
        except UserError as error:
            problems.append(error)
    if enough is None or enough(found):
        return found
    inner = next(
        (e for e in found if e.is_member and e.suffix in (".zip", ".tar", ".tgz", ".7z") and not e.is_junk), None
    )
    if inner:
        command = "unzip" if inner.packed else "tar -xf"
        problems.append(inner.error(f"is an archive inside of another: unpack the outer one: {command} {inner.path}"))
    if problems:
        raise problems[0]
    return found


def unused(entries: Iterable[Entry], used: Collection[Entry]) -> tuple[str, ...]:
    """Return the names of the entries that are not used. An archive of which nothing is used counts as one."""
    names, paths = {entry.name for entry in used}, {entry.path for entry in used}
    return tuple(
        entry.name for entry in entries if entry.name not in names and (entry.path in paths) == entry.is_member
    )


def report_unused(entries: Iterable[Entry], names: Collection[str], why: str) -> None:
    """Log which of the unused files, by name, are images: they are `why`."""
    names = set(names)
    images = [entry.name for entry in entries if entry.name in names and entry.is_image]
    if images:
        logger.warning("Images that are left out, since they are %s: %s", why, shorten(images))


def shorten(names: Collection[str]) -> str:
    """Return the first few names and how many more there are: "a, b and 7 more"."""
    shown = printable(", ".join(list(names)[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def not_found(title: str, path: pathlib.Path, entries: list[Entry], wanted: str) -> UserError:
    """Return the error for a path without the data set: what was found there, and what should be."""
    for entry in [e for e in entries if not e.is_junk and not e.is_member and e.suffix not in IMAGE_SUFFIXES][:100]:
        kind = entry.kind()
        if kind in formats.REMEDIES and entry.suffix not in _TEXT_SUFFIXES:
            return entry.error(f"is {formats.instead(kind, title)}")
    counts = Counter(entry.suffix or "other" for entry in entries if not entry.is_junk)
    found = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(4))
    first = next((entry for entry in entries if not entry.is_junk), None)
    what = f"it contains {found}, such as {first.name} ({first.kind()})" if first else "it is empty"
    if counts and counts.most_common(1)[0][0] in _CONVERTIBLE:
        suffix = counts.most_common(1)[0][0]
        what += f", which are not read: convert them to PNG (mogrify -format png '*{suffix}')"
    if os.path.isfile(path):
        what = f"it is {entries[0].kind()}" if len(entries) == 1 else what
    return UserError(f"no {title} in {path}: {what}; it should be or contain {wanted}")
