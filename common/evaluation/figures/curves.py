"""The losses and scores of a run as curves, one panel each."""

import csv
import math
import pathlib

from PIL import Image, ImageDraw

from common.evaluation.figures.image_files import save_picture
from common.evaluation.figures.tables import write_text

_WIDTH, _HEIGHT = 340, 220  # Of a panel.
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 34, 40  # Margins around the axes of a panel.
_COLUMNS = 3
_INK, _GREY, _BLUE = (0, 0, 0), (200, 200, 200), (31, 90, 166)


def draw_log(log: pathlib.Path, picture: pathlib.Path) -> None:
    """Draw every column of a log.csv over its steps (or epochs): one panel each, with its range and its last value.

    Args:
        log: a table with a header; a column "step" or, failing that, "epoch" is the horizontal axis. Values that are
            empty or not finite leave a gap.
        picture: the image file to write.
    """
    with open(log, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else []
    axis = "step" if "step" in names else "epoch"
    curves = {name: [_number(row[name]) for row in rows] for name in names}
    panels = [name for name in names if name not in ("step", "epoch")]
    if panels:
        save_picture(curve_table(axis, curves[axis], {name: curves[name] for name in panels}), picture)


def curve_table(axis: str, x: list[float], curves: dict[str, list[float]]) -> Image.Image:
    """One panel per curve, in rows of three.

    Args:
        axis: what `x` is.
        x: [n], rising.
        curves: name -> [n] values; those that are not finite leave a gap.
    """
    rows = -(-len(curves) // _COLUMNS)
    columns = min(_COLUMNS, len(curves))
    picture = Image.new("RGB", (columns * _WIDTH, rows * _HEIGHT), "white")
    for number, (name, values) in enumerate(curves.items()):
        corner = number % _COLUMNS * _WIDTH, number // _COLUMNS * _HEIGHT
        picture.paste(_panel(axis, x, name, values), corner)
    return picture


def _panel(axis: str, x: list[float], name: str, y: list[float]) -> Image.Image:
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    finite = [value for value in y if math.isfinite(value)]
    last = f": {finite[-1]:.4g}" if finite else ": no values"
    write_text(picture, f"{name}{last}", ((left + right) // 2, top - 8), (0.5, 1))
    draw.rectangle((left, top, right, bottom), outline=_GREY)
    write_text(picture, axis, ((left + right) // 2, _HEIGHT - 4), (0.5, 1))
    for place, anchor, value in ((left, 0, x[0]), (right, 1, x[-1])):
        write_text(picture, f"{value:g}", (place, bottom + 4), (anchor, 0))
    if not finite:
        return picture
    low, high = min(finite), max(finite)
    for place, value in ((bottom, low), (top, high)):
        write_text(picture, f"{value:.3g}", (left - 6, place), (1, 0.5))
    across, up = (right - left) / ((x[-1] - x[0]) or 1), (bottom - top - 8) / ((high - low) or 1)
    points = [
        (left + (a - x[0]) * across, bottom - 4 - (b - low) * up) if math.isfinite(b) else None
        for a, b in zip(x, y, strict=True)
    ]
    for first, second in zip(points, points[1:], strict=False):
        if first and second:
            draw.line((*first, *second), fill=_BLUE, width=2)
    for point in points:
        if point:
            draw.ellipse((point[0] - 2, point[1] - 2, point[0] + 2, point[1] + 2), fill=_BLUE)
    return picture


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
