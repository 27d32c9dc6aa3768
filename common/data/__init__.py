"""The data sets: one module each, with `read(folder, cache)`, `places()`, `download(cache)` and `stand_in(config)`."""

import dataclasses
import importlib
import os
import pathlib

from common.config import Config
from common.data.dataset import Dataset
from common.errors import UserError

MODES = ("auto", "real", "synthetic")


@dataclasses.dataclass(frozen=True)
class Cache:
    """Where preprocessed images are kept; `enabled=False` decodes them anew each time they are needed."""

    folder: pathlib.Path
    enabled: bool = True


def default_cache_folder() -> pathlib.Path:
    """`infovaegan` in the user's cache folder."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "infovaegan"


def load(config: Config, data_dir: pathlib.Path | None, mode: str, cache: Cache) -> Dataset:
    """Finds and opens the data that `config` names: what the user named, else real data where there is any, else the stand-in.

    The stand-in is never used in place of data that the user asked for. Raises UserError where asked-for data is missing or broken.
    """
    module = importlib.import_module(f"common.data.{config.dataset}")
    if mode == "synthetic":
        if data_dir is not None:
            raise UserError("--data synthetic and --data-dir exclude each other: leave one out")
        return module.stand_in(config)
    if data_dir is not None:
        if not data_dir.exists():
            raise UserError(f"--data-dir {data_dir} does not exist; it should be or hold {module.FORMS}")
        return module.read(data_dir, cache)
    for place in module.places():
        if place.exists():
            return module.read(place, cache)
    tried = [str(place) for place in module.places()]
    try:
        return module.download(cache)
    except UserError as error:
        if mode == "real":
            raise UserError(f"no real data: not in {', '.join(tried)}; {error}. Name the folder that holds {module.FORMS} with --data-dir") from None
        print(_banner(module, config, tried, error), flush=True)
        return module.stand_in(config)


def _banner(module, config: Config, tried: list[str], error: UserError) -> str:
    line = "=" * 100
    return "\n".join([
        line, f"NO REAL DATA: {module.TITLE} was not found, so this run uses the built-in stand-in ({module.STAND_IN}).",
        f"Looked in: {', '.join(tried)}; {error}.",
        f"For the real thing: --data-dir FOLDER, with {module.FORMS}.",
        f"Everything is written under the name {config.name}-synthetic.", line])
