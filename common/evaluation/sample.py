"""The command `sample`: generate images of codes drawn at random or read from a file."""

import json
import logging
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from PIL import Image

from common.config import LatentSpec
from common.data.pixels import RANGES
from common.errors import UserError
from common.evaluation.encode import lacks
from common.evaluation.figures import generated
from common.evaluation.figures.captions import caption
from common.evaluation.figures.image_files import save_picture
from common.evaluation.figures.tables import image_table
from common.evaluation.statistics import Statistics
from common.io.atomic import atomic_write, write_json
from common.io.npz import read_npz
from common.models.system import System
from common.nn.distributions import Latents
from common.options import RunFolders
from common.run_json import provenance
from common.runs import make_writable_folder
from common.sample_options import SampleOptions

_COUNT = 64
_DRAW = 0x53414D50  # Number of the codes' draw; no row of a figure has it.
_MAX_BYTES = 1 << 30

logger = logging.getLogger(__name__)


def sample(system: System, source: str, options: SampleOptions) -> pathlib.Path:
    """Generate images, and write them to a picture, an .npz file or a folder; return its path.

    Codes drawn at random go through the generator with standing averages, so an image does not depend on the others.
    Those of a file go through it as one batch under the run's own statistics, as in the original.

    Args:
        system: the trained system.
        source: where its weights are from, for the provenance.
        options: what to generate, and where to write. An .npz file gets `G` float32 [n, h, w, c] in the range of the
            networks' images, the codes `z`, `d` and `c`, and `provenance`, JSON text. Next to a picture, and in a
            folder, a .json file says where the images are from.

    Raises:
        UserError: the system generates nothing, the codes do not fit it, or `out` cannot be written.
    """
    missing = lacks(system, "sample")
    if missing:
        raise UserError(f"{missing}: choose another checkpoint")
    out = options.out or RunFolders.of(system.config.name, pathlib.Path(".")).results / "samples.png"
    make_writable_folder(out.parent)
    if options.latents is not None:
        latents = read_latents(options.latents, system.config.latent)
        images = Statistics(system, None).under().generate(latents).numpy()
    else:
        latents = draw_latents(system, options.count or _COUNT, options.seed or 0, options.category)
        images = generated.generate_all(Statistics(system, None).independent(), latents)
    pixels = RANGES[system.config.scaling].to_uint8(images)
    facts = {**provenance(system.config, source), "codes": _codes(options)}
    try:
        if out.suffix == ".npz":
            codes = {name: np.asarray(part) for name, part in zip("zdc", latents, strict=True)}
            with atomic_write(out) as temporary:
                np.savez(temporary, G=images, **codes, provenance=json.dumps(facts))
        elif out.suffix and not out.is_dir():
            of_one = "" if options.category is None else f" of category {options.category}"
            save_picture(_grid(f"Samples{of_one}\n{caption(system)}", pixels, options.dpi), out, dpi=options.dpi)
            write_json(facts, out.with_name(f"{out.name}.json"))
        else:
            _write_folder(pixels, facts, out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from None
    logger.info("Wrote %d image%s to %s", len(images), "" if len(images) == 1 else "s", out)
    return out


def draw_latents(system: System, count: int, seed: int, category: int | None = None) -> Latents:
    """Draw the latents of `count` images from the prior, all of one category if that is given: numpy, float32.

    Raises:
        UserError: the system does not have that category.
    """
    latents, categories = generated.sample(system, count, seed, _DRAW), system.config.latent.categories
    if category is None:
        return latents
    if category >= categories:
        raise UserError(f"--category must be below {categories}, the number of this run's categories, got {category}")
    return latents._replace(category=np.eye(categories, dtype=np.float32)[[category] * count])


def _codes(options: SampleOptions) -> dict:
    """Return where the codes are from."""
    if options.latents is not None:
        return {"latents": str(options.latents)}
    return {"seed": options.seed or 0, "category": options.category}


def _grid(title: str, pixels: np.ndarray, dpi: int) -> Image.Image:
    """Return images uint8 [n, h, w, c] in rows of about the square root of n; cells that are left over are white."""
    columns = int(np.ceil(np.sqrt(len(pixels))))
    rows = -(-len(pixels) // columns)
    cells = np.full((rows * columns, *pixels.shape[1:]), 255, np.uint8)
    cells[: len(pixels)] = pixels
    return image_table(title, cells.reshape(rows, columns, *pixels.shape[1:]), [""] * rows, [""] * columns, dpi=dpi)


def _write_folder(pixels: np.ndarray, facts: dict, out: pathlib.Path) -> None:
    """Write a PNG file per image and samples.json, all or nothing. Raises OSError, or UserError if `out` is in use."""
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out} is not empty: name another folder, or delete it")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".sampling-") as made:  # Not swept by `remove_leftovers`.
        folder = pathlib.Path(made) / "images"
        folder.mkdir()
        for number, image in enumerate(pixels):
            picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
            save_picture(picture, folder / f"{number:0{len(str(len(pixels) - 1))}d}.png")
        write_json(facts, folder / "samples.json")
        folder.rename(out)


def read_latents(path: pathlib.Path, spec: LatentSpec) -> Latents:
    """Return the latents in an .npz file, float32, of n >= 2 rows.

    It holds `z` [n, Z], `d` [n, K] and `c` [n, C] as far as their length is not 0; or `z` and `u` = concat(d, c).

    Raises:
        UserError: the file is not a readable .npz file, or an array is missing, misshapen or not finite.
    """
    lengths = {"z": spec.noise, "d": spec.categories, "c": spec.continuous}
    lengths = {name: length for name, length in lengths.items() if length}
    arrays = read_npz(path, _MAX_BYTES)
    if "u" in arrays and spec.code:
        lengths = {name: length for name, length in lengths.items() if name == "z"} | {"u": spec.code}
    missing = [name for name in lengths if name not in arrays]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; it needs z, d and c, or z and u = (d, c)")
    values = {name: _checked(arrays[name], length, f"{path}: {name}") for name, length in lengths.items()}
    counts = {name: len(value) for name, value in values.items()}
    if len(set(counts.values())) > 1:
        raise UserError(f"{path}: " + ", ".join(f"{name} has {count} rows" for name, count in counts.items()))
    if "u" in values:
        values["d"], values["c"] = np.split(values["u"], [spec.categories], axis=1)
    empty = np.zeros((next(iter(counts.values())), 0), np.float32)
    return Latents(*(tf.constant(values.get(name, empty)) for name in ("z", "d", "c")))


def _checked(value: np.ndarray, length: int, what: str) -> np.ndarray:
    """`value` as float32, numbers [n, length]. Raises UserError if it is something else."""
    if value.dtype.kind not in "fiu" or value.ndim != 2 or value.shape[1] != length or len(value) < 2:
        raise UserError(f"{what} must be numbers [n, {length}], n > 1; got {value.dtype} {list(value.shape)}")
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    if not np.isfinite(value).all():  # As float32: what lies beyond is infinite there.
        raise UserError(f"{what} holds values that are not finite")
    return value
