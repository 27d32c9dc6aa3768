"""Validate the index of a checkpoint before TensorFlow opens it.

TensorFlow trusts an index whose checksums are right, and aborts the process if it is inconsistent.

An index is a sorted table of blocks with a footer (LevelDB's format); its values are messages of TensorFlow's
tensor_bundle.proto.
"""

import contextlib
import math
import os
import struct
import tempfile
from collections.abc import Iterator

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import tensor_bundle_pb2

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER, _TRAILER = 48, 5  # Bytes at the end of the file, and of each block.
_ENDINGS = (".index", ".data-00000-of-00001")
_MAX_INDEX = 1 << 26  # Bytes; the original's have less than 2^15.
_DTYPES = (
    *(tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.bool),
    *(tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64),
)
_SIZES = {dtype.as_datatype_enum: dtype.size for dtype in _DTYPES}  # Bytes per value.


def read_index(prefix: str) -> dict[str, tuple[list[int], int]]:
    """Return the tensors of the checkpoint at `prefix`: name -> (shape, dtype as in TensorFlow's types.proto).

    Raises:
        OSError: one of its two files cannot be read.
        ValueError: the index is damaged, or does not match the data.
    """
    index, data = (prefix + ending for ending in _ENDINGS)
    with open(index, "rb") as file:
        table = file.read(_MAX_INDEX)
    size = os.stat(data).st_size
    tensors = {}
    try:
        (empty, header), *entries = _items(table)
        _check_header(empty, tensor_bundle_pb2.BundleHeaderProto.FromString(header))
        for key, value in entries:
            name, entry = key.decode(), tensor_bundle_pb2.BundleEntryProto.FromString(value)
            tensors[name] = _shape(name, entry, size), entry.dtype
    except (IndexError, struct.error, DecodeError) as error:
        raise ValueError(f"its index is damaged ({type(error).__name__})") from None
    return tensors


@contextlib.contextmanager
def literal_path(prefix: str) -> Iterator[str]:
    """Yield a path under which TensorFlow finds the checkpoint at `prefix`.

    TensorFlow reads a path as a glob pattern; if `prefix` has special characters, the path is that of symbolic links.
    """
    if not set(prefix) & set("[]\\"):
        yield prefix
        return
    with tempfile.TemporaryDirectory() as folder:
        for ending in _ENDINGS:
            os.symlink(os.path.abspath(prefix) + ending, f"{folder}/checkpoint{ending}")
        yield f"{folder}/checkpoint"


def _check_header(key: bytes, header) -> None:
    if (
        key
        or header.num_shards != 1
        or header.endianness != header.LITTLE
        or header.version.min_consumer > 1
        or header.version.bad_consumers
    ):
        raise ValueError("its index is of another version, or in several parts")


def _shape(name: str, entry, size: int) -> list[int]:
    shape = [dimension.size for dimension in entry.shape.dim]
    expected = (
        math.prod(shape) * _SIZES[entry.dtype]
        if entry.dtype in _SIZES
        else entry.size
        if entry.dtype == tf.string.as_datatype_enum
        else -1
    )
    if entry.offset + entry.size > size:
        raise ValueError(f"its data file ends before {name!r}")
    if (
        entry.shape.unknown_rank
        or len(shape) > 8
        or min(shape, default=0) < 0
        or entry.slices
        or entry.shard_id
        or expected != entry.size
        or entry.offset < 0
        or entry.size < 0
        or not name.isprintable()
    ):
        raise ValueError(f"its index is damaged at {name!r}")
    return shape


def _items(table: bytes) -> list[tuple[bytes, bytes]]:
    """Return the keys and values of the table. Raises ValueError unless the keys rise."""
    if table[-8:] != _MAGIC or len(table) < _FOOTER:
        raise ValueError("its index has no footer")
    body, footer = table[:-_FOOTER], table[-_FOOTER:]
    meta_offset, at = _varint(footer, 0)
    meta_size, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    _block(body, meta_offset, meta_size)
    items, last = [], b""
    for key, handle in _block(body, offset, _varint(footer, at)[0]):
        start, at = _varint(handle, 0)
        block = _block(body, start, _varint(handle, at)[0])
        if not block or not last <= block[0][0] <= block[-1][0] <= key:
            raise ValueError("the keys of its index are not in order")
        items, last = items + block, key
    if any(a >= b for (a, _), (b, _) in zip(items, items[1:], strict=False)):
        raise ValueError("the keys of its index are not in order")
    return items


def _block(body: bytes, offset: int, size: int) -> list[tuple[bytes, bytes]]:
    """Return the keys and values of one block. Keys are prefix-compressed, except where reading may start."""
    block = body[offset : offset + size]
    if size < 8 or offset + size + _TRAILER > len(body) or body[offset + size] != 0:  # 0: not compressed.
        raise ValueError("a block of its index is damaged")
    (count,) = struct.unpack("<I", block[-4:])
    end = size - 4 - 4 * count
    if count < 1 or end < 0:
        raise ValueError("a block of its index is damaged")
    starts = struct.unpack(f"<{count}I", block[end:-4])
    items, whole, key, at = [], [], b"", 0
    while at < end:
        start = at
        shared, at = _varint(block, at)
        added, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or at + added + length > end:
            raise ValueError("a block of its index is damaged")
        if shared == 0:
            whole.append(start)
        key, value = key[:shared] + block[at : at + added], block[at + added : at + added + length]
        at += added + length
        items.append((key, value))
    if list(starts) != [0] and not (
        starts[0] == 0 and sorted(set(starts)) == list(starts) and set(starts) <= set(whole)
    ):
        raise ValueError("a block of its index is damaged")
    return items


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at`, seven bits per byte, and the position after it."""
    value = 0
    for shift in range(0, 35, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a block of its index is damaged")
