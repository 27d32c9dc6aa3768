"""A system without networks, whose images tell what they were generated from, and noise to encode."""

import types

import numpy as np
import tensorflow as tf

from common.data.dataset import Dataset, Factor, Split
from common.nn.distributions import Posterior, sample_prior
from helpers.systems import make_config


def grey(category: int, codes) -> float:
    """The brightness of all pixels of an image, in [0, 1], by its category and its codes (at most three)."""
    return 0.2 + 0.15 * category + float(np.dot(codes, [0.1, 0.05, 0.02][: len(codes)]))


def fake_system(**changes):
    """With K = 4 and C = 3 unless `changes` says otherwise; `generate` makes images of one brightness, see `grey`.

    It needs no copy for inference: its statistics are moving averages.
    """
    config = make_config(**{"batch_norm": "moving", **changes})
    categories = tf.range(float(config.latent.categories))[:, None]
    weights = tf.constant([[0.1], [0.05], [0.02]])[: config.latent.continuous]

    def generate(latents):
        values = 0.2 + 0.15 * latents.category @ categories + latents.continuous @ weights
        return tf.tile(values[:, None, None], (1, *config.image_shape))

    return types.SimpleNamespace(
        config=config,
        name="fake",
        step=tf.constant(0),
        generate=generate,
        can=lambda capability: capability in ("encode", "sample", "reconstruct"),
        encode=lambda images: Posterior(images[:, 0, :4, 0], images[:, 0, :3, 0]),
        reconstruct=lambda images, seed: images,
        sample_prior=lambda count, seed: sample_prior(config.latent, count, seed),
    )


def fake_dataset() -> Dataset:
    """40 images of noise in each split, with two factors, one of them the class."""
    random = np.random.RandomState(0)
    splits = [
        Split(random.randint(0, 256, (40, 28, 28, 1)).astype(np.uint8), random.randint(0, 2, (40, 2))) for _ in range(2)
    ]
    return Dataset("noise", *splits, (Factor("left", (0, 1)), Factor("right", (0, 1))), "left")
