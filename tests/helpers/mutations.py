"""Damaged files for the readers' tests, random or aware of the format, and limits of time and memory for reading.

All use a seeded numpy RandomState, so failures are reproducible. Each reader gets `MUTANTS` files.
"""

import contextlib
import faulthandler
import functools
import io
import json
import os
import resource
import signal
import struct
import sys
import time
import warnings
import zipfile
import zlib

import numpy as np

from common.errors import UserError

MUTANTS = 1000
SECONDS = 10  # Limit for one input, on a slow machine.
MEMORY = 1 << 30  # Limit in bytes for one input, on top of what the process has.

NUMBERS = (0, 1, -1, 2, 7, 27, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32)
NUMBERS += (2**62, 2**63, 2**64, 10**30, -(2**31), -(2**63))
VALUES = (None, True, False, 0.5, 1e300, -1e300, 5e-324, float("nan"), float("inf"), 10**400, "", "x", "a\nb")
VALUES += ("\ud800", "../x", [], {}, [[]], [0], {"": 0}, *NUMBERS)
DTYPES = ("|O", ">f4", "<f8", ">f8", "<f2", "<i8", ">i2", "<u8", "|b1", "|i1", "<c8", "<U1", "|S0", "|V8", "<f16")
DTYPES += ("<M8[s]", "(2,)<f4", [("a", "<f4"), ("b", "|O")], [], "x", None, 5, "<f4\n", "|u1,|u1")
HEADERS = (b"", b"{", b"(" * 300, b"[" * 9000, b"{'descr':", b"__import__('os').mkdir('x')", b"'''", b"\0" * 9)
HEADERS += (b"1" * 9000,)
# Fields of tar headers; those that matter most are repeated.
TAR_FIELDS = ((0, 100), (100, 108), *[(124, 136)] * 3, (136, 148), *[(156, 157)] * 2, (157, 257), (257, 265))
TAR_FIELDS += ((345, 500), (482, 495))
TAR_VALUES = (b"\xff" * 12, b"\x80" + b"\xff" * 11, b"\x80" + b"\0" * 7 + b"\xff" * 4, b"\xff" * 11 + b"\0")
TAR_VALUES += (b"7" * 11, b"0" * 11, b"777", b"-1", b"x", b"", b"\xff" * 100)
TAR_VALUES += (b"../../a/renders/image_000_p020_t011_r096.png", b"/a/renders/image_000_p020_t011_r096.png")
TAR_VALUES += (b"a\n/renders/b\xff.png", b"20 path=../x\n", b"9999999999999 size=5\n", b"13 size=-512\n")
CHUNKS = (b"PLTE", b"tRNS", b"zTXt", b"iTXt", b"iCCP", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"gAMA", b"XXXX")
# Offsets of the fields of a zip's headers.
ZIP_FIELDS = {
    b"PK\3\4": (4, 6, 8, 14, 18, 22, 26, 28),
    b"PK\1\2": (6, 8, 10, 16, 20, 24, 28, 30, 34, 42),
    b"PK\5\6": (8, 10, 12, 16, 20),
}


class Hang(BaseException):
    """An input took longer than SECONDS."""


