"""Recordings of the original's graph under TF1: what they say, and the inputs that they regenerate from seeds.

The .json names configuration, variables, losses, gradients and a trace of iterations; the .npz holds tensors and noise. Initial
variables and batches are not stored: they follow from numpy's legacy generator, which is stable across versions.
"""

import json
import math
import pathlib
import zlib

import numpy as np
import tensorflow as tf

from common.config import Config, LatentSpec
from common.errors import UserError
from common.io.npz import read_npz
from common.models import registry
from common.nn.distributions import Latents

_BATCH_SEED = 20201120
_PROJECTION_KEY = 0x5BD1E995
_MAX_BYTES = 1 << 30
_MAX_VARIABLE = 1 << 25  # Values of one variable; the original's largest has 2^23.
_MAX_IMAGES = 1 << 24  # Values of one batch of images; the original's have less than 2^20.
_MAX_LENGTH = 1 << 12  # Of a batch, an axis or a code.
_MAX_TRACE = 100  # Iterations.
_FIELDS = {
    "batch_size": int,
    "continous_len": int,
    "discrete_len": int,
    "noise_len": int,
    "learning_rate": float,
    "image_dims": list,
    "multipliers": dict,
    "variables": dict,
    "losses": dict,
    "gradients": dict,
    "trace": list,
}


def projection(name: str, value: np.ndarray) -> float:
    """The recordings' fingerprint of a variable or gradient: its dot product, in float64, with a normal vector seeded by its name."""
    direction = np.random.RandomState(zlib.crc32(name.encode()) ^ _PROJECTION_KEY).normal(0, 1, value.size)
    return float(np.dot(direction, value.astype(np.float64).ravel()))


