"""CelebA's lists, of attributes and of partitions: as the authors publish them, or as CSV as Kaggle does."""

import dataclasses
import re

import numpy as np

from common.data import formats
from common.data.entries import Entry
from common.errors import UserError, first_line

_MAX_BYTES = 1 << 28
_MISSING = 0.1  # If a larger part of the images is not in a list, it is another list, or incomplete.
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclasses.dataclass(frozen=True)
class Table:
    """A list: one row of codes for each image.

    Attributes:
        file: the list.
        columns: the names of the columns.
        rows: the image's name without its ending -> one code, a byte, per column.
    """

    file: Entry
    columns: tuple[str, ...]
    rows: dict[str, bytes]

    def listed(self, images: list[Entry]) -> list[Entry]:
        """Return the images that have a row. Raises UserError if too many have none."""
        found = [image for image in images if image.stem in self.rows]
        missing = len(images) - len(found)
        if missing > _MISSING * len(images):
            first = next(image for image in images if image.stem not in self.rows)
            how_many = f", nor for {missing - 1} other images" if missing > 1 else ""
            raise self.file.error(f"has no row for {first.base}{how_many}: download it again, or remove the images")
        return found

    def select(self, images: list[Entry]) -> np.ndarray:
        """Return the rows of images that have one, uint8 [n, columns]."""
        return np.frombuffer(b"".join([self.rows[e.stem] for e in images]), np.uint8).reshape(len(images), -1)


def read_attributes(file: Entry) -> Table:
    """Read the list of attributes: codes 0 and 1 for the values -1 (or 0) and 1.

    The number of images, if there is one; the names; then one row per image: its name and a value for each attribute.

    Raises:
        UserError: the file is anything else; the message names the line.
    """
    lines = _lines(file)
    first = int(len(lines) > 0 and len(lines[0]) == 1 and lines[0][0].isdecimal())
    names = lines[first] if len(lines) > first else []
    if len(lines) > first + 1 and len(names) == len(lines[first + 1]):
        names = names[1:]  # The first is that of the column of file names.
    if not names or len(set(names)) < len(names) or set(names) <= {"-1", "0", "1"}:
        raise file.error(f"line {first + 1}: it should name the attributes, each once")
    zero = all("-1" not in line for line in lines)
    rows = _parse(file, lines, first + 1, len(names), {"0" if zero else "-1": 0, "1": 1})
    if first and lines[0] != [str(len(rows))]:
        header = f"{lines[0][0][:20]!r} images, but {len(rows)} follow"
        raise file.error(f"line 1: header says {header}: download the file again")
    return Table(file, tuple(names), rows)


def read_partition(file: Entry) -> Table:
    """Read the list of partitions: 0 (train), 1 (validation) or 2 (test) for each image. A header is left out.

    Raises UserError as `read_attributes` does.
    """
    lines = _lines(file)
    header = bool(lines) and len(lines[0]) == 2 and not any(re.search(r"\d", word) for word in lines[0])
    counted = bool(lines) and len(lines[0]) == 1 and lines[0][0].isdecimal()
    rows = _parse(file, lines, int(header or counted), 1, {"0": 0, "1": 1, "2": 2})
    return Table(file, ("partition",), rows)


def _lines(file: Entry) -> list[list[str]]:
    """Return the words of each line. They are separated by white space, commas or semicolons, and may be quoted."""
    kind = file.kind()
    if kind in formats.REMEDIES:
        raise file.error(f"is {formats.instead(kind, 'a list of CelebA')}")
    try:
        with file.open() as opened:
            data = opened.read(_MAX_BYTES)
        encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8-sig")
        lines = data.decode(encoding).rstrip().splitlines()
    except UnicodeDecodeError:
        raise file.error("is not a text file: download it again") from None
    except OSError as error:
        raise UserError(f"cannot read {file.path}: {error.strerror or error}") from None
    except formats.DAMAGE as error:
        raise file.error(f"is damaged: {first_line(error)}") from None
    return [re.split(r"\s*[,;]\s*|\s+", line.replace('"', "").strip(" \t,;")) if line.strip() else [] for line in lines]


def _parse(file: Entry, lines: list[list[str]], first: int, columns: int, codes: dict[str, int]) -> dict[str, bytes]:
    """Parse lines of a name and `columns` values from `first` on. Raises UserError naming file and line."""
    rows = {}
    for number, words in enumerate(lines[first:], first + 1):
        name, *values = words or [""]
        stem = name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or name
        try:
            row = bytes([codes[value] for value in values])
        except KeyError as error:
            expected = f"one of {', '.join(codes)}"
            raise file.error(f"line {number}: {error.args[0][:20]!r} should be {expected}") from None
        if len(row) != columns or stem in rows:
            what = "a second row for the same image" if stem in rows else f"{len(row)} values instead of {columns}"
            raise file.error(f"line {number}: {what}")
        rows[stem] = row
    return rows