class Evil:
    """Loading its pickle creates the folder `path`."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@contextlib.contextmanager
def limits(memory: int = MEMORY):
    """Limit time and memory inside the block; yields a function that restarts the clock."""

    def stop(*_):
        raise Hang(f"longer than {SECONDS} s")

    def restart():
        signal.setitimer(signal.ITIMER_REAL, SECONDS)

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/status", encoding="ascii") as status:
        used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))
    previous = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_DATA, (used + memory, before[1]))
    # For a hang outside of Python, where no signal handler runs.
    faulthandler.dump_traceback_later(300, exit=True, file=sys.__stderr__)
    try:
        yield restart
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_DATA, before)
        signal.signal(signal.SIGALRM, previous)


def survey(read, mutants) -> dict[str, int]:
    """Feed `mutants` to `read`, which returns if it accepts its input (and the result is valid) or raises UserError.

    Returns how many were accepted and how many refused. Fails at the first other exception, message of several lines,
    hang, or allocation beyond the limit, even one that became a UserError.
    """
    counts, start = {"accepted": 0, "refused": 0}, time.monotonic()
    with limits() as restart:
        for number, mutant in enumerate(mutants):
            restart()
            try:
                read(mutant)
                counts["accepted"] += 1
            except UserError as error:
                assert "\n" not in str(error) and str(error), f"mutant {number}: {error!r}"
                assert not isinstance(error.__context__, MemoryError), f"mutant {number} allocates too much"
                counts["refused"] += 1
            except BaseException as error:
                error.add_note(f"mutant {number}: {mutant[:300]!r}")
                raise
    print({**counts, "seconds": round(time.monotonic() - start, 1)})
    return counts


def choice(random, options):
    """One of `options`, of any kind."""
    return options[random.randint(len(options))]


def blind(random, data: bytes) -> bytes:
    """Flip bits, or set, cut, insert, remove, repeat or move bytes; one to three times."""
    data = bytearray(data)
    for _ in range(random.randint(1, 4)):
        a, b = sorted(random.randint(0, len(data) + 1, 2))
        b = choice(random, (b, min(a + random.randint(1, 9), len(data))))
        kind = random.randint(7)
        if kind == 0 and data:
            data[min(a, len(data) - 1)] ^= 1 << random.randint(8)
        elif kind == 1 and data:
            data[min(a, len(data) - 1)] = choice(random, (0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del data[a:]
        elif kind == 3:
            data[a:a] = random.bytes(random.randint(1, 9))
        elif kind == 4:
            del data[a:b]
        elif kind == 5:
            data[a:a] = data[a:b]
        else:
            at = random.randint(0, len(data) + 1)
            data[at : at + b - a] = data[a:b]
    return bytes(data)


def json_mutant(random, value) -> bytes:
    """Replace, remove, add or rename one to three values in the JSON of `value`; damage one in eight blindly."""
    root = [json.loads(json.dumps(value))]
    for _ in range(random.randint(1, 4)):
        parent, key = root, 0
        while isinstance(parent[key], (dict, list)) and parent[key] and random.rand() < 0.8:
            parent = parent[key]
            key = choice(random, list(parent) if isinstance(parent, dict) else range(len(parent)))
        kind = random.randint(5)
        if kind == 0 and parent is not root:
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            parent[choice(random, ("x", "", "a\nb", "\ud800", "../x", key + "x"))] = parent.pop(key)
        elif kind == 2 and isinstance(parent, list) and parent is not root:
            parent.insert(0, choice(random, VALUES))
        else:
            parent[key] = choice(random, VALUES)
    text = json.dumps(root[0])
    if random.rand() < 0.05:
        text = text.replace(":", ":" + "[" * 100_000, 1)
    data = text.encode()
    return blind(random, data) if random.rand() < 0.125 else data


def npy(array, header: bytes | None = None, version: bytes = b"\1\0") -> bytes:
    """Return the .npy file of `array`, or its data under another header."""
    out = io.BytesIO()
    np.save(out, array)
    if header is None:
        return out.getvalue()
    size = struct.pack("<H" if version < b"\2" else "<I", len(header))
    return b"\x93NUMPY" + version + size + header + np.asarray(array).tobytes()


def npy_mutant(random, array) -> bytes:
    """Return an .npy file with another shape, dtype or order in its header, an invalid header, or blind damage."""
    descr, order, shape = array.dtype.str, False, list(array.shape)
    kind = random.randint(7)
    if kind == 0 and shape:
        shape[random.randint(len(shape))] = choice(random, (*NUMBERS, True, "x", None, 0.5, array.size))
    elif kind == 1:
        shapes = (shape[::-1], shape[1:], shape + [1], [1] + shape, [], [array.size], [0] * len(shape), shape * 9)
        shape = choice(random, shapes)
    elif kind == 2:
        descr = choice(random, DTYPES)
    elif kind == 3:
        order = choice(random, (True, 1, None, "x"))
    elif kind == 4:
        return blind(random, npy(array))
    header = repr({"descr": descr, "fortran_order": order, "shape": tuple(shape)}).encode()
    if kind == 5:
        others = (
            header * 2,
            header[:-1] + b", 'x': 1}",
            header.replace(b"shape", b"shap"),
            header.replace(b",)", b"L,)"),
        )
        header = choice(random, (*HEADERS, *others, b"\xff" + header, b"\\\n" + header))
    header = blind(random, header) if kind == 6 else header
    return npy(array, header.ljust(118) + b"\n", choice(random, (b"\1\0",) * 6 + (b"\2\0", b"\3\0", b"\4\0", b"\0\0")))


def npz_mutant(random, arrays: dict[str, np.ndarray], evil: Evil) -> bytes:
    """Return an .npz with an array damaged, missing, renamed, doubled, pickled or compressed otherwise; or damaged."""
    members = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    victim = choice(random, list(members))
    kind = random.randint(10)
    method = choice(random, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    doubled = {}
    if kind == 0:
        del members[victim]
    elif kind == 1:
        name = choice(random, (f"../../{victim}", f"/{victim}", "x\ny.npy", victim[:-4], victim.upper()))
        members[name] = members.pop(victim)
    elif kind == 2:
        doubled = {victim: npy_mutant(random, arrays[victim[:-4]])}
    elif kind == 3:
        out = io.BytesIO()
        np.save(out, np.array([evil] * 2, object), allow_pickle=True)
        members[victim] = choice(random, (out.getvalue(), out.getvalue()[128:]))
    elif kind == 4:
        method = choice(random, (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    elif kind == 5:
        members[victim] = b"\0" * choice(random, (0, 5, 100_000))
    elif kind < 8:
        members[victim] = npy_mutant(random, arrays[victim[:-4]])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of two members of one name.
        for name, data in [*members.items(), *doubled.items()]:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    data = out.getvalue()
    if kind == 8 or random.rand() < 0.2:
        return blind(random, data)
    return zip_field(random, data) if kind == 9 else data


def zip_field(random, data: bytes) -> bytes:
    """Set a field of one of the zip's headers to another number."""
    data = bytearray(data)
    magic = choice(random, list(ZIP_FIELDS))
    places = [i for i in range(len(data)) if data[i : i + 4] == magic]
    at = choice(random, places) + choice(random, ZIP_FIELDS[magic])
    values = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\0\0\0", b"\xff\xff\xff\x7f", random.bytes(4))
    data[at : at + 4] = choice(random, values)
    return bytes(data)


