"""HTML that is escaped unless it was made here, and pictures as part of it."""

import base64
import html
import io

import numpy as np
from PIL import Image, features

from common.evaluation.figures.image_files import merge

_VOID = {"img", "input"}  # Elements without content.
_FORMAT = "WEBP" if features.check("webp") else "JPEG"
_QUALITY = 80


class Html(str):
    """Text that is HTML already."""


def element(tag: str, *children: object, **attributes: object) -> Html:
    """Return an element. Children and attributes are escaped, except children that are `Html`.

    Args:
        tag: its name.
        children: texts, numbers or `Html`.
        attributes: by name, "_" for "-", with a final "_" if Python reserves the name. None and False leave one out,
            True gives it no value.
    """
    texts = []
    for name, value in attributes.items():
        if value is not None and value is not False:
            text = "" if value is True else f'="{html.escape(str(value))}"'
            texts.append(f" {name.rstrip('_').replace('_', '-')}{text}")
    opened = f"<{tag}{''.join(texts)}>"
    return Html(opened if tag in _VOID else f"{opened}{join(*children)}</{tag}>")


def join(*children: object) -> Html:
    """Return `children` one after the other, escaped unless they are `Html`."""
    return Html("".join(child if isinstance(child, Html) else html.escape(str(child)) for child in children))


def picture_uri(cells: np.ndarray) -> str:
    """Return a picture of uint8 cells [R, C, h, w, c], without gaps, as the text of a data: address."""
    rows, columns = cells.shape[:2]
    merged = merge(cells.reshape(rows * columns, *cells.shape[2:]), rows, columns).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(merged).save(file, format=_FORMAT, quality=_QUALITY)
    return f"data:image/{_FORMAT.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def picture(cells: np.ndarray, alt: str, rows: list[str], columns: list[str]) -> Html:
    """Return uint8 cells [R, C, h, w, c] as one picture with labels.

    Args:
        cells: the images.
        alt: what the picture shows, for those who do not see it.
        rows: R labels, or none.
        columns: C labels, or none.
    """
    height, width = cells.shape[0], cells.shape[1]
    labels = [element("span", text, class_="row", style=f"grid-row:{i + 2}") for i, text in enumerate(rows)]
    labels += [element("span", text, style=f"grid-area:1/{i + 2}") for i, text in enumerate(columns)]
    place = f"grid-area:2/2/span {height}/span {width}"
    shown = element("img", src=picture_uri(cells), alt=alt, style=place, class_=_pixelated(cells))
    style = f"--columns:{width};max-width:{width * 4.5:g}rem"
    return element("div", *labels, shown, class_="picture", style=style)


def _pixelated(cells: np.ndarray) -> str | None:
    return "pixels" if cells.shape[2] <= 32 else None  # Larger images look better smoothed.


def scrolled(content: Html, label: str) -> Html:
    """Return content that may be wider than the window; the keyboard scrolls it, too."""
    return element("div", content, class_="scrolled", tabindex=0, role="region", aria_label=label)
