"""What a run has left on disk, read for a page: log.csv, metrics.json and run.json. The files are not trusted."""

import csv
import json
import math
import pathlib
from typing import Any, NamedTuple

import numpy as np

from common.evaluation.figures.curves import read_log
from common.options import METRICS_FILE, QUICK_METRICS_FILE

_MAX_BYTES = 1 << 24
_MAX_CLASSES = 200  # Of a confusion matrix that is shown.
_MAX_CURVES = 60


class Log(NamedTuple):
    """The columns of a log.csv: the horizontal axis, its name, and the curves [n] by name; `x` rises."""

    axis: str
    x: list[float]
    curves: dict[str, list[float]]


class Measured(NamedTuple):
    """What `evaluate` has measured.

    Attributes:
        file: the name of its file.
        step: of the run, or None.
        seed: of the run, or None.
        quick: whether sizes were too small to report.
        metrics: finite numbers by name.
        skipped: why other metrics are missing, by name.
        confusion: int64 [L, L + 1], test images by class and by the class that their category has; the last column is
            for categories without a class. None if there is none.
        labels: the class of each category, or none.
    """

    file: str
    step: int | None
    seed: int | None
    quick: bool
    metrics: dict[str, float]
    skipped: dict[str, str]
    confusion: np.ndarray | None
    labels: list[int]


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if the file is missing, too large or something else."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_BYTES + 1)
        found = json.loads(text) if len(text) <= _MAX_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_curves(path: pathlib.Path, step: int, steps_per_epoch: int) -> Log | str:
    """Return the curves in a log.csv, or why there are none.

    Args:
        path: the file.
        step: the last one of the run.
        steps_per_epoch: with which epochs become steps, if the last epoch of the file then ends at `step`.
    """
    if not path.is_file():
        return f"there is no {path.name}"
    try:
        axis, x, curves = read_log(path)
    except (OSError, ValueError, csv.Error) as error:
        return f"{path.name} cannot be read ({type(error).__name__})"
    rows = [row for row in range(len(x)) if math.isfinite(x[row])]
    if not rows or not curves:
        return f"{path.name} has no values yet"
    x = [x[row] for row in rows]
    if x != sorted(x):
        return f"{path.name} is damaged: its column {axis} does not rise"
    if axis == "epoch" and (x[-1] + 1) * steps_per_epoch == step:
        axis, x = "step", [(epoch + 1) * steps_per_epoch for epoch in x]
    shown = list(curves.items())[:_MAX_CURVES]
    return Log(axis, x, {name: [values[row] for row in rows] for name, values in shown})


def read_measured(folder: pathlib.Path, step: int) -> Measured | str:
    """Return what was measured of a run at `step`, or else at another step, or else why there is nothing."""
    found = [(name, read_object(folder / name)) for name in (METRICS_FILE, QUICK_METRICS_FILE)]
    found = [_measured(name, values) for name, values in found if isinstance(values.get("metrics"), dict)]
    if not found:
        return "the run has not been evaluated yet: the command evaluate measures it"
    return next((one for one in found if one.step == step), found[0])


def _measured(file: str, values: dict[str, Any]) -> Measured:
    metrics = {name: float(value) for name, value in values["metrics"].items() if is_number(value)}
    skipped, tables = values.get("skipped"), values.get("tables")
    tables = tables if isinstance(tables, dict) else {}
    reasons = {name: str(why) for name, why in skipped.items()} if isinstance(skipped, dict) else {}
    labels = tables.get("category_labels")
    known = isinstance(labels, list) and all(isinstance(label, int) for label in labels)
    step, config = values.get("step"), values.get("config")
    seed = config.get("seed") if isinstance(config, dict) else None
    return Measured(
        file,
        step if isinstance(step, int) else None,
        seed if isinstance(seed, int) else None,
        bool(values.get("quick")),
        metrics,
        reasons,
        _confusion(tables.get("confusion")),
        labels if known else [],
    )


def _confusion(rows: Any) -> np.ndarray | None:
    """Return a table of counts [L, L + 1], or None if `rows` is something else."""
    if not isinstance(rows, list) or not 0 < len(rows) <= _MAX_CLASSES:
        return None
    for row in rows:
        if not isinstance(row, list) or len(row) != len(rows) + 1:
            return None
        if not all(isinstance(count, int) and 0 <= count < 2**53 for count in row):
            return None
    return np.array(rows, np.int64)


def is_number(value: Any) -> bool:
    """Return whether an untrusted value is a finite number."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
