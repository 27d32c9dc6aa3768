"""Labelled tables of images: cells in rows and columns with a title, labels and the names of both axes."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

MIN_CELL = 56  # Pixels of a cell's longer side, at least; smaller images are enlarged by a whole factor.
_TITLE, _TEXT = 16, 13  # Font sizes.
_MARGIN, _SPACE, _GAP = 10, 6, 2  # Around everything; between texts and cells; between cells.
_PAPER, _INK = 255, 0


def image_table(
    title: str,
    cells: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    ylabel: str = "",
    xlabel: str = "",
    reserve: Sequence[str] = (),
) -> Image.Image:
    """Draw cells in a table with their captions.

    Args:
        title: one line above everything.
        cells: uint8 [R, C, h, w, c], c of 1 or 3.
        rows: R labels, on the left; they may hold line breaks.
        columns: C labels, above.
        ylabel: what the rows are, written along them.
        xlabel: what the columns are.
        reserve: labels that determine the width of the label column (keeps animation frames aligned).

    Returns:
        A Pillow image, grey ("L") if c = 1 and "RGB" if c = 3.
    """
    count_rows, count_columns, *_ = cells.shape
    if len(rows) != count_rows or len(columns) != count_columns:
        raise ValueError(f"{len(rows)} and {len(columns)} labels for {count_rows} rows and {count_columns} columns")
    cells = enlarge(cells)
    height, width, channels = cells.shape[2:]
    wide = max([width, *(text_size(label)[0] + _SPACE for label in columns)])  # A column is as wide as its label.
    pitch = max([height, *(text_size(label)[1] for label in rows)]) + _GAP, wide + _GAP
    left = (
        _MARGIN
        + (text_size(ylabel)[1] + _SPACE if ylabel else 0)
        + max(text_size(label)[0] for label in (*rows, *reserve))
        + _SPACE
    )
    names = max(text_size(label)[1] for label in columns) if any(columns) else 0
    top = (
        _MARGIN
        + text_size(title, _TITLE)[1]
        + 2 * _SPACE
        + (text_size(xlabel)[1] + _SPACE if xlabel else 0)
        + (names + _SPACE if names else 0)
    )
    right, bottom = left + count_columns * pitch[1] - _GAP, top + count_rows * pitch[0] - _GAP
    widest = max(right, _MARGIN + text_size(title, _TITLE)[0], (left + right + text_size(xlabel)[0]) // 2)
    picture = Image.new("L" if channels == 1 else "RGB", (widest + _MARGIN, bottom + _MARGIN), "white")
    for row in range(count_rows):
        for column in range(count_columns):
            corner = (
                left + column * pitch[1] + (wide - width) // 2,
                top + row * pitch[0] + (pitch[0] - _GAP - height) // 2,
            )
            picture.paste(Image.fromarray(cells[row, column, :, :, 0] if channels == 1 else cells[row, column]), corner)
    write_text(picture, title, (_MARGIN, _MARGIN), (0, 0), size=_TITLE)
    for column, label in enumerate(columns):
        write_text(picture, label, (left + column * pitch[1] + wide // 2, top - _SPACE), (0.5, 1))
    for row, label in enumerate(rows):
        write_text(picture, label, (left - _SPACE, top + row * pitch[0] + (pitch[0] - _GAP) // 2), (1, 0.5))
    write_text(picture, xlabel, ((left + right) // 2, top - _SPACE - (names + _SPACE if names else 0)), (0.5, 1))
    write_text(picture, ylabel, (_MARGIN, (top + bottom) // 2), (0, 0.5), rotated=True)
    return picture


def heatmap(
    title: str, values: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, ylabel: str = "", xlabel: str = ""
) -> Image.Image:
    """Draw a table of numbers in [0, 1], [R, C]; each is written in a cell of its shade: white is 0, dark blue 1."""
    cells = np.empty((*values.shape, MIN_CELL // 2, MIN_CELL, 3), np.uint8)
    white, dark = np.array([255, 255, 255]), np.array([8, 48, 107])
    for place in np.ndindex(values.shape):
        value = float(np.clip(values[place], 0, 1))
        shade = tuple(np.round(white + value * (dark - white)).astype(int).tolist())
        cell = Image.new("RGB", (MIN_CELL, MIN_CELL // 2), shade)
        ink, centre = _PAPER if value > 0.5 else _INK, (MIN_CELL // 2, MIN_CELL // 4)
        write_text(cell, f"{values[place]:.2f}", centre, (0.5, 0.5), ink=ink)
        cells[place] = np.asarray(cell)
    return image_table(title, cells, rows, columns, ylabel=ylabel, xlabel=xlabel)


def enlarge(cells: np.ndarray) -> np.ndarray:
    """Repeat the pixels of cells [..., h, w, c] by the smallest whole factor that makes them `MIN_CELL` or more."""
    height, width = cells.shape[-3:-1]
    factor = -(-MIN_CELL // max(height, width))
    return cells.repeat(factor, axis=-3).repeat(factor, axis=-2)


def _font(size: int):
    # Pillow carries a font; built without FreeType, it has one of a single, small size.
    return ImageFont.load_default(size if features.check("freetype2") else None)


def text_size(text: str, size: int = _TEXT) -> tuple[int, int]:
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
    size: int = _TEXT,
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
