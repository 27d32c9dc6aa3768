"""The data sets: one module each, with `read(folder, cache)`, `places()`, `download(cache)` and `synthetic(config)`."""

import importlib
import pathlib

from common.config import Config
from common.data.dataset import Dataset
from common.errors import UserError
from common.options import Cache


def load_dataset(config: Config, data_dir: pathlib.Path | None, mode: str, cache: Cache) -> Dataset:
    """Finds and opens the data that `config` names: what the user named, else real data where there is any, else the stand-in.

    The stand-in is never used in place of data that the user asked for. Raises UserError where asked-for data is missing or broken.
    """
    module = importlib.import_module(f"common.data.{config.dataset}")
    if mode == "synthetic":
        if data_dir is not None:
            raise UserError("--data synthetic and --data-dir exclude each other: leave one out")
        return module.synthetic(config)
    if data_dir is not None:
        if not data_dir.exists():
            raise UserError(f"--data-dir {data_dir} does not exist; it should be or hold {module.ACCEPTED_FORMATS}")
        return module.read(data_dir, cache)
    for place in module.default_paths():
        if place.exists():
            return module.read(place, cache)
    tried = [str(place) for place in module.default_paths()]
    try:
        return module.download(cache)
    except UserError as error:
        if mode == "real":
            raise UserError(
                f"no real data: not in {', '.join(tried)}; {error}. Name the folder that holds {module.ACCEPTED_FORMATS} with --data-dir"
            ) from None
        print(_banner(module, config, tried, error), flush=True)
        return module.synthetic(config)


def _banner(module, config: Config, tried: list[str], error: UserError) -> str:
    line = "=" * 100
    return "\n".join(
        [
            line,
            f"NO REAL DATA: {module.TITLE} was not found, so this run uses the built-in stand-in ({module.SYNTHETIC}).",
            f"Looked in: {', '.join(tried)}; {error}.",
            f"For the real thing: --data-dir FOLDER, with {module.ACCEPTED_FORMATS}.",
            f"Everything is written under the name {config.name}-synthetic.",
            line,
        ]
    )
