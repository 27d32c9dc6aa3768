"""Curves and tables of numbers as HTML."""

import math
from collections.abc import Sequence

import numpy as np

from common.evaluation.report.markup import Html, element, join, scrolled

_WIDTH, _HEIGHT = 300, 150  # Of a panel of curves, in its own units.
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 22  # Margins around its axes.
_DARK = 0.7  # From this shade on, a number is written in the colour of the paper.
_POINTS = 400  # Of a curve, at most.


def curve(axis: str, x: Sequence[float], name: str, y: Sequence[float]) -> Html:
    """Return one panel: a curve with its range and its last value.

    Args:
        axis: what `x` is.
        x: [n], n > 0, rising.
        name: what `y` is.
        y: [n]; values that are not finite leave a gap.
    """
    every = -(-len(x) // _POINTS)
    x, y = [*x[:-1:every], x[-1]], [*y[:-1:every], y[-1]]
    finite = [value for value in y if math.isfinite(value)]
    last = f"{finite[-1]:.4g}" if finite else "no values"
    caption = element("figcaption", name, " ", element("b", last))
    if not finite:
        return element("figure", caption, class_="panel")
    low, high = min(finite), max(finite)
    across = (_WIDTH - _LEFT - _RIGHT) / ((x[-1] - x[0]) or 1)
    up = (_HEIGHT - _TOP - _BOTTOM) / ((high - low) or 1)
    points = [
        (_LEFT + (a - x[0]) * across, _HEIGHT - _BOTTOM - (b - low) * up) if math.isfinite(a + b) else None
        for a, b in zip(x, y, strict=True)
    ]
    alt = f"{name} over {axis} {x[0]:g} to {x[-1]:g}: between {low:.4g} and {high:.4g}, at the end {last}"
    drawn = element(
        "svg",
        element("path", class_="axes", d=f"M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"),
        element("path", class_="curve", d=_path(points)),
        _text(_LEFT - 4, _TOP + 8, "end", f"{high:.3g}"),
        _text(_LEFT - 4, _HEIGHT - _BOTTOM, "end", f"{low:.3g}") if high > low else "",
        _text(_LEFT, _HEIGHT - 6, "start", f"{x[0]:g}"),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, "middle", axis),
        _text(_WIDTH - _RIGHT, _HEIGHT - 6, "end", f"{x[-1]:g}"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=alt,
    )
    return element("figure", caption, drawn, class_="panel")


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Return the path through points; None is a gap. The first point after a gap is a dot, if nothing follows it."""
    parts, pen_up = [], True
    for point in points:
        if point:
            parts.append(f"{'M' if pen_up else 'L'}{point[0]:.1f} {point[1]:.1f}{'h0' if pen_up else ''}")
        pen_up = point is None
    return "".join(parts)


def _text(x: float, y: float, anchor: str, text: str) -> Html:
    return element("text", text, x=f"{x:g}", y=f"{y:g}", text_anchor=anchor)


def shaded_table(
    caption: str, values: np.ndarray, shades: np.ndarray, *, rows: Sequence[str], columns: Sequence[str], corner: str
) -> Html:
    """Return a table of numbers, darker where the shade is higher.

    Args:
        caption: what it shows.
        values: [R, C], whole numbers or fractions.
        shades: [R, C] in [0, 1].
        rows: R names.
        columns: C names.
        corner: what rows and columns are.
    """
    head = element("tr", element("th", corner), *(element("th", name, scope="col") for name in columns))
    body = [
        element("tr", element("th", name, scope="row"), *map(_cell, values[i].tolist(), shades[i].tolist()))
        for i, name in enumerate(rows)
    ]
    table = element("table", element("thead", head), element("tbody", *body), class_="shaded")
    return join(element("p", caption, "."), scrolled(table, caption))


def _cell(value: float, shade: float) -> Html:
    text = str(value) if isinstance(value, int) else f"{value:.2f}"
    return element("td", text, style=f"--shade:{100 * shade:.0f}%", class_="dark" if shade > _DARK else None)
