"""The sections of a page: each is HTML, or a text that says why it cannot be shown."""

import dataclasses
import fnmatch
import os
import pathlib
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from common.config import Config
from common.data.dataset import Dataset
from common.data.pixels import RANGES
from common.evaluation.encode import RECONSTRUCTIONS, evaluation_seed, lacks, mixed_images, to_inputs
from common.evaluation.figures import generated
from common.evaluation.information import information
from common.evaluation.report import charts
from common.evaluation.report.explanations import explain
from common.evaluation.report.markup import Html, element, join, picture
from common.evaluation.report.saved import Log, Measured, is_number
from common.evaluation_options import FigureSettings
from common.models.system import System

_COLUMNS = 100  # Of a picture, at most.
_LISTED = 200  # Files, at most.
_FILES = {  # Pattern -> what the file is.
    "run.json": "configuration, seed, data and versions",
    "log.csv": "losses and scores",
    "losses.png": "the same as curves",
    "metrics*.json": "every metric, with sample sizes",
    "figures.json": "what each figure shows",
    "figure_*": "figure",
    "class_grid.png": "one column per category",
    "VAE*": "generated images after an epoch",
    "Real*": "real images",
    "*.keras": "trained network",
    "*.index": "checkpoint",
}


def section(name: str, title: str, content: str, note: str = "") -> Html:
    """Return a section with its heading; `content` is HTML, or why there is none."""
    absent = element("p", f"Not shown: {content}.", class_="absent")
    note_of = element("p", note) if note and isinstance(content, Html) else ""
    inside = content if isinstance(content, Html) else absent
    return element("section", element("h2", title, id=f"{name}-title"), note_of, inside, id=name,
                   aria_labelledby=f"{name}-title")  # fmt: skip


def class_grid(system: System, settings: FigureSettings) -> str:
    """One column per category."""
    missing = lacks(system, "sample", "category")
    if missing:
        return missing
    rows, categories = settings.grid_rows, system.config.latent.categories
    images = _pixels(system, generated.class_grid(system, rows, settings.seed))
    cells = images.reshape(rows, categories, *images.shape[1:])[:_COLUMNS, :_COLUMNS]
    alt = f"Generated images: one column for each of {categories} categories, one row for each of {rows} samples"
    return picture(cells, alt, [], [str(k) for k in range(cells.shape[1])])


def reconstructions(system: System, dataset: Dataset, settings: FigureSettings) -> str:
    """Real images, and below them what the system makes of their codes."""
    missing = lacks(system, "reconstruct")
    if missing:
        return missing
    real = mixed_images(dataset, system.config.batch_size, settings.seed)
    inputs = to_inputs(real, system.config.scaling)
    made = system.reconstruct(inputs, evaluation_seed(settings.seed, RECONSTRUCTIONS)).numpy()
    count = min(settings.num_reconstructions, len(real), _COLUMNS)
    cells = np.stack([_pixels(system, inputs.numpy()[:count]), _pixels(system, made[:count])])
    alt = f"{count} real images, and below each what the system reconstructs from its codes"
    return picture(cells, alt, ["real", "made"], [])


def _pixels(system: System, images: np.ndarray) -> np.ndarray:
    return RANGES[system.config.scaling].to_uint8(images)


def curves(log: Log | str) -> str:
    """Losses and scores over steps or epochs, one panel each."""
    if isinstance(log, str):
        return log
    return element("div", *(charts.curve(log.axis, log.x, *curve) for curve in log.curves.items()), class_="panels")


def confusion(measured: Measured | str, dataset: Dataset) -> str:
    """Classes against the classes of their categories."""
    if isinstance(measured, str):
        return measured
    counts = measured.confusion
    if counts is None:
        return measured.skipped.get("accuracy") or f"there is no confusion matrix in {measured.file}"
    names = class_values(dataset)
    names = names if len(names) == len(counts) else [str(i) for i in range(len(counts))]
    columns = names
    if not counts[:, -1].any():
        counts = counts[:, :-1]
    else:
        columns = [*names, "none"]
    shades = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    caption = "Test images by class (rows) and by the class that their category stands for (columns)"
    return charts.shaded_table(caption, counts, shades, rows=names, columns=columns, corner=dataset.label or "class")


def class_values(dataset: Dataset) -> list[str]:
    """Return the names of the classes of a data set, or none."""
    return [] if dataset.classes is None else [str(value) for value in dataset.classes.values]


def category_names(measured: Measured | str, dataset: Dataset, config: Config, step: int) -> list[str]:
    """Return the class that each category of a run at `step` stands for, or none if that was not measured."""
    if isinstance(measured, str) or _other(measured, config, step):
        return []
    names = class_values(dataset)
    known = [names[label] if 0 <= label < len(names) else "none" for label in measured.labels]
    return [name if name == "none" or not name.isdigit() else f"{dataset.label} {name}" for name in known]


