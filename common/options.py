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
FIGURE_FORMATS = ("png", "pdf")
FACTOR_VAE = ("paper", "disentanglement_lib", "none")  # Whose sample sizes the FactorVAE score uses.
RUN_FILE = "run.json"  # Next to checkpoints and results: what describes the run.
METRICS_FILE = "metrics.json"  # Among results: what `evaluate` measured.
QUICK_METRICS_FILE = "metrics-quick.json"  # The same, of sizes too small to report.
FIGURES_FILE = "figures.json"  # Among results: what each figure shows; written after the last one.
SYNTHETIC = "-synthetic"  # Ending of the names of runs on synthetic data.
FULL_STEPS = 1000  # Training steps from which on a run is measured and drawn at full sizes.
SMALL = 32  # Pixels: up to this size networks are fast, and defaults generous.


@dataclasses.dataclass(frozen=True)
class Cache:
    """The folder of preprocessed images; with `enabled=False` they are decoded each time they are needed."""

    folder: pathlib.Path
    enabled: bool = True


def default_cache_folder() -> pathlib.Path:
    """Return `infovaegan` in the user's cache folder."""
    return surroundings.cache_home() / "infovaegan"


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """What `evaluate` measures, on how many images; `quick` marks sizes too small to report.

    Raises:
        UserError: a value is out of range.
    """

    seed: int = described(
        0,
        "random seed of the evaluation: chooses and generates images",
        minimum=0,
        below=2**31,
        flag="--evaluation-seed",
    )
    images: int | None = described(
        None,
        "number of images to encode per split (default: all up to 32 pixels, 10,000 above)",
        minimum=2,
        flag="--num-images",
    )
    num_samples: int | None = described(
        None,
        "number of real and of generated images for FID and KID, and of images to reconstruct "
        "(default: 10,000 up to 32 pixels, 2,000 above)",
        minimum=2,
        alias="--compared",  # Its name in earlier versions.
    )
    factor_vae: str = described("paper", "sample sizes of the FactorVAE score, or none to skip it", choices=FACTOR_VAE)
    votes: int | None = described(None, "number of votes for the FactorVAE score (default: as --factor-vae)", minimum=2)
    vote_images: int | None = described(None, "images per vote (default: as --factor-vae)", minimum=2)
    other_statistics: bool = described(
        True, "skip the accuracy with the other kinds of batch-norm statistics", flag="--no-other-statistics"
    )
    inception_weights: pathlib.Path | None = described(
        None,
        "Keras's InceptionV3 weights without the top, for fid_keras and kid_keras (default: skip them)",
        metavar="H5",
    )
    classifier_images: int = described(
        20_000, "number of images that the classifier behind fid_classifier is trained on", minimum=2
    )
    quick: bool = False

    def __post_init__(self):
        require_ranges(self)

    @classmethod
    def for_run(cls, steps: int) -> "EvaluationSettings":
        """Return sizes in proportion to a run of `steps` training steps; full ones from `FULL_STEPS` on."""
        part = steps / FULL_STEPS
        if part >= 1:
            return cls()
        return cls(
            images=max(100, int(10_000 * part)),
            num_samples=max(100, int(2000 * part)),
            votes=max(20, int(500 * part)),
            vote_images=max(5, int(100 * part)),
            classifier_images=max(200, int(20_000 * part)),
            quick=True,
        )

    def images_of(self, side: int) -> int | None:
        """Return how many images of `side` pixels to encode per split; None for all."""
        return self.images or (None if side <= SMALL else 10_000)

    def samples_of(self, side: int) -> int:
        """Return how many images of `side` pixels to generate, compare and reconstruct."""
        return self.num_samples or (10_000 if side <= SMALL else 2000)


@dataclasses.dataclass(frozen=True)
class FigureSettings:
    """What `figures` draws; with `quick`, only the first continuous code is traversed unless `codes` names others.

    Raises:
        UserError: a value is out of range.
    """

    seed: int = described(
        0, "random seed of the figures: chooses latents and real images", minimum=0, below=2**31, flag="--figure-seed"
    )
    grid_rows: int = described(10, "rows of the class grid", minimum=1)
    draws: int = described(5, "number of rows of a traversal, one sample of the latents each", minimum=1)
    codes: tuple[int, ...] | None = described(
        None, "continuous codes to traverse (default: the first 32)", minimum=0, metavar="N"
    )
    range: tuple[float, float] = described((-1.0, 1.0), "range of a traversed code", metavar="X")
    traversal_steps: int = described(11, "number of points of a traversal, including both ends", minimum=2)
    by_category: bool = described(
        False, "traverse a code with one row per category, all from one sample of the other latents"
    )
    original_traversals: bool = described(False, "also draw traversals the way the original code does")
    num_reconstructions: int = described(10, "number of reconstructed images", minimum=1)
    interpolation_steps: int = described(11, "number of points between two real images, including both ends", minimum=2)
    interpolation_pairs: int = described(5, "number of image pairs to interpolate", minimum=1)
    information_images: int = described(
        2000, "number of images for the mutual information of codes and for the classes of categories", minimum=2
    )
    format: str = described(
        "png",
        "format of the figures: png, or pdf (one page with the picture as JPEG pixels, not as vectors); animations "
        "are gif",
        choices=FIGURE_FORMATS,
        common=True,
    )
    dpi: int = described(
        100, "dots per inch: the size in print stays, the number of pixels grows", minimum=50, common=True
    )
    quick: bool = False

    def __post_init__(self):
        require_ranges(self)
        if self.range[0] >= self.range[1]:
            raise UserError(f"--range must rise, got {self.range[0]:g} {self.range[1]:g}")

    @classmethod
    def for_run(cls, steps: int) -> "FigureSettings":
        """Return sizes for a run of `steps` training steps; full ones from `FULL_STEPS` on."""
        return cls() if steps >= FULL_STEPS else QUICK_FIGURES

    @property
    def values(self) -> list[float]:
        """The values of a traversed code."""
        low, high = self.range
        last = self.traversal_steps - 1
        return [round(low + (high - low) * i / last, 6) for i in range(self.traversal_steps)]


QUICK_FIGURES = FigureSettings(
    grid_rows=2,
    draws=1,
    traversal_steps=3,
    num_reconstructions=4,
    interpolation_steps=5,
    interpolation_pairs=1,
    information_images=100,
    quick=True,
)
QUICK_EVALUATION = EvaluationSettings.for_run(0)


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
