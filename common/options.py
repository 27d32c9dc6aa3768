"""Options of the commands: frozen dataclasses, from whose fields the flags follow. Does not import TensorFlow.

A field is declared by `described(default, help, minimum=, above=, below=, choices=, flag=, metavar=, common=, alias=,
bare=)`, of `common.fields`. Its flag is `--name-of-the-field` unless `flag` says otherwise. Its type is that of the
annotation: int, float, str, pathlib.Path, bool (a flag without a value: `--x` if false by default, and with
flag="--no-x" if true by default), tuple[int, ...] (several values) or tuple[float, float] (two), each possibly
`| None`.
`require_ranges(self)` in `__post_init__` checks types and ranges and names the flag in its errors. --help shows
fields with `common=True`, --help-all shows all. So a new field is a new flag: nothing else has to change. A field
without `described` has none.
"""

import argparse
import dataclasses
import pathlib
import re
from typing import NamedTuple

from common import surroundings
from common.errors import UserError
from common.fields import described, require_ranges

DATA_MODES = ("auto", "real", "synthetic")
STRATEGIES = ("auto", "mirrored", "multiworker")
RUN_FILE = "run.json"  # Next to checkpoints and results: what describes the run.
METRICS_FILE = "metrics.json"  # Among results: what `evaluate` measured.
QUICK_METRICS_FILE = "metrics-quick.json"  # The same, of sizes too small to report.
FIGURES_FILE = "figures.json"  # Among results: what each figure shows; written after the last one.
SYNTHETIC = "-synthetic"  # Ending of the names of runs on synthetic data.


@dataclasses.dataclass(frozen=True)
class Cache:
    """The folder of preprocessed images; with `enabled=False` they are decoded each time they are needed."""

    folder: pathlib.Path
    enabled: bool = True


def default_cache_folder() -> pathlib.Path:
    """Return `infovaegan` in the user's cache folder."""
    return surroundings.cache_home() / "infovaegan"


class SaveInterval(NamedTuple):
    """Extra checkpoints within an epoch: every `steps` steps or `minutes` minutes, or none."""

    steps: int | None = None
    minutes: float | None = None

    @classmethod
    def parse(cls, text: str) -> "SaveInterval":
        """Return the interval of "500", steps, or "30m", minutes. Raises argparse.ArgumentTypeError for other texts."""
        match = re.fullmatch(r"(\d{1,9})|(\d{1,9}(?:\.\d+)?)m", text, re.ASCII)
        if not match or not float(match[1] or match[2]):
            raise argparse.ArgumentTypeError(f"must be steps, like 500, or minutes, like 30m, got {text!r}")
        return cls(int(match[1]), None) if match[1] else cls(None, float(match[2]))


class RunFolders(NamedTuple):
    """Where a run writes: pictures, numbers and logs to `results`, checkpoints and networks to `models`."""

    results: pathlib.Path
    models: pathlib.Path

    @classmethod
    def of(cls, name: str, out: pathlib.Path) -> "RunFolders":
        """Return results/<name>/ and models/<name>/ below `out`."""
        return cls(out / "results" / name, out / "models" / name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Where a command finds its data and a run, and where it writes.

    Raises:
        UserError: options contradict each other.
    """

    data_dir: pathlib.Path | None = described(
        None, "folder of the real data (default: search the usual places)", common=True, metavar="DIR"
    )
    data: str = described(
        "auto",
        "use real data if there is any, require real data, or use synthetic data",
        choices=DATA_MODES,
        common=True,
    )
    out: pathlib.Path = described(
        pathlib.Path("."), "folder to write results/ and models/ to", common=True, metavar="DIR"
    )
    cache_dir: pathlib.Path | None = described(
        None, "folder of preprocessed images (default: infovaegan in your cache folder)", metavar="DIR"
    )
    use_cache: bool = described(True, "do not cache preprocessed images", flag="--no-cache")
    checkpoint: pathlib.Path | None = described(
        None,
        "checkpoint of any run, or its folder (default: this script's newest); its saved configuration is used",
        common=True,
        metavar="PATH",
    )
    tf1_checkpoint: pathlib.Path | None = described(
        None, "checkpoint of the original TF1 code to open: its prefix, a file of it, or its folder"
    )

    def __post_init__(self):
        require_ranges(self)
        if self.data == "synthetic" and self.data_dir is not None:
            raise UserError("--data synthetic cannot be combined with --data-dir")
        if self.checkpoint is not None and self.tf1_checkpoint is not None:
            raise UserError("--checkpoint cannot be combined with --tf1-checkpoint")

    @property
    def cache(self) -> Cache:
        """The cache of preprocessed images."""
        return Cache(self.cache_dir or default_cache_folder(), self.use_cache)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Options of `data`: where it finds the data, and what it writes."""

    json: pathlib.Path | None = described(None, "also write the facts to FILE", common=True, metavar="FILE")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """Options of `train` that are not hyper-parameters: checkpoints, devices, what follows training.

    Raises:
        UserError: a value is out of range, or options contradict each other.
    """

    resume: str | bool = described(
        False,
        "resume from the last checkpoint; auto: or start, if there is none",
        choices=("auto",),
        metavar="auto",
        bare=True,
        common=True,
    )
    overwrite: bool = described(False, "delete the existing run in --out and start over", common=True)
    evaluate: bool = described(True, "skip evaluation and figures after training", flag="--no-evaluate", common=True)
    checkpoint_every: SaveInterval = described(
        SaveInterval(),
        "also save a checkpoint every N steps (500) or minutes (30m), not only after each epoch",
        metavar="N|Nm",
    )
    # The newest, and one to fall back on if that is damaged. Each is read back before an older one is deleted.
    keep: int = described(2, "number of checkpoints to keep", minimum=1)
    on_nan: str = described(
        "stop",
        "on a NaN or infinite loss: stop, or restore the last checkpoint and continue with new noise (at most three "
        "times)",
        choices=("stop", "rollback"),
    )
    deterministic: bool = described(False, "use deterministic TensorFlow ops (bit-reproducible)")
    jit: bool = described(False, "compile training steps with XLA")
    strategy: str | None = described(
        None,
        "distribute each batch over devices: mirrored (all GPUs of this machine), multiworker (workers in TF_CONFIG) "
        "or auto (default: one device)",
        choices=STRATEGIES,
    )
    tensorboard: bool = described(False, "write TensorBoard logs next to the results")
    quicker: str = "fewer --epochs or --steps-per-epoch"  # What a run of hours is told; not a flag.

    def __post_init__(self):
        super().__post_init__()
        if self.resume and self.overwrite:
            raise UserError("--resume cannot be combined with --overwrite")
        if self.jit and self.strategy is not None:
            raise UserError("--jit cannot be combined with --strategy")
