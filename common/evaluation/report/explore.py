"""Images for a page on which codes are moved: every position of every code, category by category, for some samples."""

import json
import math
from typing import NamedTuple

import numpy as np

from common.data.pixels import RANGES
from common.evaluation.figures import generated
from common.evaluation.report.markup import Html, element, join, picture_uri
from common.evaluation_options import FigureSettings
from common.models.system import System
from common.nn.distributions import Latents

MAX_IMAGES = 1100  # Of a sample: ten codes in ten categories at eleven positions.
_MAX_BYTES = 8_000_000  # Of the text of all pictures; of the samples, only as many are kept as fit.
_DRAW = 1 << 22  # Number of a draw that no figure has.


class Plan(NamedTuple):
    """What a page lets one choose.

    Attributes:
        categories: how many categories, the first ones; 0 without categories.
        codes: the continuous codes that have a slider.
        values: of a code, by position of its slider.
    """

    categories: int
    codes: list[int]
    values: list[float]

    @classmethod
    def of(cls, system: System, settings: FigureSettings) -> "Plan":
        """Return the plan for a system: as many codes and categories as `MAX_IMAGES` allows.

        Codes are those that `settings` names, or else the first. They range as `settings` says.
        """
        latent, values = system.config.latent, settings.values[:MAX_IMAGES]
        codes = list(range(latent.continuous) if settings.codes is None else settings.codes)
        categories = min(latent.categories, MAX_IMAGES // len(values))
        most = 1 if settings.quick and settings.codes is None else MAX_IMAGES // (len(values) * max(1, categories))
        return cls(categories, codes[:most], values)


def strips(latents: Latents, plan: Plan) -> tuple[Latents, list[int]]:
    """Return the latents of all images of a sample, and where its own codes are.

    Code by code, a code takes all its values while everything else is the sample's own; category by category. The
    sample's codes are first rounded to the nearest of the values, so that all sliders share an image.

    Args:
        latents: of one sample, [1, ...]; its category does not matter.
        plan: what can be chosen.

    Returns:
        Latents [categories * codes * values, ...] (1 for each of these that is 0), and the position of each code.
    """
    values = np.array(plan.values, np.float32)
    own = [int(np.abs(values - latents.continuous[0, code]).argmin()) for code in plan.codes]
    for code, position in zip(plan.codes, own, strict=True):
        latents = generated.with_code(latents, code, values[position])
    one = generated.repeat(latents, len(values))
    moved = [generated.with_code(one, code, values) for code in plan.codes]
    strip = generated.concatenate(moved) if moved else latents
    if not plan.categories:
        return strip, own
    length, categories = int(latents.category.shape[1]), np.arange(plan.categories)
    alone = np.eye(length, dtype=np.float32)[categories].repeat(len(strip.noise), axis=0)
    return generated.concatenate([strip] * plan.categories)._replace(category=alone), own


def sheet(images: np.ndarray) -> np.ndarray:
    """Lay images [n, ...] out in a nearly square sheet, row by row: [rows, columns, ...]; missing ones are 0."""
    columns = math.isqrt(len(images) - 1) + 1
    rows = -(-len(images) // columns)
    cells = np.zeros((rows * columns, *images.shape[1:]), images.dtype)
    cells[: len(images)] = images
    return cells.reshape(rows, columns, *images.shape[1:])


def explorer(system: System, settings: FigureSettings, names: list[str] | None = None) -> Html:
    """Return the part of the page where codes are moved.

    Args:
        system: one that can "sample", ready for inference.
        settings: how many samples, which codes and values.
        names: what each category stands for, if that is known.
    """
    plan, (height, width, _) = Plan.of(system, settings), system.config.image_shape
    sheets, starts, columns = _sheets(system, plan, settings)
    facts = {
        "columns": columns, "width": width, "height": height, "codes": plan.codes, "values": plan.values,
        "starts": starts, "kind": "expert" if system.can("experts") else "category",
    }  # fmt: skip
    latent = system.config.latent
    parts = {
        "codes": (len(plan.codes), latent.continuous),
        "categories": (plan.categories, latent.categories),
        "samples": (len(sheets), settings.draws),
    }
    cut = [f"{shown} of {count} {name}" for name, (shown, count) in parts.items() if shown < count]
    return join(
        element("p", f"Not all fit here: shown are {', '.join(cut)}.", class_="absent") if cut else "",
        element("noscript", element("p", "Moving the codes needs JavaScript.", class_="absent")),
        element(
            "div",
            _stage(height, width),
            element("div", *_controls(plan, facts, names or []), class_="controls"),
            element("div", *(element("img", class_="sheet", src=text, alt="") for text in sheets), hidden=True),
            id="explorer",
            data_plan=json.dumps(facts),
        ),
    )


def _sheets(system: System, plan: Plan, settings: FigureSettings) -> tuple[list[str], list[list[int]], int]:
    """Return a sheet per sample, as the text of a picture; where the sample's codes are; and the columns of a sheet."""
    samples = generated.sample(system, settings.draws, settings.seed, _DRAW)
    sheets, starts, columns = [], [], 0
    for number in range(settings.draws):
        latents, own = strips(Latents(*(part[number : number + 1] for part in samples)), plan)
        images = generated.generate_all(system, latents)
        cells = sheet(RANGES[system.config.scaling].to_uint8(images))
        text, columns = picture_uri(cells), cells.shape[1]
        if sheets and sum(map(len, sheets)) + len(text) > _MAX_BYTES:
            break
        sheets.append(text)
        starts.append(own)
    return sheets, starts, columns


def _stage(height: int, width: int) -> Html:
    shown = _canvas((height, width), id="shown", role="img", aria_labelledby="says")
    return element("div", shown, element("output", id="says"), class_="stage")


def _canvas(size: tuple[int, int], **attributes: object) -> Html:
    style = "pixels" if size[0] <= 32 else None
    return element("canvas", width=size[1], height=size[0], class_=style, **attributes)


def _controls(plan: Plan, facts: dict, names: list[str]) -> list[Html]:
    """Return the choice of a category, the sliders and the choice of a sample, as far as there are some."""
    size, kind, controls = (facts["height"], facts["width"]), facts["kind"], []
    if plan.categories:
        labels = [join(k, element("small", names[k]) if k < len(names) else "") for k in range(plan.categories)]
        controls.append(_choice("category", kind.capitalize(), labels, size))
    if plan.codes:
        sliders = [_slider(code, len(plan.values)) for code in plan.codes]
        controls.append(element("fieldset", element("legend", "Continuous codes c"), *sliders))
    samples = [join(number + 1) for number in range(len(facts["starts"]))]
    controls.append(_choice("sample", "Sample of (z, c)", samples, size))
    return controls


def _choice(name: str, legend: str, labels: list[Html], size: tuple[int, int]) -> Html:
    choices = [
        element(
            "label",
            element("input", type="radio", name=name, value=number, checked=number == 0),
            _canvas(size, aria_hidden="true"),
            element("span", label),
        )
        for number, label in enumerate(labels)
    ]
    return element("fieldset", element("legend", legend), element("div", *choices, class_="choices"))


def _slider(code: int, positions: int) -> Html:
    slider = element("input", type="range", min=0, max=positions - 1, step=1, data_code=code)
    return element("label", element("span", f"c{code}"), slider, element("span", aria_hidden="true"), class_="slider")
