"""The images that the paper's figures show, from a trained system.

With batch statistics an image depends on the batch it is generated in, so each function says what that batch is.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from common.models.system import System
from common.nn.distributions import Latents
from common.options import STRIPS

PROTOCOL_VALUES = tuple(round(-1 + 0.2 * i, 1) for i in range(10))
SHARE = 8  # Of a mixed batch, one in `SHARE` is an image that is wanted; the others are random.


def class_grid(system: System, rows: int, seed: int = 0) -> np.ndarray:
    """One column a category, one row a draw of (z, c): images [rows * K, h, w, c], row by row (REFERENCE.md section 7).

    All are generated as one batch, so with batch statistics every category weighs the same in them.
    """
    spec = system.config.latent
    latents = system.sample_latents(tf.constant(seed, tf.int64), rows)
    noise = tf.repeat(latents.noise, spec.categories, axis=0)
    continuous = tf.repeat(latents.continuous, spec.categories, axis=0)
    category = tf.tile(tf.eye(spec.categories), [rows, 1])
    return system.generate(Latents(noise, category, continuous)).numpy()


def draw(system: System, number: int, size: int, seed: int = 0) -> Latents:
    """The z and u of draw `number` in [0, 64) of `seed`, for a batch of `size`."""
    return system.sample_latents(tf.constant(seed * STRIPS + number, tf.int64), size)


def traversal(system: System, code: int, values: Sequence[float], draws: Sequence[int], seed: int = 0) -> np.ndarray:
    """Continuous code `code` through `values` with all else of each draw of (z, u) held: images [draws, values, h, w, c], in mixed batches."""
    strips = []
    for number in draws:
        noise, codes = _held(system, number, len(values), seed)
        codes[:, system.config.latent.categories + code] = values
        strips.append((noise, codes))
    return _generate_strips(system, strips, seed)


def original_traversal(system: System, code: int, draws: Sequence[int], seed: int = 0) -> np.ndarray:
    """The original's traversal of continuous code `code` (REFERENCE.md section 7): images [draws, 10, h, w, c].

    A draw is a batch of random (z, u) of the training size. For each of `PROTOCOL_VALUES` the code is set to it throughout the batch, the
    batch is generated, and its first image is kept. With batch statistics the batch norm behind G's first layer takes away what
    the whole batch has in common: all of the change with 28 pixels, where it normalises each feature apart, and only the mean over an
    image's 8x8 positions with 64.
    """
    column = system.config.latent.categories + code
    strips = []
    for number in draws:
        noise, codes = (part.numpy() for part in draw(system, number, system.config.batch_size, seed))
        strip = []
        for value in PROTOCOL_VALUES:
            codes[:, column] = value
            strip.append(system.generate(tf.constant(noise), tf.constant(codes))[0].numpy())
        strips.append(strip)
    return np.array(strips)


def category_path(categories: int, between: int) -> np.ndarray:
    """The codes d on the way through all categories in order: [(K - 1) * (between + 1) + 1, K], `between` mixtures from one to the next."""
    position = np.linspace(0, categories - 1, (categories - 1) * (between + 1) + 1)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(categories))).astype(np.float32)


def categorical_traversal(system: System, between: int, draws: Sequence[int], seed: int = 0) -> np.ndarray:
    """The way through all categories with the (z, c) of each draw held: images [draws, points, h, w, c], generated in mixed batches."""
    path = category_path(system.config.latent.categories, between)
    strips = []
    for number in draws:
        noise, codes = _held(system, number, len(path), seed)
        codes[:, : path.shape[1]] = path
        strips.append((noise, codes))
    return _generate_strips(system, strips, seed)


def interpolation(system: System, images: tf.Tensor, pairs: int, points: int, seed: int = 0) -> np.ndarray:
    """On the way between the codes of two real images: [pairs, points, h, w, c], generated in mixed batches.

    The codes are what the encoder says of an image, (softmax of the logits, mean); the ends are those of images 2 i and 2 i + 1. A system
    that infers z has it go from end to end too; otherwise all points of a pair share one draw of it.

    Args:
        system: the trained system.
        images: a mixed batch of real images as the networks see them, [B, h, w, c], B of at least 2 * `pairs`.
    """
    posterior, inferred = system.encode(images), system.encode_noise(images)
    codes = tf.concat([tf.nn.softmax(posterior.logits), posterior.mean], axis=-1).numpy()
    if inferred is None:
        noise = [draw(system, i % STRIPS, 1, seed).noise.numpy().repeat(points, axis=0) for i in range(pairs)]
    else:
        noise = _ways(inferred.mean.numpy(), pairs, points)
    return _generate_strips(system, list(zip(noise, _ways(codes, pairs, points))), seed)


def _ways(ends: np.ndarray, pairs: int, points: int) -> list[np.ndarray]:
    """From row 2 i to row 2 i + 1 of [B, n] in equal steps, for each pair: [points, n]."""
    share = np.linspace(0, 1, points, dtype=np.float32)[:, None]
    return [(1 - share) * ends[2 * i] + share * ends[2 * i + 1] for i in range(pairs)]


def generate_mixed(system: System, noise: np.ndarray, code: np.ndarray, seed: int = 0) -> np.ndarray:
    """G(z, u) of each of n given latents, [n, Z] and [n, K+C] -> [n, h, w, c], amid random ones.

    Each is generated in a batch of the training size of which seven eighths are random draws, the same in every batch: so the
    batch statistics are nearly those of training, and nearly the same for all n.
    """
    size = system.config.batch_size
    share = max(1, size // SHARE)
    others = draw(system, STRIPS - 1, size, seed)
    made = []
    for start in range(0, len(noise), share):
        wanted = slice(start, start + share)
        count = len(noise[wanted])
        batch = [
            tf.concat([given[wanted], other[: size - count]], axis=0) for given, other in zip((noise, code), others)
        ]
        made.append(system.generate(*batch)[:count].numpy())
    return np.concatenate(made)


def _held(system: System, number: int, points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The first z and u of a draw, `points` times: [points, Z] and [points, K+C]."""
    noise, codes = (
        part[:1].numpy().repeat(points, axis=0) for part in draw(system, number, system.config.batch_size, seed)
    )
    return noise, codes


def _generate_strips(system: System, strips: Sequence[tuple[np.ndarray, np.ndarray]], seed: int) -> np.ndarray:
    """Strips of z and u [points, ...] each to images [strips, points, h, w, c], in mixed batches."""
    noise, codes = (np.concatenate(parts) for parts in zip(*strips))
    made = generate_mixed(system, noise, codes, seed)
    return made.reshape(len(strips), -1, *made.shape[1:])
