"""What the mixture samples, as functions of given noise: masks, Gamma draws and mixing weights.

Sections 2 and 3 of docs/mixture.md.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

INITIAL = {"bernoulli": -math.log(9.0), "concrete": -math.log(9.0), "gaussian": -10.0, "hard": 0.5}
TINY = float(np.finfo(np.float32).tiny)  # The floor under the Gamma draws.
_TEMPERATURE = 0.1
_UNIFORM_FLOOR, _CONCRETE_FLOOR, _MASK_FLOOR = 1e-20, 1e-7, 1e-8
_WEIGHT_FLOOR = 1e-30
_LEAST_KEEP = 0.2  # Of the hard mask.
_CANDIDATES = 12  # For a Gamma draw. The first is rejected in less than 5% of cases, and so are all in less than 1e-15.


class GammaNoise(NamedTuple):
    """The noise of one Gamma draw per value: `normal` [..., 12] ~ N(0, 1) and `uniform` [..., 13] ~ U(0, 1)."""

    normal: tf.Tensor
    uniform: tf.Tensor

    @classmethod
    def sample(cls, shape, seed: tf.Tensor) -> "GammaNoise":
        """The noise of draws of `shape`, as a function of `seed` (int32 [2])."""
        normal_seed, uniform_seed = tfp.random.split_seed(seed, 2)
        return cls(
            tf.random.stateless_normal([*shape, _CANDIDATES], normal_seed),
            tf.random.stateless_uniform([*shape, _CANDIDATES + 1], uniform_seed),
        )

    def draws(self, concentration: tf.Tensor) -> tf.Tensor:
        """Gamma(concentration, 1) for `concentration` [...] >= 0; 0 if float32 underflows. Without a gradient.

        Marsaglia and Tsang 2000: rejection at concentration + 1, then a power of a uniform number. Unlike TensorFlow's
        sampler, it takes its noise as it is given, so that each replica can have its share, and XLA can compile it.
        """
        d = concentration[..., None] + (1.0 - 1.0 / 3.0)
        v = (1.0 + self.normal / tf.sqrt(9.0 * d)) ** 3
        log_v = tf.math.log(tf.maximum(v, TINY))
        bound = 0.5 * tf.square(self.normal) + d * (1.0 - v + log_v)
        accepted = (v > 0.0) & (tf.math.log(self.uniform[..., 1:]) < bound)
        first = tf.argmax(tf.cast(accepted, tf.int32), axis=-1)
        boosted = tf.gather(d * v, first, batch_dims=first.shape.rank)
        return tf.stop_gradient(boosted * tf.exp(tf.math.log(self.uniform[..., 0]) / concentration))


class GivenGamma(NamedTuple):
    """Gamma draws that were made elsewhere, `values` [B, K], instead of noise to make them from."""

    values: tf.Tensor

    def draws(self, concentration: tf.Tensor) -> tf.Tensor:
        """`values`, whatever the concentration."""
        return self.values


@tf.custom_gradient
def reparameterised(concentration: tf.Tensor, draws: tf.Tensor):
    """Give `draws` ~ Gamma(concentration, 1), of any shape, their implicit gradient (Figurnov et al. 2018).

    It is 0 for a draw of 0.
    """

    def gradient(upstream: tf.Tensor):
        slope = tf.raw_ops.RandomGammaGrad(alpha=concentration, sample=draws)
        return upstream * tf.where(draws > 0.0, slope, 0.0), None

    return tf.identity(draws), gradient


def dirichlet(draws: tf.Tensor) -> tf.Tensor:
    """A sample of a Dirichlet distribution, rows on the simplex, from Gamma draws [B, K]; zeros become `TINY`."""
    draws = tf.maximum(draws, TINY)
    return draws / tf.reduce_sum(draws, axis=-1, keepdims=True)


def normalise(weights: tf.Tensor, fallback: tf.Tensor | None = None) -> tf.Tensor:
    """`weights` [B, K] divided by their sums: rows sum to 1.

    A row whose weights all vanish is NaN, as in the original, and where they nearly vanish the gradient overflows. With
    a `fallback` [B, K], which such rows get, the quotient is taken of logarithms, and its gradient is bounded.
    """
    if fallback is None:
        return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)
    vanished = tf.reduce_max(weights, axis=-1, keepdims=True) < _WEIGHT_FLOOR
    return tf.where(vanished, fallback, tf.nn.softmax(tf.math.log(tf.maximum(weights, _WEIGHT_FLOOR))))


def mask_noise(kind: str, shape, seed: tf.Tensor) -> tf.Tensor | None:
    """The noise of a mask of `shape` [B, K], as a function of `seed` (int32 [2]).

    Uniform [B, K, 2] for "bernoulli" and [B, K] for "concrete"; float64 [B, K], normal for "gaussian" and uniform for
    "hard"; None for "none".
    """
    if kind == "none":
        return None
    if kind == "gaussian":
        return tf.random.stateless_normal(shape, seed, dtype=tf.float64)
    if kind == "hard":
        return tf.random.stateless_uniform(shape, seed, dtype=tf.float64)
    return tf.random.stateless_uniform([*shape, 2] if kind == "bernoulli" else shape, seed)


def mask(kind: str, variable: tf.Tensor, noise: tf.Tensor, corrected: bool = False) -> tf.Tensor:
    """A mask [B, K]: how much of each expert's weight remains.

    Args:
        kind: a choice of `MixtureHyperparameters.mask` but "none".
        variable: the original's `dropout`, [1]: the logit of the probability to drop ("bernoulli", "concrete"), the
            scale of the noise ("gaussian"), or the probability to keep ("hard").
        noise: as `mask_noise` gives it.
        corrected: take the variable of "gaussian" as the logarithm of the noise's variance, which its regulariser takes
            it for. The original takes it as the scale, negative as it is.
    """
    if kind == "bernoulli":
        drop = tf.sigmoid(variable)
        gumbel = -tf.math.log(-tf.math.log(noise + _UNIFORM_FLOOR) + _UNIFORM_FLOOR)
        logits = [tf.math.log(drop) + gumbel[..., 0], tf.math.log(1.0 - drop) + gumbel[..., 1]]
        return tf.nn.softmax(tf.stack(logits, axis=-1) / _TEMPERATURE)[..., 1]
    if kind == "concrete":
        drop = tf.sigmoid(variable)
        # In the original's order: where 1 - u is near 0, rounding shows.
        logits = tf.math.log(drop + _CONCRETE_FLOOR) - tf.math.log(1.0 - drop + _CONCRETE_FLOOR)
        logits = logits + tf.math.log(noise + _CONCRETE_FLOOR) - tf.math.log(1.0 - noise + _CONCRETE_FLOOR)
        return (1.0 - tf.sigmoid(logits / _TEMPERATURE)) / (1.0 - drop)
    if kind == "gaussian":
        scale = tf.cast(tf.exp(0.5 * variable) if corrected else variable, tf.float64)
        return tf.clip_by_value(tf.cast(1.0 + scale * noise, tf.float32), _MASK_FLOOR, 1.0 - _MASK_FLOOR)
    kept = noise < tf.cast(keep_probability(variable), tf.float64)
    return tf.clip_by_value(tf.cast(kept, tf.float32), _MASK_FLOOR, 1.0)


def keep_probability(variable: tf.Tensor) -> tf.Tensor:
    """The probability that the hard mask keeps an expert, [1], from the original's `dropout`."""
    return tf.clip_by_value(variable, _LEAST_KEEP, 1.0)


def log_alpha(keep: tf.Tensor) -> tf.Tensor:
    """The logarithm of the variance of dropout's noise at the probability `keep` [1]: ln((1 - keep) / keep)."""
    keep = tf.minimum(keep, 1.0 - _CONCRETE_FLOOR)
    return tf.math.log(1.0 - keep) - tf.math.log(keep)


def experts_in_use(kind: str, sample: tf.Tensor) -> tf.Tensor:
    """How many experts a mask [B, K] leaves at 0.1 or above (0.8 for "gaussian"); the mean over the batch."""
    least = 0.8 if kind == "gaussian" else 0.1
    return tf.reduce_mean(tf.reduce_sum(tf.cast(sample >= least, tf.float32), axis=-1))
