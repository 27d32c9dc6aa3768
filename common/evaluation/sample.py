"""The command `sample`: G(z, u) for latents that the user brings."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from common.config import Config
from common.errors import UserError
from common.io.atomic import atomic_write
from common.io.npz import read_npz
from common.models import registry
from common.models.system import System
from common.runs import open_run, provenance
from common.tf1 import checkpoints as tf1_checkpoints

_MAX_BYTES = 1 << 30


def sample(
    config: Config,
    checkpoint: pathlib.Path | None,
    tf1_checkpoint: str | None,
    latents: pathlib.Path,
    out: pathlib.Path,
) -> None:
    """Writes G(z, u) to the npz file `out`: `G` float32 [n, h, w, c] and `provenance`, JSON text.

    Args:
        config: the script's configuration; that of `checkpoint`, where one is given, takes its place.
        checkpoint: one of this project's, or a folder of them.
        tf1_checkpoint: the prefix of one of the original's.
        latents: an npz with `z` [n, Z] and `u` [n, K+C]. All n go through G as one batch: its statistics are part of the result.
        out: where to write.
    """
    system, source = _system(config, checkpoint, tf1_checkpoint)
    z, u = _read_latents(latents, system.config)
    images = system.generate(tf.constant(z), tf.constant(u)).numpy()
    try:
        with atomic_write(out) as temporary:
            np.savez(temporary, G=images, provenance=json.dumps(provenance(system.config, source)))
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from None
    print(f"Wrote {len(images)} images to {out}")


def _system(config: Config, checkpoint: pathlib.Path | None, tf1_checkpoint: str | None) -> tuple[System, str]:
    """The system, with the weights of whichever checkpoint was named, and where they came from."""
    if (checkpoint is None) == (tf1_checkpoint is None):
        raise UserError("sample needs one of --checkpoint and --tf1-checkpoint")
    if tf1_checkpoint is not None:
        system = registry.build(config)
        tf1_checkpoints.load(system, tf1_checkpoint)
        return system, f"TF1 checkpoint {tf1_checkpoint}"
    system, path = open_run(checkpoint)
    return system, f"checkpoint {path}"


def _read_latents(path: pathlib.Path, config: Config) -> tuple[np.ndarray, np.ndarray]:
    arrays = read_npz(path, _MAX_BYTES, ("z", "u"))
    for name, length in (("z", config.latent.noise), ("u", config.latent.code)):
        value = arrays[name]
        if value.dtype.kind not in "fiu" or value.ndim != 2 or value.shape[1] != length or len(value) < 2:
            raise UserError(
                f"{path}: {name} must be numbers [n, {length}], n > 1; got {value.dtype} {list(value.shape)}"
            )
        with np.errstate(over="ignore"):
            arrays[name] = value.astype(np.float32)
        if not np.isfinite(arrays[name]).all():  # As float32: what lies beyond is infinite there.
            raise UserError(f"{path}: {name} holds values that are not finite")
    if len(arrays["z"]) != len(arrays["u"]):
        raise UserError(f"{path}: z has {len(arrays['z'])} rows and u has {len(arrays['u'])}")
    return arrays["z"], arrays["u"]