def tar_mutant(random, data: bytes) -> bytes:
    """Set fields of a tar's headers to other values, mostly under a correct checksum; or damage it blindly."""
    if random.rand() < 0.2:
        return blind(random, data)
    data = bytearray(data)
    headers = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    for _ in range(random.randint(1, 3)):
        at = choice(random, headers)
        start, stop = choice(random, TAR_FIELDS)
        if stop - start == 1:
            value = random.choice(list(b"01234567LKxgXSVDMAN\0 "), 1).astype(np.uint8).tobytes()
        else:
            value = choice(random, TAR_VALUES)
        data[at + start : at + stop] = value[: stop - start].ljust(stop - start, b"\0")
        if random.rand() < 0.9:
            data[at + 148 : at + 156] = b"%06o\0 " % (256 + sum(data[at : at + 148]) + sum(data[at + 156 : at + 512]))
    return bytes(data)


@functools.cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count))


def png_mutant(random, data: bytes) -> bytes:
    """Change, double, move or remove a chunk under a correct checksum, or change the sides; or damage blindly."""
    if random.rand() < 0.3:
        return blind(random, data)
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    i = random.randint(len(chunks))
    kind = random.randint(6)
    if kind == 0:
        header = bytearray(chunks[0][1])
        position = choice(random, (0, 4, 8, 9, 10, 11, 12))
        width = 4 if position < 8 else 1
        value = struct.pack(">I", choice(random, (0, 1, 15, 16, 50_000, 2**31 - 1, 2**32 - 1)))
        header[position : position + width] = value[-width:]
        chunks[0] = b"IHDR", bytes(header)
    elif kind == 1:
        del chunks[i]
    elif kind == 2:
        chunks.insert(random.randint(len(chunks)), chunks[i])
    elif kind == 3:
        name = choice(random, CHUNKS)
        chunks.insert(1, (name, choice(random, (b"", b"x", b"k\0\0" + _zeros(5_000_000), random.bytes(26)))))
    elif kind == 4:
        chunks[i] = chunks[i][0], blind(random, chunks[i][1])
    else:
        zeros = [_zeros(choice(random, (0, 10, 50_000_000))) for name, _ in chunks if name == b"IDAT"]
        chunks = [(name, zeros.pop(0) if name == b"IDAT" else body) for name, body in chunks]
    parts = [struct.pack(">I", len(b)) + name + b + struct.pack(">I", zlib.crc32(name + b)) for name, b in chunks]
    return data[:8] + b"".join(parts)


def idx_mutant(random, data: bytes, dimensions: int) -> bytes:
    """Change an axis, the type or the number of axes in the header; or damage blindly."""
    if random.rand() < 0.4:
        return blind(random, data)
    data = bytearray(data)
    if random.rand() < 0.7:
        at = 4 + 4 * random.randint(dimensions)
        big = random.rand() < 0.8
        value = choice(random, NUMBERS[3:]) & 0xFFFFFFFF if big else random.randint(0, 64)
        data[at : at + 4] = struct.pack(">I", value)
    else:
        data[random.randint(4)] = choice(random, (0, 1, 3, 8, 9, 0xFF))
    return bytes(data)


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _crc_table()


def masked_crc(data: bytes) -> bytes:
    """Return the checksum of TFRecord files and of checkpoints' tables: CRC-32C, rotated by 15 bits and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes, length: int | None = None) -> bytes:
    """Return one record of a TFRecord file, with a false `length` in its header if given."""
    head = struct.pack("<Q", len(data) if length is None else length)
    return head + masked_crc(head) + data + masked_crc(data)


def records_mutant(random, examples: list[bytes]) -> bytes:
    """Return a TFRecord file with an example damaged under a correct checksum or of false length, or blind damage."""
    kind, i = random.randint(6), random.randint(len(examples))
    examples, lengths = list(examples), [None] * len(examples)
    if kind == 0:
        lengths[i] = choice(random, (*[n for n in NUMBERS if 0 <= n < 2**64], len(examples[i]) + 16))
    elif kind == 1:
        examples[i] = choice(random, (b"", b"\xff" * 20, b"x"))
    elif kind < 4:
        examples[i] = blind(random, examples[i])
    data = b"".join(map(record, examples, lengths))
    return blind(random, data) if kind > 3 else data
