"""The paper's figures, from a trained system."""

import numpy as np
import tensorflow as tf

from common.models.system import System


def class_grid(system: System, rows: int, seed: int = 0) -> np.ndarray:
    """One column a category, one row a draw of (z, c): images [rows * K, h, w, c], row by row (REFERENCE.md section 7).

    All are generated as one batch, so with batch statistics every category weighs the same in them.
    """
    spec = system.config.latent
    latents = system.draw_latents(tf.constant(seed, tf.int64), rows)
    noise = tf.repeat(latents.noise, spec.categories, axis=0)
    continuous = tf.repeat(latents.code[:, spec.categories:], spec.categories, axis=0)
    category = tf.tile(tf.eye(spec.categories), [rows, 1])
    return system.generate(noise, tf.concat([category, continuous], axis=-1)).numpy()
