"""The systems that can be trained: one module each, named here, with a `build(config)` that returns a `System`."""

import dataclasses
import importlib

from common.config import Config
from common.errors import UserError

# Each system's own settings, which take the place of the script's: the original's InfoGAN scripts differ from its main
# scripts in these (REFERENCE.md sections 2 and 4).
SYSTEMS = {
    "infovaegan": {},
    "infogan": {"generator_multiplier": 10.0, "first_batch_norm": True},
}


def check(config: Config) -> None:
    """Raises UserError where `config` names a system that does not exist."""
    if config.system not in SYSTEMS:
        raise UserError(f"no model {config.model!r} with variant {config.variant!r}; there are: {', '.join(sorted(SYSTEMS))}")


def adapt(config: Config) -> Config:
    """`config` with its system's own settings. Raises UserError where there is no such system."""
    check(config)
    return dataclasses.replace(config, **SYSTEMS[config.system])


def build(config: Config):
    """Returns the `System` that `config` names, its networks and optimizers built, at its initial weights."""
    check(config)
    return importlib.import_module(f"common.models.{config.system}").build(config)
