"""What run.json says: a run's configuration, data and versions; and whether a run may resume from it."""

import importlib.metadata
import json
import os
import pathlib
import platform
from typing import Any

from common.config import Config
from common.data.fingerprint import differences
from common.errors import UserError
from common.models import registry

PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "tensorflow-datasets", "numpy", "pillow")
CHANGEABLE = ("epochs", "steps_per_epoch")  # Fields that may change on --resume.


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of every package that a result depends on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def provenance(config: Config, source: str) -> dict[str, Any]:
    """Return what every result is written with: configuration (seed included), data source and versions."""
    return {"config": config.to_dict(), "data": source, "versions": package_versions()}


def read_run(file: pathlib.Path) -> dict[str, Any]:
    """Return what `file` says of a run: "config", "data", "data_dir", "fingerprint", "start" and "step".

    "data_dir" is the folder or file that --data-dir named, "fingerprint" is that of the data
    (`common.data.fingerprint`), "start" the checkpoint that the run started from, and "step" its last one once it has
    ended. Each of these four may be None; in the files of earlier versions the first two are.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        saved = dict(json.loads(file.read_text(encoding="utf-8")))
        run = {name: saved.get(name) for name in ("config", "data", "data_dir", "fingerprint", "start", "step")}
        run |= {"config": dict(saved["config"]), "data": str(saved["data"])}
        run["data_dir"] = None if run["data_dir"] is None else os.fspath(run["data_dir"])
        run["fingerprint"] = None if run["fingerprint"] is None else dict(run["fingerprint"])
        return run
    except FileNotFoundError:
        raise UserError(f"{file} not found; it is needed to load the checkpoints") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        kind = type(error).__name__
        raise UserError(f"{file} is damaged ({kind}): restore it, or start a new run in another --out") from None


def read_config(file: pathlib.Path) -> Config:
    """Return the configuration in `file`. Raises UserError if it is missing or damaged."""
    return config_from(read_run(file), file)


def config_from(description: dict[str, Any], file: pathlib.Path) -> Config:
    """Return the configuration in what `read_run` gave for `file`. Raises UserError if it is damaged."""
    try:
        return registry.config_from_plain(description["config"])
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, UserError) as error:
        raise UserError(f"{file} is damaged, or was written by another version of this project: {error}") from None


def require_same_run(config: Config, data: dict[str, Any], file: pathlib.Path) -> dict[str, Any]:
    """Raise UserError, naming the first difference, if --resume would change the run that `file` describes.

    Only the fields in `CHANGEABLE` may differ. Returns what `read_run` does.

    Args:
        config: of the run that is to resume.
        data: the fingerprint of its data; not compared with the file of an earlier version, which has none.
        file: a run.json.
    """
    run = read_run(file)
    old, new = _flat(run["config"]), _flat(config.to_dict())
    for field in sorted(new.keys() | old.keys(), key=lambda name: (name not in ("model", "variant"), name)):
        if field not in CHANGEABLE and old.get(field) != new.get(field):
            was, now = old.get(field), new.get(field)
            raise UserError(f"cannot resume: {field} was {was} in the saved run and is {now} now ({file})")
    other = run["fingerprint"] and differences(run["fingerprint"], data)
    if other:
        raise UserError(f"cannot resume: the data has changed: {other}. The run was trained on {run['data']} ({file})")
    return run


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a configuration with its hyper-parameters next to them."""
    hyper = values.get("hyper")
    if not isinstance(hyper, dict):
        return values
    return {name: value for name, value in values.items() if name != "hyper"} | hyper
