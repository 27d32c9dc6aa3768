"""What the commands can be told beside a `Config`: plain frozen data with defaults for two slow cores. Knows no TensorFlow."""

import argparse
import dataclasses
import math
import os
import pathlib
import re
from typing import NamedTuple

from common.errors import UserError

DATA_MODES = ("auto", "real", "synthetic")
STRATEGIES = ("auto", "mirrored", "multiworker")
STRIPS = 64  # Draws of a traversal in the original, of which five were published (REFERENCE.md section 7).
FACTOR_VAE = ("paper", "disentanglement_lib", "none")  # Whose sizes the FactorVAE score is taken at.
SMALL = 32  # Pixels: up to here networks are fast, and defaults generous.


@dataclasses.dataclass(frozen=True)
class Cache:
    """Where preprocessed images are kept; `enabled=False` decodes them anew each time they are needed."""

    folder: pathlib.Path
    enabled: bool = True


def default_cache_folder() -> pathlib.Path:
    """`infovaegan` in the user's cache folder."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "infovaegan"


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """What is measured, on how many images.

    Attributes:
        seed: decides which images are drawn and generated.
        images: encoded from each split, at most; None for all with up to 32 pixels, 10,000 with more.
        compared: images a side of FID and KID, and reconstructed images, at most; None for 10,000 with up to 32 pixels, 2,000 with more.
        factor_vae: one of `FACTOR_VAE`.
        votes, vote_images: of the FactorVAE score, and images a vote, in place of the sizes that `factor_vae` names.
        moving: whether accuracy is measured with the other kind of batch-norm statistics too.
        inception_weights: Keras's InceptionV3 without its top, for `fid_keras` and `kid_keras`.
        classifier_images: what the small classifier behind `fid_classifier` and `kid_classifier` is trained on, at most.
    """

    seed: int = 0
    images: int | None = None
    compared: int | None = None
    factor_vae: str = "paper"
    votes: int | None = None
    vote_images: int | None = None
    moving: bool = True
    inception_weights: pathlib.Path | None = None
    classifier_images: int = 20_000

    def __post_init__(self):
        _require(0 <= self.seed < 2**20, "--evaluation-seed", self.seed, "in [0, 2^20)")
        _require(self.factor_vae in FACTOR_VAE, "--factor-vae", self.factor_vae, f"one of {', '.join(FACTOR_VAE)}")
        for flag, value in (
            ("--images", self.images),
            ("--compared", self.compared),
            ("--votes", self.votes),
            ("--vote-images", self.vote_images),
            ("--classifier-images", self.classifier_images),
        ):
            _require(value is None or value >= 2, flag, value, "at least 2")

    def images_of(self, side: int) -> int | None:
        """How many images of `side` pixels are encoded from each split, at most; None for all."""
        return self.images or (None if side <= SMALL else 10_000)

    def compared_of(self, side: int) -> int:
        """How many images of `side` pixels are compared or reconstructed, at most."""
        return self.compared or (10_000 if side <= SMALL else 2000)


@dataclasses.dataclass(frozen=True)
class FigureSettings:
    """What is drawn.

    Attributes:
        seed: decides which latents and which real images are shown.
        rows: of the class grid, a draw of (z, c) each.
        draws: which of the 64 draws of (z, u) the traversals show, a strip each.
        codes: which continuous codes are traversed; None for all.
        range, steps: from where to where, at how many points, ends included.
        protocol: whether traversals by the original's protocol are drawn too.
        columns: real images in the figure of reconstructions, and points on the way between two real images.
        pairs: of real images to interpolate between.
        images: how many the mutual information of codes and factors is estimated from, at most.
    """

    seed: int = 0
    rows: int = 10
    draws: tuple[int, ...] = (0, 1, 2, 3, 4)
    codes: tuple[int, ...] | None = None
    range: tuple[float, float] = (-1.0, 1.0)
    steps: int = 11
    protocol: bool = False
    columns: int = 10
    pairs: int = 5
    images: int = 2000

    def __post_init__(self):
        _require(0 <= self.seed < 2**20, "--figure-seed", self.seed, "in [0, 2^20)")
        for flag, value in (("--rows", self.rows), ("--pairs", self.pairs)):
            _require(value >= 1, flag, value, "at least 1")
        for flag, value in (("--columns", self.columns), ("--images", self.images), ("--steps", self.steps)):
            _require(value >= 2, flag, value, "at least 2")
        _require(
            self.draws and all(0 <= draw < STRIPS for draw in self.draws),
            "--draws",
            list(self.draws),
            f"numbers from 0 to {STRIPS - 1}",
        )
        low, high = self.range
        _require(
            math.isfinite(low) and math.isfinite(high) and low < high,
            "--range",
            f"{low:g} {high:g}",
            "finite, and rising",
        )

    @property
    def values(self) -> list[float]:
        """The values that a traversed code takes."""
        low, high = self.range
        return [round(low + (high - low) * i / (self.steps - 1), 6) for i in range(self.steps)]


def _require(holds: bool, flag: str, value, what: str) -> None:
    if not holds:
        raise UserError(f"{flag} must be {what}; got {value}")


QUICK_FIGURES = FigureSettings(rows=2, draws=(0,), codes=(0,), steps=3, columns=4, pairs=1, images=100)
QUICK_EVALUATION = EvaluationSettings(images=100, compared=100, votes=20, vote_images=5, classifier_images=200)


class SaveInterval(NamedTuple):
    """When checkpoints are saved beside the end of each epoch: each `steps` steps, or each `minutes` minutes, or never."""

    steps: int | None = None
    minutes: float | None = None

    @classmethod
    def parse(cls, text: str) -> "SaveInterval":
        """From "500", steps, or "30m", minutes. Raises argparse.ArgumentTypeError for anything else."""
        match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)m", text, re.ASCII)
        if not match or not float(match[1] or match[2]):
            raise argparse.ArgumentTypeError(
                f"must be a number of steps, like 500, or of minutes, like 30m, above 0; got {text!r}"
            )
        return cls(int(match[1]), None) if match[1] else cls(None, float(match[2]))


@dataclasses.dataclass(frozen=True)
class Options:
    """How a command is run; nothing of it changes what a run computes, but that devices have batch statistics of their own unless synchronised.

    Attributes:
        data_dir: where the user says the data is.
        data: one of `DATA_MODES`.
        cache: of preprocessed images.
        out: below it lie results/<script>/ and models/<script>/.
        resume: go on from the last checkpoint.
        overwrite: start again where a run already lies.
        tensorboard: write TensorBoard logs.
        checkpoint_every: when checkpoints are saved within an epoch.
        keep: how many checkpoints are kept.
        on_nan: "stop" when a loss is not finite, or "rollback" to the last checkpoint and draw other noise.
        deterministic: let TensorFlow use only operations whose result is the same bits every time.
        tf1_checkpoint: start from this checkpoint of the original.
        jit: compile training steps with XLA.
        strategy: which of `STRATEGIES` spreads training over devices; None for one device.
        evaluation, figures: what is measured and drawn in the end; nothing, where `evaluation` is None.
    """

    data_dir: pathlib.Path | None
    data: str
    cache: Cache
    out: pathlib.Path
    resume: bool
    overwrite: bool
    tensorboard: bool = False
    checkpoint_every: SaveInterval = SaveInterval()
    keep: int = 3
    on_nan: str = "stop"
    deterministic: bool = False
    tf1_checkpoint: str | None = None
    jit: bool = False
    strategy: str | None = None
    evaluation: EvaluationSettings | None = None
    figures: FigureSettings = FigureSettings()
