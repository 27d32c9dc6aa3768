"""What a file is, by its first bytes: the name says little about a file that was downloaded, renamed or unpacked."""

import bz2
import gzip
import lzma
import re
import zlib
from typing import IO

HEAD = 512  # Bytes that suffice to recognise a file.

ZIP, TAR, IDX, EMPTY = "a zip archive", "a tar archive", "an IDX file", "an empty file"
HTML, XML, JSON, LFS = "an HTML page", "an XML document", "a JSON text", "a Git LFS pointer"
TEXT, ZEROS, UNKNOWN = "a text file", "a file of zeros", "a file of an unknown kind"
IMAGES = ("a PNG image", "a JPEG image", "a WebP image", "a BMP image")  # Those that are read.
REMEDIES = {  # What to do about a file that is not what its name says.
    **dict.fromkeys((HTML, XML, JSON, EMPTY, ZEROS), "download it again"),
    LFS: "fetch the file itself: git lfs pull",
}
COMPRESSED = ("a gzip file", "a bzip2 file", "an xz file")  # Those that are unpacked while they are read.
DAMAGE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)  # What reading a damaged one raises.
_COMPRESSIONS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_KINDS = (  # A pattern of the first bytes, and what it means. The first match counts.
    (rb"\x89PNG\r\n\x1a\n", IMAGES[0]),
    (rb"\xff\xd8\xff", IMAGES[1]),
    (rb"RIFF....WEBP", IMAGES[2]),
    (rb"BM.{8}....[\x0c-\xff]\0\0\0", IMAGES[3]),
    (rb"GIF8", "a GIF image"),
    (rb"II\*\0|MM\0\*", "a TIFF image"),
    (rb"....ftyp(avi|hei|mif|hev|msf)", "an AVIF or HEIC image"),
    (rb"PK\x03\x04|PK\x05\x06", ZIP),
    (rb".{257}ustar", TAR),
    (rb"\x1f\x8b", COMPRESSED[0]),
    (rb"BZh", COMPRESSED[1]),
    (rb"\xfd7zXZ\0", COMPRESSED[2]),
    (rb"\x28\xb5\x2f\xfd", "a zstd file"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb"Rar!\x1a\x07", "a RAR archive"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (rb"PAR1", "a Parquet file"),
    (rb"%PDF", "a PDF"),
    (rb"\x80[\x02-\x05]", "a pickle"),
    (rb"version https://git-lfs", LFS),
    (rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body|title|script)", HTML),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", XML),
    (rb"(\xef\xbb\xbf)?\s*[{\[]\s*[\"{}\[]", JSON),
    (rb"\0\0\x08[\x01-\x04]", IDX),
    (rb"\0{16}", ZEROS),
    (rb"(\xff\xfe|\xfe\xff|\xef\xbb\xbf)", TEXT),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL | re.IGNORECASE), kind) for pattern, kind in _KINDS)


def recognise(head: bytes) -> str:
    """Return what a file is, in words, from its first `HEAD` bytes."""
    if not head:
        return EMPTY
    for pattern, kind in _PATTERNS:
        if pattern.match(head):
            return kind
    printable = sum(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    return TEXT if printable == len(head) else UNKNOWN


def instead(kind: str, wanted: str) -> str:
    """Return what to say of a file that is a `kind` instead of the `wanted` one: "an HTML page, not ...: remedy"."""
    remedy = REMEDIES.get(kind)
    return f"{kind}, not {wanted}{f': {remedy}' if remedy else ''}"


def unpacking(file: IO[bytes]) -> IO[bytes]:
    """Return a seekable file at its beginning, or what unpacks it if its first bytes say gzip, bzip2 or xz.

    Reading then raises one of `DAMAGE` if it is damaged.
    """
    head = file.read(8)
    file.seek(0)
    for magic, unpack in _COMPRESSIONS.items():
        if head.startswith(magic):
            return unpack(file)
    return file
