"""What `evaluate`, `figures` and `report` measure and draw, declared as in `common.options`. Needs no TensorFlow."""

import dataclasses
import pathlib

from common.errors import UserError
from common.fields import described, require_ranges

FIGURE_FORMATS = ("png", "pdf")
FACTOR_VAE = ("paper", "disentanglement_lib", "none")  # Whose sample sizes the FactorVAE score uses.
FULL_STEPS = 1000  # Training steps from which on a run is measured and drawn at full sizes.
SMALL = 32  # Pixels: up to this size networks are fast, and defaults generous.


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
