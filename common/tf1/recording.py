"""Recordings of the original's graph under TF1, as files: `<name>.json` with `<name>.npz` next to it.

The .json holds the configuration, variables, losses, gradients and a trace of iterations; the .npz holds tensors.
Initial variables and batches are not stored: they follow from seeds of numpy's legacy generator, which is stable.
"""

import json
import math
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.errors import UserError
from common.io.npz import read_npz

BATCH_SEED = 20201120  # Of the inputs of all points of a recording, in order.
_PROJECTION_KEY = 0x5BD1E995
_MAX_BYTES = 1 << 30
_MAX_VARIABLE = 1 << 25  # Values of one variable; the original's largest has 2^23.
_MAX_IMAGES = 1 << 24  # Values of one batch of images; the original's have less than 2^20.
_MAX_LENGTH = 1 << 12  # Of a batch, an axis or a code.
_MAX_TRACE = 100  # Iterations.
_FIELDS = {"image_dims": list, "variables": dict, "losses": dict, "gradients": dict, "trace": list}
# (mean, stddev) of the normal distribution of an initial variable, by the last part of its name.
_INITIAL = {
    "moving_mean": (0.0, 0.0),
    "moving_variance": (1.0, 0.0),
    "beta": (0.0, 0.1),
    "gamma": (1.0, 0.1),
    "biases": (0.0, 0.01),
    "bias": (0.0, 0.01),
}


def projection(name: str, value: np.ndarray) -> float:
    """Return a fingerprint: the float64 dot product with a normal vector that the variable's name seeds."""
    direction = np.random.RandomState(zlib.crc32(name.encode()) ^ _PROJECTION_KEY).normal(0, 1, value.size)
    return float(np.dot(direction, value.astype(np.float64).ravel()))


def initial_value(name: str, shape: list[int], special: Mapping[str, tuple[float, float]] | None = None) -> np.ndarray:
    """Return the float32 value of variable `name` at the initial point.

    `special` has (mean, stddev) by the last part of a name, for names that the other families do not have.
    """
    mean, stddev = {**_INITIAL, **(special or {})}.get(name.split("/")[-1], (0.0, 0.02))
    return np.random.RandomState(zlib.crc32(name.encode())).normal(mean, stddev, shape).astype(np.float32)


class Recording:
    """One recording. Raises UserError if a file is missing or damaged, or its values are implausible.

    Attributes:
        fields: everything in the .json; what only one family has is not checked.
        batch_shape: [B, ...], the shape of a batch of images.
        variables: TF1 name -> shape.
        losses: name -> value at the initial point.
        gradients: loss -> TF1 name -> {"norm", "projection"} at the initial point.
        trace: for each iteration its losses and, under "variables", the norm and projection of each variable after it.
        final_losses: name -> value after the last iteration; empty in some families.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.fields = _read_json(path)
        self.batch_shape = [self.length("batch_size"), *self.fields["image_dims"]]
        if not _is_shape(self.batch_shape, _MAX_IMAGES) or len(self.fields["trace"]) > _MAX_TRACE:
            raise UserError(f"{path}: implausible image_dims or number of iterations")
        self.variables, self.losses = self.fields["variables"], self.fields["losses"]
        self.gradients, self.trace = self.fields["gradients"], self.fields["trace"]
        if "gradients_reparameterised" in self.fields:
            self.gradients = {**self.gradients, "loss_reparameterised": self.fields["gradients_reparameterised"]}
        self.final_losses = self.fields.get("losses_final", {})
        self._npz = path.with_suffix(".npz")
        self._arrays = read_npz(self._npz, _MAX_BYTES)
        for name, array in self._arrays.items():
            if array.dtype.kind != "f" or array.ndim == 0 or array.size == 0:
                raise UserError(f"{self._npz}: {name} is {array.dtype} {list(array.shape)}, not a recorded tensor")

    def length(self, field: str) -> int:
        """Return a field that is a length. Raises UserError if it is missing or implausible."""
        value = self.fields.get(field)
        if type(value) is not int or not 0 < value <= _MAX_LENGTH:
            raise UserError(f"{self.path} is not a recording: {field} is {str(value)[:80]}, should be a length")
        return value

    def number(self, field: str) -> float:
        """Return a field that is a number. Raises UserError if it is missing or not finite."""
        value = self.fields.get(field)
        if not _are_numbers({field: value}):
            raise UserError(f"{self.path} is not a recording: {field} is {str(value)[:80]}, should be a number")
        return float(value)

    def names(self, prefix: str) -> list[str]:
        """Return the names of the stored arrays that begin with `prefix`, without it."""
        return sorted(name.removeprefix(prefix) for name in self._arrays if name.startswith(prefix))

    def array(self, name: str) -> np.ndarray:
        """Return a stored array. Raises UserError if there is none of that name."""
        if name not in self._arrays:
            raise UserError(f"{self._npz} lacks {name}")
        return self._arrays[name]

    def arrays(self, names: list[str], shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
        """Stored noise as float32. Raises UserError unless it is finite and of these shapes."""
        found = [self.array(name) for name in names]
        if [a.shape for a in found] != shapes or not all(np.isfinite(a).all() for a in found):
            raise UserError(f"{self._npz}: {names[0]} does not match this configuration: {list(found[0].shape)}")
        return [a.astype(np.float32, copy=False) for a in found]


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UserError(f"{path} is not a recording: it should hold an object")
    for field, kind in _FIELDS.items():
        if not isinstance(fields.get(field), kind):
            raise UserError(f"{path} is not a recording: {field} is missing or not a {kind.__name__}")
    for name, shape in fields["variables"].items():
        if not name.isprintable() or not _is_shape(shape, _MAX_VARIABLE):
            raise UserError(f"{path}: variable {name} has an implausible shape: {str(shape)[:80]}")
    for iteration in fields["trace"]:
        if not isinstance(iteration, dict):
            raise UserError(f"{path}: an iteration of the trace is not an object")
    prints = [
        *fields["gradients"].values(),
        fields.get("gradients_reparameterised", {}),
        *(one.get("variables") for one in fields["trace"]),
    ]
    losses = [
        fields["losses"],
        fields.get("losses_final", {}),
        *({k: v for k, v in one.items() if k != "variables"} for one in fields["trace"]),
    ]
    if not all(map(_are_numbers, losses)) or not all(map(_are_fingerprints, prints)):
        raise UserError(f"{path}: losses, gradients and trace must be finite numbers by name")
    return fields


def _is_shape(value, most: int) -> bool:
    """Return whether `value` is a shape of at most `most` values."""
    plausible = isinstance(value, list) and len(value) <= 8 and all(type(n) is int and n > 0 for n in value)
    return plausible and math.prod(value) <= most


def _are_numbers(values) -> bool:
    numbers = isinstance(values, dict) and all(type(v) in (int, float) for v in values.values())
    return numbers and all(abs(v) < 1e300 for v in values.values())  # Not so for NaN.


def _are_fingerprints(values) -> bool:
    return isinstance(values, dict) and all(
        _are_numbers(one) and {"norm", "projection"} <= one.keys() for one in values.values()
    )
