"""The systems that can be trained: one module each, found by its name, with a `build(config)` that returns a `System`."""

import importlib
import pathlib

from common.config import Config
from common.errors import UserError

_SHARED = {"__init__", "system"}


def available() -> list[str]:
    """Names of all systems, without importing any (so without TensorFlow)."""
    return sorted(p.stem for p in pathlib.Path(__file__).parent.glob("*.py") if p.stem not in _SHARED)


def check(config: Config) -> None:
    """Raises UserError where `config` names a system that does not exist."""
    if config.system not in available():
        raise UserError(f"no model {config.model!r} with variant {config.variant!r}; there are: {', '.join(available())}")


def build(config: Config):
    """Returns the `System` that `config` names, its networks and optimizers built, at its initial weights."""
    check(config)
    return importlib.import_module(f"common.models.{config.system}").build(config)
