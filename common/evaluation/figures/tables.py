"""Labelled tables of images: cells in rows and columns with a title, labels and the names of both axes."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

DPI = 100  # Dots per inch at which `Sizes` are given: texts have 9 and 12 points, ten cells are 6 inches wide.
_PAPER, _INK = 255, 0


class Sizes(NamedTuple):
    """Sizes in pixels: of the fonts; around everything, between texts and cells, between cells; of a cell.

    A cell's longer side has `cell` pixels at least; smaller images are enlarged by a whole factor.
    """

    title: int = 16
    text: int = 13
    margin: int = 10
    space: int = 6
    gap: int = 2
    cell: int = 56

    @classmethod
    def at(cls, dpi: int) -> "Sizes":
        """Return the sizes at which the figure is as large in print, with more pixels."""
        return cls(*(max(1, round(size * dpi / DPI)) for size in cls()))


def image_table(
    title: str,
    cells: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    ylabel: str = "",
    xlabel: str = "",
    note: str = "",
    reserve: Sequence[str] = (),
    dpi: int = DPI,
) -> Image.Image:
    """Draw cells in a table with their captions.

    Args:
        title: a line above everything; further lines are smaller.
        cells: uint8 [R, C, h, w, c], c of 1 or 3.
        rows: R labels, on the left; they may hold line breaks.
        columns: C labels, above.
        ylabel: what the rows are, written along them.
        xlabel: what the columns are.
        note: what is to be said of the cells, below them; it may hold line breaks.
        reserve: labels that determine the width of the label column (keeps animation frames aligned).
        dpi: dots per inch. Cells and texts grow with it.

    Returns:
        A Pillow image, grey ("L") if c = 1 and "RGB" if c = 3.
    """
    count_rows, count_columns, *_ = cells.shape
    if len(rows) != count_rows or len(columns) != count_columns:
        raise ValueError(f"{len(rows)} and {len(columns)} labels for {count_rows} rows and {count_columns} columns")
    sizes = Sizes.at(dpi)
    margin, space, gap = sizes.margin, sizes.space, sizes.gap
    cells = enlarge(cells, sizes.cell)
    height, width, channels = cells.shape[2:]
    measure, write = functools.partial(text_size, size=sizes.text), functools.partial(write_text, size=sizes.text)
    title, _, subtitle = title.partition("\n")
    wide = max([width, *(measure(label)[0] + space for label in columns)])  # A column is as wide as its label.
    pitch = max([height, *(measure(label)[1] for label in rows)]) + gap, wide + gap
    left = margin + _room(measure(ylabel)[1], ylabel, space) + max(measure(x)[0] for x in (*rows, *reserve)) + space
    names = _room(max(measure(label)[1] for label in columns), any(columns), space)
    head = margin + text_size(title, sizes.title)[1]
    top = head + 2 * space + names + sum(_room(measure(text)[1], text, space) for text in (subtitle, xlabel))
    right, bottom = left + count_columns * pitch[1] - gap, top + count_rows * pitch[0] - gap
    centre = max((left + right) // 2, margin + measure(xlabel)[0] // 2)
    lines = text_size(title, sizes.title)[0], measure(subtitle)[0], measure(note)[0]
    widest = max(right, margin + max(lines), centre + measure(xlabel)[0] // 2)
    total = bottom + _room(measure(note)[1], note, space) + margin
    picture = Image.new("L" if channels == 1 else "RGB", (widest + margin, total), "white")
    for row, column in np.ndindex(count_rows, count_columns):
        y, x = top + row * pitch[0] + (pitch[0] - gap - height) // 2, left + column * pitch[1] + (wide - width) // 2
        cell = cells[row, column]
        picture.paste(Image.fromarray(cell[:, :, 0] if channels == 1 else cell), (x, y))
    write_text(picture, title, (margin, margin), (0, 0), size=sizes.title)
    write(picture, subtitle, (margin, head + space), (0, 0))
    for column, label in enumerate(columns):
        write(picture, label, (left + column * pitch[1] + wide // 2, top - space), (0.5, 1))
    for row, label in enumerate(rows):
        write(picture, label, (left - space, top + row * pitch[0] + (pitch[0] - gap) // 2), (1, 0.5))
    write(picture, xlabel, (centre, top - space - names), (0.5, 1))
    write(picture, ylabel, (margin, (top + bottom) // 2), (0, 0.5), rotated=True)
    write(picture, note, (margin, bottom + space), (0, 0))
    return picture


def _room(size: int, present: str | bool, space: int) -> int:
    """Return the room for a text and the space next to it; 0 if there is none."""
    return size + space if present else 0


def heatmap(
    title: str,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    ylabel: str = "",
    xlabel: str = "",
    dpi: int = DPI,
) -> Image.Image:
    """Draw a table of numbers in [0, 1], [R, C]; each is written in a cell of its shade: white is 0, dark blue 1."""
    sizes = Sizes.at(dpi)
    width, height = sizes.cell, sizes.cell // 2
    cells = np.empty((*values.shape, height, width, 3), np.uint8)
    white, dark = np.array([255, 255, 255]), np.array([8, 48, 107])
    for place in np.ndindex(values.shape):
        value = float(np.clip(values[place], 0, 1))
        shade = tuple(np.round(white + value * (dark - white)).astype(int).tolist())
        cell = Image.new("RGB", (width, height), shade)
        ink, centre = _PAPER if value > 0.5 else _INK, (width // 2, height // 2)
        write_text(cell, f"{values[place]:.2f}", centre, (0.5, 0.5), size=sizes.text, ink=ink)
        cells[place] = np.asarray(cell)
    return image_table(title, cells, rows, columns, ylabel=ylabel, xlabel=xlabel, dpi=dpi)


def enlarge(cells: np.ndarray, least: int = Sizes().cell) -> np.ndarray:
    """Repeat the pixels of cells [..., h, w, c] by the smallest whole factor with which a side has `least` or more."""
    height, width = cells.shape[-3:-1]
    factor = -(-least // max(height, width))
    return cells.repeat(factor, axis=-3).repeat(factor, axis=-2)


@functools.cache
def _font(size: int):
    # Pillow carries a font; built without FreeType, it has one of a single, small size.
    return ImageFont.load_default(size if features.check("freetype2") else None)


def text_size(text: str, size: int = Sizes().text) -> tuple[int, int]:
    """Return width and height of a text in pixels; a line is as high whatever its letters."""
    draw, font = ImageDraw.Draw(Image.new("L", (1, 1))), _font(size)
    lines = text.split("\n")
    line = draw.textbbox((0, 0), "Ag", font=font)[3]
    return max(int(np.ceil(draw.textlength(one, font=font))) for one in lines), int(line) * len(lines)


def write_text(
    picture: Image.Image,
    text: str,
    place: tuple[int, int],
    anchor: tuple[float, float],
    *,
    size: int = Sizes().text,
    ink: int = _INK,
    rotated: bool = False,
) -> None:
    """Write `text` with the point `anchor` of its box, in fractions of width and height, at `place`."""
    if not text:
        return
    width, height = text_size(text, size)
    box = Image.new("L", (width, height), 0)
    draw, line = ImageDraw.Draw(box), height // len(text.split("\n"))
    for i, one in enumerate(text.split("\n")):
        length = draw.textlength(one, font=_font(size))
        draw.text((int((width - length) * anchor[0]), i * line), one, fill=255, font=_font(size))
    box = box.rotate(90, expand=True) if rotated else box
    corner = place[0] - int(box.width * anchor[0]), place[1] - int(box.height * anchor[1])
    picture.paste(ink if picture.mode == "L" else (ink,) * 3, corner, box)
