"""A trained model in use: images of codes, codes of images, reconstructions and traversals; numpy in, numpy out."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from common.config import Config
from common.data.pixels import RANGES
from common.errors import UserError
from common.evaluation.encode import RECONSTRUCTIONS, evaluation_seed, lacks
from common.evaluation.figures import generated
from common.evaluation_options import FigureSettings
from common.models.system import System
from common.nn.distributions import Latents

_DRAW = 1 << 22  # Number of a draw that no figure has.
VALUES = tuple(FigureSettings().values)  # Of a traversal.


class Encoding(NamedTuple):
    """The codes of n images, or of one, without the first axis; None for what the encoder does not have.

    Attributes:
        category: the most likely category, int [n].
        probabilities: of the categories, float32 [n, K].
        continuous: means of the continuous codes, float32 [n, C].
        stddev: their standard deviations, float32 [n, C].
    """

    category: Any
    probabilities: Any
    continuous: Any
    stddev: Any


class TrainedModel:
    """A trained system whose images and codes do not depend on the others of the call. Reconstructions also draw noise.

    Images go in as uint8 from 0 to 255 (0 or 1 for dSprites) or floats from 0 to 1: one image [h, w, c], or n images
    [n, h, w, c]; grey ones also without the last axis. They come out as float32 from 0 to 1.

    Args:
        system: under standing or moving averages.
        source: where its weights are from.
        no_images: why images cannot be encoded; None if they can.

    Attributes:
        system, source, no_images: as given.
        config: the configuration of the run.
    """

    def __init__(self, system: System, source: str, no_images: str | None = None):
        self.system, self.source, self.no_images = system, source, no_images

    def __repr__(self) -> str:
        latent = self.config.latent
        codes = f"{latent.noise} noise, {latent.categories} categories, {latent.continuous} continuous codes"
        return f"<{self.system.name} from {self.source}: {codes}; images {self.config.image_shape}>"

    @property
    def config(self) -> Config:
        """The configuration of the run."""
        return self.system.config

    def draw(
        self,
        count: int | None = None,
        *,
        category: Any = None,
        continuous: Any = None,
        noise: Any = None,
        seed: int = 0,
    ) -> Latents:
        """Return the latents of `count` images: those given, and the others drawn from the prior.

        Args:
            count: n; by default as many as are given, or 1.
            category: one number for all images, one per image [n], or weights [K] or [n, K].
            continuous: values [C] for all images, or [n, C].
            noise: values [Z] for all images, or [n, Z].
            seed: chooses what is drawn.

        Returns:
            `noise` [n, Z], `category` [n, K] and `continuous` [n, C], float32.

        Raises:
            UserError: the model does not generate images, or a given array does not fit.
        """
        self._require("sample")
        if category is not None and np.asarray(category).dtype.kind in "iu":
            category = self._one_hot(np.asarray(category))
        given = {"category": category, "continuous": continuous, "noise": noise}
        given = {name: value for name, value in given.items() if value is not None}
        if count is None:
            count = max([1, *(len(value) for value in given.values() if np.ndim(value) == 2)])
        if count < 1:
            raise UserError(f"count must be at least 1, got {count}")
        lengths = dataclasses.asdict(self.config.latent)
        lengths["category"] = lengths.pop("categories")
        rows = {name: _rows(value, name, count, lengths[name]) for name, value in given.items()}
        return generated.sample(self.system, count, seed, _DRAW)._replace(**rows)

    def generate(self, latents: Latents | int | None = None, **codes: Any) -> np.ndarray:
        """Return images [n, h, w, c] of latents, or of n that are drawn: `generate(n, ...)` as in `draw(n, ...)`."""
        self._require("sample")
        latents = latents if isinstance(latents, Latents) else self.draw(latents, **codes)
        return self._unit(generated.generate_all(self.system, latents))

    def encode(self, images: Any) -> Encoding:
        """Return the codes of one image or of n. Raises UserError if the images do not fit the model."""
        inputs, alone = self._inputs(images, "encode")
        parts = [self.system.encode(batch) for batch in self._batches(inputs)]
        logits, mean, stddev = (
            None if part[0] is None else np.concatenate([np.asarray(p) for p in part])
            for part in zip(*parts, strict=True)
        )
        weights = None if logits is None else tf.nn.softmax(logits).numpy()
        codes = Encoding(None if logits is None else logits.argmax(axis=1), weights, mean, stddev)
        return Encoding(*(part[0] if alone and part is not None else part for part in codes))

    def reconstruct(self, images: Any, seed: int = 0) -> np.ndarray:
        """Return one image or n, decoded from their codes; `seed` chooses the noise, if there is any."""
        inputs, alone = self._inputs(images, "reconstruct")
        made = [
            self.system.reconstruct(batch, evaluation_seed(seed, RECONSTRUCTIONS, number)).numpy()
            for number, batch in enumerate(self._batches(inputs))
        ]
        result = self._unit(np.concatenate(made))
        return result[0] if alone else result

    def traverse(
        self, code: int | str, values: Sequence[float] = VALUES, *, images: Any = None, count: int = 5, **codes: Any
    ) -> np.ndarray:
        """Move one code and hold all other latents of a row.

        Args:
            code: number of a continuous code, or "category" to go through all categories.
            values: of the continuous code.
            images: images whose codes the rows start from: one row per image; by default latents are drawn.
            count: number of rows that are drawn.
            **codes: latents that are given or a seed, as in `draw`.

        Returns:
            Images [rows, values, h, w, c]; without the first axis for one image [h, w, c].

        Raises:
            UserError: the model does not have the code, or images do not fit it.
        """
        self._require("sample")
        start, alone = self._start_at(images, codes) if images is not None else (self.draw(count, **codes), False)
        points = self.config.latent.categories if code == "category" else len(values)
        latents = generated.repeat(start, points)
        if code == "category":
            self._require("category")
            latents = latents._replace(category=np.tile(np.eye(points, dtype=np.float32), (len(start.noise), 1)))
        elif isinstance(code, int | np.integer) and 0 <= code < self.config.latent.continuous:
            latents = generated.with_code(latents, code, np.tile(values, len(start.noise)))
        else:
            known = f"a number below {self.config.latent.continuous}, or 'category'"
            raise UserError(f"there is no code {code!r}: it must be {known}")
        made = self.generate(latents).reshape(len(start.noise), points, *self.config.image_shape)
        return made[0] if alone else made

    def export(self, folder: Any) -> list[str]:
        """Write the networks for other programs, as `common.evaluation.export.export` does; return the names."""
        from common.evaluation.export import export

        return export(self, folder)

    def _start_at(self, images: Any, codes: dict[str, Any]) -> tuple[Latents, bool]:
        """Return latents at the codes of images, and whether there is one image without a first axis."""
        inputs, alone = self._inputs(images, "encode")
        code = self.encode(images if not alone else np.asarray(images)[None])
        found = {"category": code.probabilities, "continuous": code.continuous}
        if self.system.can("infer_noise"):
            found["noise"] = np.concatenate([self.system.encode_noise(b).mean.numpy() for b in self._batches(inputs)])
        own = {name: value for name, value in found.items() if value is not None}
        return self.draw(len(inputs), **{**own, **codes}), alone

    def _inputs(self, images: Any, need: str) -> tuple[tf.Tensor, bool]:
        """Return images as the networks see them, and whether it is one without a first axis."""
        self._require(need)
        if self.no_images:
            raise UserError(self.no_images)
        return to_network(images, self.config)

    def _batches(self, inputs: tf.Tensor) -> Iterator[tf.Tensor]:
        size = self.config.batch_size
        return (inputs[start : start + size] for start in range(0, len(inputs), size))

    def _one_hot(self, category: np.ndarray) -> np.ndarray:
        categories = self.config.latent.categories
        if not np.all((category >= 0) & (category < categories)):
            raise UserError(f"category must be from 0 to {categories - 1}, got {category.tolist()}")
        return np.eye(categories, dtype=np.float32)[category]

    def _require(self, need: str) -> None:
        missing = lacks(self.system, need)
        if missing:
            raise UserError(missing)

    def _unit(self, images: np.ndarray) -> np.ndarray:
        return RANGES[self.config.scaling].to_unit(images)


def to_network(images: Any, config: Config) -> tuple[tf.Tensor, bool]:
    """Return images as the networks of `config` see them, float32 [n, h, w, c], and whether they were one, [h, w, c].

    Args:
        images: see `TrainedModel`.
        config: gives shape and range.

    Raises:
        UserError: they are something else, or have another shape or range.
    """
    array, shape = np.asarray(images), tuple(config.image_shape)
    if array.dtype.kind not in "fu" or (array.dtype.kind == "u" and array.dtype != np.uint8):
        got = type(images).__name__ if array.dtype.kind in "USO" else str(array.dtype)
        raise UserError(f"images must be an array of uint8 or of floats from 0 to 1, got {got}")
    if shape[-1] == 1 and array.shape[-2:] == shape[:2] and array.shape[-3:] != shape:
        array = array[..., None]
    alone = array.shape == shape
    array = array[None] if alone else array
    if array.shape[1:] != shape or not len(array):
        raise UserError(
            f"images must be {list(shape)}, or [n, {', '.join(map(str, shape))}], got {list(np.shape(images))}"
        )
    pixels = RANGES[config.scaling]
    if array.dtype == np.uint8:
        if array.max() > pixels.highest:
            raise UserError(f"uint8 pixels of {config.dataset} must be from 0 to {pixels.highest}, got {array.max()}")
        return tf.constant(pixels.to_network(array.astype(np.float32)), tf.float32), alone
    if not np.all((array >= 0) & (array <= 1)):  # Also if they are not finite.
        raise UserError(f"floats must be from 0 to 1, got {array.min():.4g} to {array.max():.4g}; or give uint8")
    return tf.constant(pixels.from_unit(array), tf.float32), alone


def _rows(value: Any, name: str, count: int, length: int) -> np.ndarray:
    """Return a given latent as float32 [count, length]. Raises UserError if it does not fit."""
    try:
        array = np.asarray(value, np.float32)
        if array.shape in ((length,), (1, length), (count, length)) and length and np.isfinite(array).all():
            return np.broadcast_to(array, (count, length)).copy()
    except (TypeError, ValueError):
        pass
    raise UserError(f"{name} must be finite numbers [{length}] or [{count}, {length}], got {list(np.shape(value))}")
