"""The images that the paper's figures show, from a trained system.

With batch statistics an image depends on the batch it is generated in, so each function says what that batch is.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from common.evaluation.encode import FIGURES, evaluation_seed
from common.models.system import System
from common.nn.distributions import Latents

ORIGINAL_VALUES = tuple(round(-1 + 0.2 * i, 1) for i in range(10))
KEEP_EVERY = 8  # One image in so many of a mixed batch is kept; the others are random.
_GRID, _FILLER = 1 << 20, 1 << 21  # Numbers of draws that no row of a traversal has.


def sample(system: System, count: int, seed: int, draw: int) -> Latents:
    """Return latents of `count` images from the prior, as numpy arrays; other numbers `draw` give others."""
    return _latents(part.numpy() for part in system.sample_prior(count, evaluation_seed(seed, FIGURES, draw)))


def repeat(latents: Latents, times: int) -> Latents:
    """Each row `times` times in a row."""
    return _latents(np.repeat(part, times, axis=0) for part in latents)


def concatenate(parts: Sequence[Latents]) -> Latents:
    """Return the rows of all `parts`."""
    return _latents(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def with_code(latents: Latents, code: int, values) -> Latents:
    """`latents` with continuous code `code` set to `values`: one for all rows, or one per row."""
    continuous = np.array(latents.continuous)
    continuous[:, code] = values
    return latents._replace(continuous=continuous)


def _latents(parts: Iterable[Any]) -> Latents:
    return Latents(*parts)


def generate(system: System, latents: Latents) -> np.ndarray:
    """Return images [n, h, w, c] of n latents, generated as one batch."""
    return system.generate(Latents(*(tf.constant(part, tf.float32) for part in latents))).numpy()


def class_grid(system: System, rows: int, seed: int = 0) -> np.ndarray:
    """One column per category, one row per sample of (z, c): images [rows * K, h, w, c], row by row.

    All are one batch, so with batch statistics all categories weigh the same (docs/original.md, section 7).
    """
    categories = np.eye(system.config.latent.categories, dtype=np.float32)
    latents = repeat(sample(system, rows, seed, _GRID), len(categories))
    return generate(system, latents._replace(category=np.tile(categories, (rows, 1))))


def traversal(system: System, code: int, values: Sequence[float], draws: int, seed: int = 0) -> np.ndarray:
    """Move continuous code `code` through `values`, with all other latents of a row held.

    Returns:
        Images [draws, values, h, w, c], generated in mixed batches.
    """
    strips = [with_code(_held(system, draw, len(values), seed), code, values) for draw in range(draws)]
    return _generate_strips(system, strips, seed)


def traversal_by_category(system: System, code: int, values: Sequence[float], seed: int = 0) -> np.ndarray:
    """Move continuous code `code` through `values` in each category, with all other latents held.

    Returns:
        Images [K, values, h, w, c], generated in mixed batches.
    """
    strip = with_code(_held(system, 0, len(values), seed), code, values)
    alone = np.eye(system.config.latent.categories, dtype=np.float32)
    strips = [strip._replace(category=np.tile(one, (len(values), 1))) for one in alone]
    return _generate_strips(system, strips, seed)


def original_traversal(system: System, code: int, draws: int, seed: int = 0) -> np.ndarray:
    """Return the original's traversal of code `code` (docs/original.md, section 7): images [draws, 10, h, w, c].

    A row is a batch of random latents of the training size. For each of `ORIGINAL_VALUES` the code is set to it
    throughout the batch, the batch is generated, and its first image is kept. With batch statistics the batch norm
    behind G's first layer removes what the whole batch has in common: all of the change at 28 pixels, where it
    normalises each feature separately, and only the mean over an image's 8x8 positions at 64.
    """
    strips = []
    for draw in range(draws):
        latents = sample(system, system.config.batch_size, seed, draw)
        strips.append([generate(system, with_code(latents, code, value))[0] for value in ORIGINAL_VALUES])
    return np.array(strips)


def category_path(categories: int, between: int) -> np.ndarray:
    """One-hot codes d through all categories in order, with `between` mixtures from one to the next.

    Returns:
        float32 [(K - 1) * (between + 1) + 1, K].
    """
    position = np.linspace(0, categories - 1, (categories - 1) * (between + 1) + 1)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(categories))).astype(np.float32)


def categorical_traversal(system: System, between: int, draws: int, seed: int = 0) -> np.ndarray:
    """Through all categories with (z, c) of a row held: images [draws, points, h, w, c], in mixed batches."""
    path = category_path(system.config.latent.categories, between)
    strips = [_held(system, draw, len(path), seed)._replace(category=path) for draw in range(draws)]
    return _generate_strips(system, strips, seed)


def interpolation(system: System, images: tf.Tensor, pairs: int, points: int, seed: int = 0) -> np.ndarray:
    """Between the codes of two real images: [pairs, points, h, w, c], generated in mixed batches.

    The codes are the encoder's softmax of the logits and mean; the ends are those of images 2 i and 2 i + 1. If the
    system infers z, z is interpolated too; otherwise all points of a pair share a sample of it.

    Args:
        system: one that can "encode" and "sample".
        images: a mixed batch of real images as the networks see them, [B, h, w, c], B of at least 2 * `pairs`.
        pairs: number of pairs.
        points: number of points per pair, both ends included.
        seed: chooses the samples of z.
    """
    posterior = system.encode(images)
    ends = sample(system, 2 * pairs, seed, 0)
    ends = ends._replace(noise=ends.noise[::2].repeat(2, axis=0))  # Both ends of a pair share it.
    if posterior.logits is not None:
        ends = ends._replace(category=tf.nn.softmax(posterior.logits).numpy()[: 2 * pairs])
    if posterior.mean is not None:
        ends = ends._replace(continuous=posterior.mean.numpy()[: 2 * pairs])
    if system.can("infer_noise"):
        ends = ends._replace(noise=system.encode_noise(images).mean.numpy()[: 2 * pairs])
    weight = np.linspace(0, 1, points, dtype=np.float32)[:, None]
    strips = [_latents((1 - weight) * part[2 * i] + weight * part[2 * i + 1] for part in ends) for i in range(pairs)]
    return _generate_strips(system, strips, seed)


def generate_mixed(system: System, latents: Latents, seed: int = 0) -> np.ndarray:
    """Return images [n, h, w, c] of n latents, among random ones.

    With batch statistics each is generated in a batch of the training size of which seven eighths are random, the same
    in every batch: so the statistics are nearly those of training, and nearly the same for all n. With averages an
    image does not depend on its batch, and none is random.
    """
    size = system.config.batch_size
    keep = max(1, size // KEEP_EVERY) if system.config.batch_norm == "batch" else size
    filler = sample(system, size, seed, _FILLER)
    made = []
    for start in range(0, len(latents.noise), keep):
        batch = wanted = _latents(part[start : start + keep] for part in latents)
        count = len(wanted.noise)
        if keep < size:
            batch = concatenate([wanted, _latents(part[: size - count] for part in filler)])
        made.append(generate(system, batch)[:count])
    return np.concatenate(made)


def _held(system: System, draw: int, points: int, seed: int) -> Latents:
    """Return the first latents of a draw, `points` times."""
    return repeat(_latents(part[:1] for part in sample(system, system.config.batch_size, seed, draw)), points)


def _generate_strips(system: System, strips: Sequence[Latents], seed: int) -> np.ndarray:
    """Generate images [strips, points, h, w, c] of strips of latents, [points, ...] each, in mixed batches."""
    images = generate_mixed(system, concatenate(strips), seed)
    return images.reshape(len(strips), -1, *images.shape[1:])
