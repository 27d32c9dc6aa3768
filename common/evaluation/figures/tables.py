"""Pictures that explain themselves: cells in rows and columns with a title, labels and the names of both axes."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

LEGIBLE = 56  # Pixels that a cell's shorter side has at least; smaller images are enlarged by a whole factor.
_TITLE, _TEXT = 16, 13  # Font sizes.
_MARGIN, _SPACE, _GAP = 10, 6, 2  # Around everything; between texts and cells; between cells.
_PAPER, _INK = 255, 0


def image_table(
    title: str,
    cells: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    down: str = "",
    across: str = "",
    room: Sequence[str] = (),
) -> Image.Image:
    """Draws cells in a table with their captions.

    Args:
        title: one line above everything.
        cells: uint8 [R, C, h, w, c], c of 1 or 3.
        rows, columns: R and C labels, on the left and above; they may hold line breaks.
        down, across: what the rows and the columns are, written along them.
        room: further row labels to leave room for, so that the frames of an animation line up.

    Returns:
        A Pillow image, grey ("L") where c = 1 and "RGB" where c = 3.
    """
    count_rows, count_columns, *_ = cells.shape
    if len(rows) != count_rows or len(columns) != count_columns:
        raise ValueError(f"{len(rows)} and {len(columns)} labels for {count_rows} rows and {count_columns} columns")
    cells = enlarge(cells)
    height, width, channels = cells.shape[2:]
    wide = max([width, *(_size(label)[0] + _SPACE for label in columns)])  # A column is as wide as its label.
    pitch = max([height, *(_size(label)[1] for label in rows)]) + _GAP, wide + _GAP
    left = (
        _MARGIN + (_size(down)[1] + _SPACE if down else 0) + max(_size(label)[0] for label in (*rows, *room)) + _SPACE
    )
    names = max(_size(label)[1] for label in columns) if any(columns) else 0
    top = (
        _MARGIN
        + _size(title, _TITLE)[1]
        + 2 * _SPACE
        + (_size(across)[1] + _SPACE if across else 0)
        + (names + _SPACE if names else 0)
    )
    right, bottom = left + count_columns * pitch[1] - _GAP, top + count_rows * pitch[0] - _GAP
    widest = max(right, _MARGIN + _size(title, _TITLE)[0], (left + right + _size(across)[0]) // 2)
    picture = Image.new("L" if channels == 1 else "RGB", (widest + _MARGIN, bottom + _MARGIN), "white")
    for row in range(count_rows):
        for column in range(count_columns):
            corner = (
                left + column * pitch[1] + (wide - width) // 2,
                top + row * pitch[0] + (pitch[0] - _GAP - height) // 2,
            )
            picture.paste(Image.fromarray(cells[row, column, :, :, 0] if channels == 1 else cells[row, column]), corner)
    _write(picture, title, (_MARGIN, _MARGIN), (0, 0), _TITLE)
    for column, label in enumerate(columns):
        _write(picture, label, (left + column * pitch[1] + wide // 2, top - _SPACE), (0.5, 1))
    for row, label in enumerate(rows):
        _write(picture, label, (left - _SPACE, top + row * pitch[0] + (pitch[0] - _GAP) // 2), (1, 0.5))
    _write(picture, across, ((left + right) // 2, top - _SPACE - (names + _SPACE if names else 0)), (0.5, 1))
    _write(picture, down, (_MARGIN, (top + bottom) // 2), (0, 0.5), upright=True)
    return picture


def heatmap(
    title: str, values: np.ndarray, rows: Sequence[str], columns: Sequence[str], down: str = "", across: str = ""
) -> Image.Image:
    """A table of numbers in [0, 1], [R, C], each written in a cell whose shade is its value: white is 0, dark blue 1."""
    cells = np.empty((*values.shape, LEGIBLE // 2, LEGIBLE, 3), np.uint8)
    white, dark = np.array([255, 255, 255]), np.array([8, 48, 107])
    for place in np.ndindex(values.shape):
        share = float(np.clip(values[place], 0, 1))
        cell = Image.new(
            "RGB", (LEGIBLE, LEGIBLE // 2), tuple(np.round(white + share * (dark - white)).astype(int).tolist())
        )
        _write(
            cell, f"{values[place]:.2f}", (LEGIBLE // 2, LEGIBLE // 4), (0.5, 0.5), ink=_PAPER if share > 0.5 else _INK
        )
        cells[place] = np.asarray(cell)
    return image_table(title, cells, rows, columns, down, across)


def enlarge(cells: np.ndarray) -> np.ndarray:
    """Repeats the pixels of tiny cells [..., h, w, c] by the smallest whole factor that makes them `LEGIBLE`, as no heatmap's cell is."""
    height, width = cells.shape[-3:-1]
    factor = -(-LEGIBLE // max(height, width))
    return cells.repeat(factor, axis=-3).repeat(factor, axis=-2)


def _font(size: int):
    # Pillow carries a font; built without FreeType, it has one of a single, small size.
    return ImageFont.load_default(size if features.check("freetype2") else None)


def _size(text: str, size: int = _TEXT) -> tuple[int, int]:
    """Width and height of a text in pixels; a line is as high whatever its letters."""
    draw, font = ImageDraw.Draw(Image.new("L", (1, 1))), _font(size)
    lines = text.split("\n")
    line = draw.textbbox((0, 0), "Ag", font=font)[3]
    return max(int(np.ceil(draw.textlength(one, font=font))) for one in lines), line * len(lines)


def _write(
    picture: Image.Image,
    text: str,
    place: tuple[int, int],
    anchor: tuple[float, float],
    size: int = _TEXT,
    ink: int = _INK,
    upright: bool = False,
) -> None:
    """Writes `text` with the point `anchor` of its box, as shares of width and height, at `place`; `upright`: turned to read upwards."""
    if not text:
        return
    width, height = _size(text, size)
    box = Image.new("L", (width, height), 0)
    draw, line = ImageDraw.Draw(box), height // len(text.split("\n"))
    for i, one in enumerate(text.split("\n")):
        length = draw.textlength(one, font=_font(size))
        draw.text((int((width - length) * anchor[0]), i * line), one, fill=255, font=_font(size))
    box = box.rotate(90, expand=True) if upright else box
    corner = place[0] - int(box.width * anchor[0]), place[1] - int(box.height * anchor[1])
    picture.paste(ink if picture.mode == "L" else (ink,) * 3, corner, box)
