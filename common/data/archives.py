"""The members of zip archives and tars as byte ranges of the archive's file: nothing is extracted."""

import contextlib
import io
import os
import pathlib
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from common.data import formats
from common.errors import UserError, first_line
from common.io.npz import DAMAGE, read_exactly

MAX_UNPACKED = 1 << 28  # Bytes of a compressed tar that are unpacked into memory.
_MAX_HEADER = 1 << 16  # Bytes. Long names are stored like headers.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1  # The bit of a zip member's flags.
_DAMAGE = (tarfile.TarError, RecursionError, *formats.DAMAGE, *DAMAGE)
# The command that unpacks what can only be read from its beginning, or not at all.
UNPACK = {"a 7z archive": "7z x", "a RAR archive": "unrar x", "a zstd file": "unzstd"}


class Packed(NamedTuple):
    """How a member of a zip archive is stored: method, size when unpacked, and checksum."""

    method: int
    size: int
    crc: int

    def read(self, file: IO[bytes], length: int, limit: int) -> bytes:
        """Return the unpacked bytes of the member whose header is at the file's position, `length` bytes when packed.

        Raises ValueError if they are damaged, or more than `limit`.
        """
        if self.size > limit:
            raise ValueError(f"implausible file size of {self.size} bytes")
        header = read_exactly(file, 30)
        if header[:4] != b"PK\x03\x04":
            raise ValueError("the zip archive is damaged")
        file.seek(sum(struct.unpack("<HH", header[26:])), os.SEEK_CUR)  # The lengths of the name and of the extras.
        data = read_exactly(file, length)
        try:
            if self.method == zipfile.ZIP_DEFLATED:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size + 1)
        except zlib.error as error:
            raise ValueError(f"the zip archive is damaged: {error}") from None
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise ValueError("the zip archive is damaged: a checksum is wrong")
        return data


class Member(NamedTuple):
    """A regular file in an archive: its name, its byte range, and how it is stored or, if unpacked, its bytes."""

    name: str
    offset: int
    length: int
    packed: Packed | None = None
    data: bytes | None = None


def members(path: str) -> list[Member]:
    """Return the regular files in an archive, in its order; [] if the file at `path` is not one.

    A compressed tar is unpacked into memory if it is small.

    Raises:
        UserError: the archive is damaged, or has to be unpacked first; the message has the command.
    """
    try:
        with open(path, "rb") as file:
            kind = formats.recognise(file.read(formats.HEAD))
            if kind == formats.ZIP:
                return _zip_members(path)
            if kind == formats.TAR or path.lower().endswith(".tar") and kind in _PERHAPS_TAR:
                with _reading(path, "tar"):
                    return list(_tar_members(path, _HeaderReader(path), os.path.getsize(path)))
            if kind in formats.COMPRESSED:
                return _compressed_tar_members(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if kind in UNPACK:
        raise UserError(f"{path} is {kind}, which has to be unpacked first: {UNPACK[kind]} {path}")
    return []


_PERHAPS_TAR = (formats.UNKNOWN, formats.TEXT, formats.EMPTY, formats.ZEROS)


@contextlib.contextmanager
def _reading(path: str, what: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{path} is not a readable {what}: {first_line(error)}; download it again") from None


def _require_inside(path: str, name: str) -> None:
    """Raise UserError if a member's name leads out of the folder into which others would unpack the archive."""
    if name.startswith(("/", "\\")) or ".." in pathlib.PurePosixPath(name.replace("\\", "/")).parts:
        raise UserError(f"{path} contains {name!r}, which escapes the archive: download it again")


def _zip_members(path: str) -> list[Member]:
    found = []
    with _reading(path, "zip"), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _require_inside(path, info.filename)
            if info.header_offset < 0:
                raise zipfile.BadZipFile(f"{info.filename} begins before the file")
            mode = info.external_attr >> 16
            if info.is_dir() or stat.S_IFMT(mode) not in (0, stat.S_IFREG):  # Neither links nor devices.
                continue
            if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
                why = "is encrypted" if info.flag_bits & _ENCRYPTED else "has an unusual compression"
                raise UserError(f"{path} {why}, so it has to be unpacked first: unzip {path}")
            packed = Packed(info.compress_type, info.file_size, info.CRC)
            name = info.filename.replace("\\", "/")  # As some programs for Windows write them.
            found.append(Member(name, info.header_offset, info.compress_size, packed))
    return found


def _tar_members(path: str, file: IO[bytes], size: int) -> Iterator[Member]:
    with file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            if not 0 <= member.size <= size:
                raise tarfile.ReadError(f"{pathlib.PurePosixPath(member.name).name} has {member.size} bytes")
            _require_inside(path, member.name)
            if member.isreg() and not member.issparse():  # Neither links nor devices.
                yield Member(member.name.removeprefix("./"), member.offset_data, member.size)


def _compressed_tar_members(path: str) -> list[Member]:
    """Return the members of a compressed tar with their bytes; [] if something else is compressed."""
    with open(path, "rb") as file, _reading(path, "compressed file"):
        unpacked = formats.unpacking(file)
        data = unpacked.read(formats.HEAD)
        if formats.recognise(data) != formats.TAR:
            return []
        data += unpacked.read(MAX_UNPACKED)
    if len(data) > MAX_UNPACKED:
        size = f"more than {MAX_UNPACKED >> 20} MiB"
        raise UserError(f"{path} is a compressed tar of {size}, which has to be unpacked first: tar -xf {path}")
    with _reading(path, "tar"):
        found = list(_tar_members(path, io.BytesIO(data), len(data)))
    return [member._replace(data=data[member.offset : member.offset + member.length]) for member in found]


class _HeaderReader(io.FileIO):
    """A tar of which only headers are read. It limits reads, so that a corrupt header cannot allocate memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size) or b""
