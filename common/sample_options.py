"""Options of the command `sample`, declared as `common.options` says. Does not import TensorFlow."""

import dataclasses
import pathlib

from common.errors import UserError
from common.fields import described, require_ranges

ENDINGS = (".png", ".jpg", ".pdf", ".npz")  # Of files; anything else is a folder.
_MAX_COUNT = 100_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Which images `sample` generates, of which run, and where it writes them.

    Raises:
        UserError: options are out of range or contradict each other.
    """

    count: int | None = described(None, "number of images (default: 64)", minimum=1, common=True)
    category: int | None = described(None, "category of all images (default: drawn at random)", minimum=0, common=True)
    seed: int | None = described(
        None, "random seed of the codes (default: 0); the first images of a longer list are the same",
        minimum=0, below=2**31, common=True,
    )  # fmt: skip
    latents: pathlib.Path | None = described(
        None, "file of z [n, Z] and u [n, K+C], or z, d and c, instead of codes drawn at random",
        common=True, metavar="NPZ",
    )  # fmt: skip
    out: pathlib.Path | None = described(
        None,
        "picture of all images (x.png, x.jpg, x.pdf), arrays (x.npz), or a folder for one PNG file per image "
        "(default: samples.png in the run's results)",
        common=True,
    )
    dpi: int = described(100, "dots per inch of a picture of all images", minimum=50)
    checkpoint: pathlib.Path | None = described(
        None, "checkpoint of any run, or its folder (default: this script's newest run below models/)",
        common=True, metavar="PATH",
    )  # fmt: skip
    tf1_checkpoint: pathlib.Path | None = described(
        None, "checkpoint of the original TF1 code instead: its prefix, a file of it, or its folder", common=True
    )

    def __post_init__(self):
        require_ranges(self)
        drawn = {"--count": self.count, "--category": self.category, "--seed": self.seed}
        given = [flag for flag, value in drawn.items() if value is not None]
        if self.latents is not None and given:
            raise UserError(f"--latents cannot be combined with {given[0]}: the file says what is generated")
        if self.checkpoint is not None and self.tf1_checkpoint is not None:
            raise UserError("--checkpoint cannot be combined with --tf1-checkpoint")
        if (self.count or 0) > _MAX_COUNT:
            raise UserError(f"--count must be at most {_MAX_COUNT}, got {self.count}: use several seeds")
        if self.out is not None and self.out.suffix not in ("", *ENDINGS) and not self.out.is_dir():
            wanted = ", ".join(ENDINGS)
            raise UserError(f"--out must end in {wanted}, or be a folder, got {self.out}")