class Recording:
    """One recording: `<path>.json` with `<path>.npz` beside it.

    Attributes:
        variables: TF1 name -> shape.
        losses: name -> value at the initial point.
        gradients: loss -> TF1 name -> {"norm", "projection"} at the initial point.
        trace: for each iteration its losses and, under "variables", each variable's norm and projection after it.
        files: names of the stored arrays.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._fields = _read_json(path)
        self.variables = self._fields["variables"]
        self.losses, self.gradients, self.trace = (self._fields[f] for f in ("losses", "gradients", "trace"))
        self._arrays = read_npz(path.with_suffix(".npz"), _MAX_BYTES)
        self.files = set(self._arrays)
        for name, array in self._arrays.items():
            if array.dtype.kind != "f" or array.ndim == 0 or array.size == 0:
                raise UserError(
                    f"{path.with_suffix('.npz')}: {name} is {array.dtype} {list(array.shape)}, no recorded tensor"
                )

    def config(self) -> Config:
        """The recorded configuration. Which system: the encoder of InfoGAN has no deviation; KL_d and the first batch norm show likewise."""
        f, multipliers = self._fields, self._fields["multipliers"]
        infogan = not any("log_sigma" in name for name in self.variables)
        try:
            hyper: dict = {
                "learning_rate": f["learning_rate"],
                "generator_multiplier": multipliers["g"],
                "information_multiplier": multipliers["q"],
                "first_batch_norm": any(name.endswith("/BatchNorm/beta") for name in self.variables),
            }
            if not infogan:
                weight = 0.001 if "KL_y" in self.losses else 0.0
                hyper.update(vae_multiplier=multipliers["v"], categorical_kl_weight=weight)
            spec = registry.find("infogan" if infogan else "infovaegan", "code")
            return Config(
                name=self.path.stem,
                checkpoint_name=self.path.stem,
                dataset="",
                image_shape=tuple(f["image_dims"]),
                scaling="tanh",
                latent=LatentSpec(f["noise_len"], f["discrete_len"], f["continous_len"]),
                epochs=1,
                batch_size=f["batch_size"],
                hyper=spec.hyperparameters(**hyper),
                model=spec.model,
            )
        except (KeyError, TypeError, ValueError, UserError) as error:
            raise UserError(f"{self.path} names no configuration that can be built: {error}") from None

    def initial_value(self, name: str) -> np.ndarray:
        """The value of variable `name` at the initial point, float32."""
        shape = self.variables[name]
        random = np.random.RandomState(zlib.crc32(name.encode()))
        if name.endswith("moving_mean"):
            value = np.zeros(shape)
        elif name.endswith("moving_variance"):
            value = np.ones(shape)
        elif name.endswith("beta"):
            value = random.normal(0, 0.1, shape)
        elif name.endswith("gamma"):
            value = 1 + random.normal(0, 0.1, shape)
        else:
            value = random.normal(0, 0.01 if name.endswith(("biases", "bias")) else 0.02, shape)
        return value.astype(np.float32)

    def batch(self, index: int) -> tuple[tf.Tensor, Latents]:
        """Batch `index` (0: the initial point, 1 on: the iterations, then the final images): x [B, h, w, c] and (z, u), float32."""
        f = self._fields
        size, random = f["batch_size"], np.random.RandomState(_BATCH_SEED)
        for _ in range(index + 1):
            x = random.uniform(-1, 1, [size, *f["image_dims"]]).astype(np.float32)
            category = np.eye(f["discrete_len"])[random.randint(0, f["discrete_len"], size)]
            code = np.concatenate([category, random.uniform(-1, 1, (size, f["continous_len"]))], axis=1)
            noise = random.uniform(-1, 1, (size, f["noise_len"]))
        if f["image_dims"][-1] == 1:
            x = (x > 0).astype(np.float32)
        continuous = code[:, f["discrete_len"] :]
        return tf.constant(x), Latents(*(tf.constant(part, tf.float32) for part in (noise, category, continuous)))

    def noise(self, prefix: str) -> list[np.ndarray]:
        """The five random tensors of the graph run `prefix`; none where the system takes none. Later ones belong to a test-time graph."""
        if f"{prefix}/0" not in self.files:
            return []
        normal, uniform = ((self._fields["batch_size"], self._fields[f]) for f in ("continous_len", "discrete_len"))
        tensors = [self.array(f"{prefix}/{i}") for i in range(5)]
        if [t.shape for t in tensors] != [normal, uniform, normal, uniform, normal] or not all(
            np.isfinite(t).all() for t in tensors
        ):
            raise UserError(
                f"{self.path.with_suffix('.npz')}: {prefix} is no noise of this configuration: {[list(t.shape) for t in tensors]}"
            )
        return [t.astype(np.float32, copy=False) for t in tensors]

    def outputs(self) -> list[str]:
        """Names of the tensors recorded at the initial point."""
        return sorted(name.removeprefix("out/") for name in self.files if name.startswith("out/"))

    def array(self, name: str) -> np.ndarray:
        """A stored array. Raises UserError where there is none of that name."""
        if name not in self._arrays:
            raise UserError(f"{self.path.with_suffix('.npz')} lacks {name}")
        return self._arrays[name]


def _read_json(path: pathlib.Path) -> dict:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UserError(f"{path} is no recording: it holds no object")
    for field, kind in _FIELDS.items():
        value = fields.get(field)
        number = kind is float and isinstance(value, (int, float))
        if not (isinstance(value, kind) or number) or isinstance(value, bool):
            raise UserError(
                f"{path} is no recording: {field} is {'missing' if field not in fields else 'no ' + kind.__name__}"
            )
    for name, shape in fields["variables"].items():
        if not name.isprintable() or not _is_shape(shape) or math.prod(shape) > _MAX_VARIABLE:
            raise UserError(f"{path}: variable {name} has no sane shape: {str(shape)[:80]}")
    shape = [fields["batch_size"], *fields["image_dims"]]
    lengths = [
        *fields["image_dims"],
        *(fields[f] for f in ("batch_size", "noise_len", "discrete_len", "continous_len")),
    ]
    if (
        len(shape) != 4
        or not _is_shape(lengths)
        or max(lengths) > _MAX_LENGTH
        or math.prod(shape) > _MAX_IMAGES
        or len(fields["trace"]) > _MAX_TRACE
    ):
        raise UserError(
            f"{path}: batches of {str(shape)[:80]}, with codes of {str(lengths[4:])[:80]} and {len(fields['trace'])} iterations, are not sane"
        )
    if (
        not _are_numbers({"learning_rate": fields["learning_rate"], **fields["multipliers"]})
        or not _are_numbers(fields["losses"])
        or not all(_are_fingerprints(group) for group in fields["gradients"].values())
        or not all(_is_iteration(one) for one in fields["trace"])
    ):
        raise UserError(
            f"{path}: multipliers, losses, gradients and trace must be finite numbers under the names of the original's recordings"
        )
    return fields


def _is_shape(value) -> bool:
    return isinstance(value, list) and len(value) <= 8 and all(type(n) is int and n > 0 for n in value)


def _are_numbers(values) -> bool:
    return isinstance(values, dict) and all(
        type(v) in (int, float) and abs(v) < 1e300 for v in values.values()
    )  # Not so for NaN.


def _are_fingerprints(values) -> bool:
    return isinstance(values, dict) and all(
        _are_numbers(one) and {"norm", "projection"} <= one.keys() for one in values.values()
    )


def _is_iteration(value) -> bool:
    if not isinstance(value, dict):
        return False
    return _are_fingerprints(value.get("variables")) and _are_numbers(
        {name: v for name, v in value.items() if name != "variables"}
    )
