"""What a run computes: its model, data and hyper-parameters, as frozen dataclasses. Does not import TensorFlow."""

import dataclasses
import json
import math
import types
import typing
from typing import Any

from common.errors import UserError

SCALINGS = ("unit", "tanh", "binary", "signed")
PRECISIONS = ("float32", "bfloat16")
BATCH_NORMS = ("batch", "moving", "standing")
_MAX_LENGTH = 1 << 14  # Of an axis or a code: larger values in a damaged file would exhaust memory.


@dataclasses.dataclass(frozen=True)
class LatentSpec:
    """The lengths of the generator's inputs: noise z, a categorical code d, continuous codes c. Any may be 0.

    u = concat(d, c) (docs/original.md, section 1).
    """

    noise: int = 100
    categories: int = 10
    continuous: int = 10

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            _require(0 <= value <= _MAX_LENGTH, field.name, value, f"from 0 to {_MAX_LENGTH}")
        _require(self.categories != 1, "categories", self.categories, "0 or at least 2")

    @property
    def code(self) -> int:
        """The length of u = concat(d, c)."""
        return self.categories + self.continuous


@dataclasses.dataclass(frozen=True)
class Config:
    """Every setting that decides what a run computes. The scripts give one each; flags change it.

    Attributes:
        name: the script's name, and that of its folders under results/ and models/.
        checkpoint_name: the name that the original gave its checkpoints.
        dataset: a module of `common.data`.
        image_shape: (height, width, channels).
        scaling: how stored pixels become x: "unit" x/255, "tanh" x/127.5 - 1, "binary" {0, 1} as they are, "signed"
            {0, 1} as {-1, 1}.
        latent: the lengths of z, d and c.
        epochs, batch_size: the length of training and the size of its steps.
        hyper: the hyper-parameters of the system, a dataclass of its own (`common.models.registry`).
        model, variant: the system ("code" is what the original scripts compute).
        batch_norm: the statistics that inference normalises with: of each "batch", as the original does; the "moving"
            averages of training; or "standing" ones, averaged after training at fixed weights.
        precision: dtype in which the networks compute; variables, losses, heads and statistics are float32 in any case.
        sync_batch_norm: whether several devices share their batch statistics.
        steps_per_epoch: None for as many whole batches as the data has.
        test_fraction: the fraction of images of one's own that are test images, unless folders say which
            (`common.data.images`).
        seed: everything random is a function of it and of the step or epoch.
    """

    name: str
    checkpoint_name: str
    dataset: str
    image_shape: tuple[int, int, int]
    scaling: str
    latent: LatentSpec
    epochs: int
    batch_size: int
    hyper: Any
    model: str = "infovaegan"
    variant: str = "code"
    batch_norm: str = "batch"
    precision: str = "float32"
    sync_batch_norm: bool = False
    steps_per_epoch: int | None = None
    test_fraction: float = 0.1
    seed: int = 1

    def __post_init__(self):
        for field in ("epochs", "steps_per_epoch"):
            value = getattr(self, field)
            _require(value is None or value >= 1, field, value, "at least 1")
        # Batch statistics of a single image say nothing about it: every feature would be normalised to zero.
        _require(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2, since batch norm needs a batch")
        _require(0 <= self.test_fraction < 1, "test_fraction", self.test_fraction, "at least 0 and below 1")
        _require(0 <= self.seed < 2**31, "seed", self.seed, "in [0, 2^31)")
        sizes = len(self.image_shape) == 3 and all(0 < n <= _MAX_LENGTH for n in self.image_shape)
        _require(sizes, "image_shape", self.image_shape, "height, width and channels")
        for field, choices in (("scaling", SCALINGS), ("precision", PRECISIONS), ("batch_norm", BATCH_NORMS)):
            _require(getattr(self, field) in choices, field, getattr(self, field), f"one of {', '.join(choices)}")

    @property
    def symmetric(self) -> bool:
        """Whether x is from -1 to 1, instead of 0 to 1."""
        return self.scaling in ("tanh", "signed")

    def to_dict(self) -> dict[str, Any]:
        """Return this configuration as JSON-ready values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def _require(holds: bool, field: str, value, what: str) -> None:
    if not holds:
        raise UserError(f"--{field.replace('_', '-')} must be {what}, got {value}")


def from_plain(cls: type, values: dict[str, Any]):
    """Return a frozen dataclass from untrusted values by field name.

    Raises:
        ValueError: a field is unknown or missing, or a value is not of its field's type.
        UserError: a value is out of range.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name in values.keys() ^ fields.keys():
        raise ValueError(f"{str(name)[:80]} is {'unknown' if name in values else 'missing'}")
    for name, value in values.items():
        if not _fits(fields[name].type, value):
            raise ValueError(f"{name} is {str(value)[:80]}")
    return cls(**values)


def _fits(kind, value) -> bool:
    """Return whether `value` is of the annotated type `kind`; finite if it is a number."""
    if kind is Any:
        return True
    if isinstance(kind, types.UnionType):
        return any(_fits(member, value) for member in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        members = typing.get_args(kind)
        return isinstance(value, tuple) and len(value) == len(members) and all(map(_fits, members, value))
    if kind in (int, float):
        return (
            isinstance(value, int if kind is int else (int, float))
            and not isinstance(value, bool)
            and math.isfinite(value)
        )
    return isinstance(value, type(None) if kind is None else kind)
