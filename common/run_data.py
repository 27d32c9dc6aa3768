"""The data of a run: found again where run.json says it was, and recognised by its content."""

import logging
import pathlib
from collections.abc import Callable
from typing import Any

from common.config import Config
from common.data.dataset import Dataset
from common.data.fingerprint import differences, fingerprint
from common.errors import UserError
from common.options import SYNTHETIC, Options

logger = logging.getLogger(__name__)


def absolute(path: pathlib.Path) -> pathlib.Path:
    """Return an existing path without links and dots, except that its last name stays: readers look at it."""
    if not path.exists():
        return path  # Errors name it as typed.
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def load_data(
    config: Config, options: Options, load: Callable[..., Dataset], run: dict[str, Any] | None, file: pathlib.Path
) -> Dataset:
    """Load the data that the options name, or else the data that a run was trained on; never synthetic data instead.

    Args:
        config: gives the data set.
        options: `data_dir` and `data` name other data than the run's.
        load: loads the data, as `load_dataset` does.
        run: what run.json says of the run (`common.run_json.read_run`); None without a run.
        file: that run.json, for messages.

    Raises:
        UserError: the data is missing or broken.
    """
    if run is None or is_named(run, options):
        return load(config, options.data_dir and absolute(options.data_dir), options.data, options.cache)
    place = pathlib.Path(run["data_dir"] or run["data"])
    if run["data_dir"] and not place.exists():
        raise UserError(f"the data of this run should be in {place} ({file}): put it back, or name it with --data-dir")
    found = place if place.is_absolute() and place.exists() else None  # Else in the usual places.
    try:
        return load(config, found, "synthetic" if is_synthetic(run) else "real", options.cache)
    except UserError as error:
        remedy = "name its data with --data-dir, or use --data synthetic"
        raise UserError(f"{error}; the run was trained on {run['data']} ({file}): {remedy}") from None


def require_own_data(dataset: Dataset, options: Options, run: dict[str, Any], file: pathlib.Path) -> None:
    """Raise UserError if `dataset` is not what a run was trained on, or log it if the options named other data.

    Args:
        dataset: what `load_data` returned.
        options: as there.
        run: as there.
        file: as there.
    """
    other = run["fingerprint"] and differences(run["fingerprint"], fingerprint(dataset))
    if other and is_named(run, options):
        logger.info("Note: not the data that this run was trained on, which was %s: %s", run["data"], other)
    elif other:
        remedy = "put it back, or name it, or other data, with --data-dir"
        raise UserError(f"{dataset.source} is not the data that this run was trained on: {other} ({file}): {remedy}")


def is_named(run: dict[str, Any], options: Options) -> bool:
    """Return whether the options name data, so that it need not be that of the run."""
    return options.data_dir is not None or options.data == ("real" if is_synthetic(run) else "synthetic")


def is_synthetic(run: dict[str, Any]) -> bool:
    """Return whether a run was trained on synthetic data."""
    return str(run["config"].get("name")).endswith(SYNTHETIC)
