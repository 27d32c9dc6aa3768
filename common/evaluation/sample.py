"""The command `sample`: generate images for latents from a file."""

import json
import logging
import pathlib

import numpy as np
import tensorflow as tf

from common.config import LatentSpec
from common.errors import UserError
from common.evaluation.encode import lacks
from common.evaluation.statistics import Statistics
from common.io.atomic import atomic_write
from common.io.npz import read_npz
from common.models.system import System
from common.nn.distributions import Latents
from common.runs import provenance

_MAX_BYTES = 1 << 30

logger = logging.getLogger(__name__)


def sample(system: System, source: str, latents: pathlib.Path, out: pathlib.Path) -> None:
    """Write images of given latents to the .npz file `out`: `G` float32 [n, h, w, c] and `provenance`, JSON text.

    Args:
        system: the trained system.
        source: where its weights are from, for the provenance.
        latents: an .npz file, see `read_latents`. All n go through the generator as one batch: with batch statistics,
            an image depends on the others.
        out: where to write.

    Raises:
        UserError: the system generates nothing, the latents do not fit it, or `out` cannot be written.
    """
    missing = lacks(system, "sample")
    if missing:
        raise UserError(f"{missing}: choose another checkpoint")
    values = read_latents(latents, system.config.latent)
    inference = Statistics(system, None).under()
    images = inference.generate(values).numpy()
    try:
        with atomic_write(out) as temporary:
            np.savez(temporary, G=images, provenance=json.dumps(provenance(system.config, source)))
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from None
    logger.info("Wrote %d images to %s", len(images), out)


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
