"""Find and open the data of a run.

Each data set is a module with `read(path, cache)`, `default_paths()`, `download(cache)` and `synthetic()`. Images of
one's own are never looked for (`common.data.images`).
"""

import importlib
import importlib.util
import logging
import pathlib
from types import ModuleType

from common.config import Config
from common.data import images
from common.data.dataset import Dataset
from common.errors import UserError
from common.options import Cache

logger = logging.getLogger(__name__)


def load_dataset(config: Config, data_dir: pathlib.Path | None, mode: str, cache: Cache) -> Dataset:
    """Load the data set of `config`: from --data-dir if given, else prepared or downloaded data, else synthetic data.

    Synthetic data never replaces data that the user asked for.

    Raises:
        UserError: the data that the user asked for is missing or broken, or there is no such data set.
    """
    if config.dataset == images.NAME:
        return images.read(images.existing(data_dir), config, cache)
    module = module_of(config.dataset)
    if mode == "synthetic":
        if data_dir is not None:
            raise UserError("--data synthetic and --data-dir exclude each other: leave one out")
        return module.synthetic()
    if data_dir is not None:
        return module.read(existing(module, data_dir), cache)
    paths = module.default_paths()
    for path in paths:
        if path.exists():
            return module.read(path, cache)
    try:
        return module.download(cache)
    except UserError as error:
        tried = f"{', '.join(map(str, paths))}; {error}"
        if mode == "real":
            remedy = f"Name the folder that contains {module.ACCEPTED_FORMATS} with --data-dir"
            raise UserError(f"no real data: not in {tried}. {remedy}") from None
        logger.warning(_banner(module, config, tried))
        return module.synthetic()


def module_of(name: str) -> ModuleType:
    """Return the module of the data set `name`, which may come from a run.json. Raises UserError if there is none."""
    known = name.isidentifier() and importlib.util.find_spec(f"common.data.{name}") is not None
    module = importlib.import_module(f"common.data.{name}") if known else None
    if module is None or not hasattr(module, "default_paths"):
        raise UserError(f"there is no data set {name[:80]}: the configuration must name one of those in common/data/")
    return module


def existing(module: ModuleType, data_dir: pathlib.Path) -> pathlib.Path:
    """Return --data-dir. Raises UserError if it does not exist, with the forms that the data set `module` has."""
    if not data_dir.exists():
        raise UserError(f"--data-dir {data_dir} does not exist; it should be or contain {module.ACCEPTED_FORMATS}")
    return data_dir


def _banner(module: ModuleType, config: Config, tried: str) -> str:
    line = "=" * 100
    return f"""{line}
NO REAL DATA: {module.TITLE} was not found. This run uses synthetic data ({module.SYNTHETIC}).
Looked in: {tried}.
For real data: --data-dir FOLDER, with {module.ACCEPTED_FORMATS}.
Everything is written under the name {config.name}-synthetic.
{line}"""