def mutual_information(system: System, dataset: Dataset, settings: FigureSettings) -> str:
    """How much each code says about each factor."""
    missing = lacks(system, "encode")
    if missing:
        return missing
    if (dataset.test or dataset.train).factors is None or not dataset.factors:
        return "the data set has no factors or classes"
    found = information(system, dataset, settings.information_images, settings.seed)
    if not found.factors:
        return "no factor of the data varies"
    caption = f"Mutual information of codes and factors over {found.images} images, as a fraction of a factor's entropy"
    shades = np.clip(found.values, 0, 1)
    return charts.shaded_table(
        caption, found.values, shades, rows=found.factors, columns=found.codes, corner="factor, code"
    )


def _other(measured: Measured, config: Config, step: int) -> str:
    """Return on what other networks the measures were taken, of another seed or step. Empty if on the same."""
    if measured.seed != config.seed:
        return f"on the run of seed {measured.seed}, and the pictures are of seed {config.seed}"
    return "" if measured.step == step else f"at step {measured.step}, and the pictures are of step {step}"


def metrics(measured: Measured | str, config: Config, step: int) -> str:
    """Every metric with a sentence, and why others are missing."""
    if isinstance(measured, str):
        return measured
    notes = []
    if measured.quick:
        notes.append("These were measured on few images, to see that all works: they are not results.")
    if other := _other(measured, config, step):
        notes.append(f"These were measured {other}.")
    values = {name: f"{value:.4g}" for name, value in measured.metrics.items()}
    listed = definitions((name, value, explain(name)) for name, value in values.items())
    reasons: dict[str, list[str]] = {}
    for name, why in measured.skipped.items():
        reasons.setdefault(why, []).append(name)
    absent = [element("li", f"{', '.join(names)}: {why}") for why, names in reasons.items()]
    missing = [element("h3", "Not measured"), element("ul", *absent)] if absent else []
    return join(*(element("p", note, class_="warning") for note in notes), listed, *missing)


def definitions(rows: Iterable[tuple[str, str, str]]) -> Html:
    """Return names with values and explanations."""
    entries = [
        element("div", element("dt", name), element("dd", value), element("dd", text, class_="meaning") if text else "")
        for name, value, text in rows
    ]
    return element("dl", *entries)


def facts(config: Config, saved: Mapping[str, Any], rows: list[tuple[str, str]]) -> Html:
    """Return what the run is.

    Args:
        config: its configuration.
        saved: the untrusted content of its run.json.
        rows: what else is to be listed: name and value.
    """
    versions, session, note = (saved.get(key) for key in ("versions", "session", "note"))
    session = session if isinstance(session, dict) else {}
    minutes, first = session.get("minutes"), session.get("from_step")
    trained = f"{minutes:.4g} minutes" if is_number(minutes) else "not recorded"
    if is_number(minutes) and first:
        trained += f", from step {first} on"
    packages = versions.items() if isinstance(versions, dict) else []
    rows = [*rows, ("training took", trained), *([("note", str(note))] if note else [])]
    own = {name: value for name, value in config.to_dict().items() if name not in ("hyper", "name", "checkpoint_name")}
    helps = {field.name: field.metadata.get("help", "") for field in dataclasses.fields(config.hyper)}
    hyper = ((name, _text(value), helps[name]) for name, value in dataclasses.asdict(config.hyper).items())
    return join(
        definitions((*row, "") for row in rows),
        _folded("Configuration", definitions((name, _text(value), "") for name, value in own.items())),
        _folded("Hyper-parameters", definitions(hyper)),
        _folded("Versions", definitions((str(name), str(version), "") for name, version in packages)),
    )


def _folded(title: str, content: Html) -> Html:
    return element("details", element("summary", title), content)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " x ".join(map(_text, value))
    if value is None or isinstance(value, bool):
        return {None: "default", True: "on", False: "off"}[value]
    return str(value)


def files(folders: Iterable[pathlib.Path], page: pathlib.Path) -> str:
    """Links from `page` to the files in `folders`."""
    paths = {path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_file()}
    paths = sorted(path for path in paths if not path.name.startswith(".") and path.resolve() != page.resolve())
    if not paths:
        return "there are no files of the run next to this one"
    listed = [element("li", _link(path, page.parent), f" ({_size(path)})", _what(path)) for path in paths[:_LISTED]]
    if len(paths) > _LISTED:
        listed.append(element("li", f"and {len(paths) - _LISTED} more"))
    return element("ul", *listed, class_="files")


def _link(path: pathlib.Path, folder: pathlib.Path) -> Html:
    text = os.path.relpath(path, folder)
    return element("a", text, href="./" + urllib.parse.quote(os.fsencode(text)))


def _size(path: pathlib.Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _what(path: pathlib.Path) -> str:
    what = next((what for pattern, what in _FILES.items() if fnmatch.fnmatch(path.name, pattern)), "")
    return f": {what}" if what else ""
