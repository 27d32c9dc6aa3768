"""The losses and scores of a run as curves, one panel each."""

import csv
import itertools
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from PIL import Image, ImageDraw

from common.evaluation.figures.image_files import save_picture
from common.evaluation.figures.tables import text_size, write_text

_WIDTH, _HEIGHT = 340, 220  # Of a panel.
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 34, 40  # Margins around the axes of a panel.
_COLUMNS = 3
_HEAD = 30  # Above all panels, for the title.
_INK, _GREY, _BLUE = (0, 0, 0), (200, 200, 200), (31, 90, 166)
_COLOURS = (_BLUE, (200, 90, 20), (40, 130, 60), (150, 60, 150))  # Of curves in one panel.


def draw_log(log: pathlib.Path, picture: pathlib.Path, title: str = "") -> None:
    """Draw every column of a log.csv over its steps (or epochs): one panel each, with its range and its last value.

    Args:
        log: a table with a header; a column "step" or, failing that, "epoch" is the horizontal axis. Values that are
            empty or not finite leave a gap.
        picture: the image file to write.
        title: the line above everything.
    """
    axis, x, curves = read_log(log)
    if x and curves:
        save_picture(curve_table(axis, x, curves, title), picture)


def read_log(log: pathlib.Path) -> tuple[str, list[float], dict[str, list[float]]]:
    """Return the horizontal axis of a log.csv (its name and values) and the other columns by name; NaN if no number."""
    with open(log, encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        names, rows = reader.fieldnames or [], list(reader)
    axis = "step" if "step" in names else "epoch"
    columns = {name: [_number(row[name]) for row in rows] for name in names}
    curves = {name: values for name, values in columns.items() if name not in ("step", "epoch")}
    return axis, columns.get(axis, []), curves


def curve_table(axis: str, x: list[float], curves: dict[str, list[float]], title: str = "") -> Image.Image:
    """One panel per curve, in rows of three.

    Args:
        axis: what `x` is.
        x: [n], rising.
        curves: name -> [n] values; those that are not finite leave a gap.
        title: the line above all panels.
    """
    rows = -(-len(curves) // _COLUMNS)
    columns = min(_COLUMNS, len(curves))
    head = _HEAD if title else 0
    picture = Image.new("RGB", (columns * _WIDTH, head + rows * _HEIGHT), "white")
    write_text(picture, title, (10, 10), (0, 0))
    for number, (name, values) in enumerate(curves.items()):
        corner = number % _COLUMNS * _WIDTH, head + number // _COLUMNS * _HEIGHT
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
    if not finite:
        return picture
    low, high = min(finite), max(finite)
    across, up = (right - left) / ((x[-1] - x[0]) or 1), (bottom - top - 8) / ((high - low) or 1)
    for value in ticks(low, high):
        height = round(bottom - 4 - (value - low) * up)
        draw.line((left, height, right, height), fill=_GREY)
        write_text(picture, f"{value:.8g}", (left - 6, height), (1, 0.5))
    for value in ticks(x[0], x[-1]):
        if value == int(value):
            write_text(picture, f"{value:.8g}", (round(left + (value - x[0]) * across), bottom + 4), (0.5, 0))
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


def lines(title: str, axis: str, curves: Mapping[str, Mapping[float, float]], floor: float | None) -> Image.Image:
    """Several curves in one panel, named at their last points.

    Args:
        title: the line above.
        axis: what the horizontal axis is.
        curves: name -> place on the axis -> finite value; none is empty.
        floor: the height of a dashed line, the value between two sets of real images; None for no line.
    """
    places = [x for curve in curves.values() for x in curve]
    values = [y for curve in curves.values() for y in curve.values()] + ([] if floor is None else [floor])
    axes = _Axes(title, axis, places, values, curves)
    if floor is not None:
        height = axes.place(min(places), floor)[1]
        for start in range(axes.left, axes.right, 12):
            axes.draw.line((start, height, start + 6, height), fill=_INK)
        write_text(axes.picture, "two sets of real images", (axes.left + 8, int(height) - 4), (0, 1))
    for colour, (name, curve) in zip(itertools.cycle(_COLOURS), curves.items(), strict=False):
        points = [axes.place(x, curve[x]) for x in sorted(curve)]
        axes.draw.line(points, fill=colour, width=2)
        axes.dots(points, colour)
        write_text(axes.picture, name, (int(points[-1][0]) + 8, int(points[-1][1])), (0, 0.5))
    return axes.picture


def scatter(title: str, axis: str, groups: Mapping[str, Sequence[tuple[float, float]]]) -> Image.Image:
    """Points in one panel, one colour per group, with a key.

    Args:
        title: the line above.
        axis: what the horizontal axis is.
        groups: name -> finite points (x, y); none is empty.
    """
    points = [point for group in groups.values() for point in group]
    axes = _Axes(title, axis, [x for x, _ in points], [y for _, y in points], groups)
    for number, (name, group) in enumerate(groups.items()):
        colour, height = _COLOURS[number % len(_COLOURS)], _TOP + 10 + 20 * number
        axes.dots([axes.place(*point) for point in group], colour)
        axes.dots([(axes.right + 12, height)], colour)
        write_text(axes.picture, name, (axes.right + 20, height), (0, 0.5))
    return axes.picture


class _Axes:
    """A large panel with its axes, and room for `names` on the right; `place` maps values to pixels."""

    left, right, top, bottom = _LEFT, 2 * _WIDTH - _RIGHT, _TOP, 2 * _HEIGHT - _BOTTOM

    def __init__(self, title: str, axis: str, x: Sequence[float], y: Sequence[float], names: Iterable[str]):
        self._first, self._low = min(x), min(y)
        self._across, self._up = (max(x) - self._first) or 1, (max(y) - self._low) or 1
        room = max(text_size(name)[0] for name in names)
        self.picture = Image.new("RGB", (self.right + room + 2 * _RIGHT, 2 * _HEIGHT), "white")
        self.draw = ImageDraw.Draw(self.picture)
        write_text(self.picture, title, (_RIGHT, self.top - 8), (0, 1))
        write_text(self.picture, axis, ((self.left + self.right) // 2, 2 * _HEIGHT - 4), (0.5, 1))
        self.draw.rectangle((self.left, self.top, self.right, self.bottom), outline=_GREY)
        for value in ticks(self._first, max(x)):
            if value == int(value) or self._across < 2:
                write_text(self.picture, f"{value:.8g}", (int(self.place(value, 0)[0]), self.bottom + 4), (0.5, 0))
        for value in ticks(self._low, max(y)):
            write_text(self.picture, f"{value:.8g}", (self.left - 6, int(self.place(0, value)[1])), (1, 0.5))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point."""
        across = (x - self._first) / self._across * (self.right - self.left)
        return self.left + across, self.bottom - (y - self._low) / self._up * (self.bottom - self.top)

    def dots(self, points: Iterable[tuple[float, float]], colour: tuple[int, int, int]) -> None:
        """Draw dots at pixels."""
        for x, y in points:
            self.draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)


def ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers in [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    if not low < high:
        return [low]
    power = 10.0 ** math.floor(math.log10(high - low))
    for step in (5 * power, 2 * power, power, power / 2, power / 5):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first >= 2:
            break
    return [number * step for number in range(first, last + 1)]


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
