"""Priors and posteriors of the codes as TFP distributions; samples as functions of given noise; divergences.

Samples take their noise as an argument: training derives it from (seed, step), and a recording of the original replays
its own, so that the code that is compared with the original is the code that trains.
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from common.config import LatentSpec

tfd = tfp.distributions

TEMPERATURE = 0.1  # Of the relaxed one-hot categorical.
_PROBABILITY_FLOOR = 1e-10  # The original's guards against log(0).
_UNIFORM_FLOOR = 1e-20
_VARIANCE_FLOOR = 1e-8


class Latents(NamedTuple):
    """The generator's inputs: `noise` z [B, Z], `category` d [B, K], `continuous` codes c [B, C]; each may be empty."""

    noise: tf.Tensor
    category: tf.Tensor
    continuous: tf.Tensor

    @property
    def code(self) -> tf.Tensor:
        """U = concat(d, c), [B, K+C]."""
        return tf.concat([self.category, self.continuous], axis=-1)


class PosteriorNoise(NamedTuple):
    """The noise of one posterior sample: `normal` [B, C] ~ N(0, 1) and `uniform` [B, K] ~ U(0, 1)."""

    normal: tf.Tensor
    uniform: tf.Tensor


class Posterior(NamedTuple):
    """The encoder's outputs, the parameters of q(u|x); None for what an encoder does not have.

    Attributes:
        logits: of the category, [B, K].
        mean: of the continuous codes, [B, C].
        stddev: of the continuous codes, [B, C]; None if they are deterministic, as in InfoGAN.
    """

    logits: Any = None  # Tensors, or None.
    mean: Any = None
    stddev: Any = None

    def categorical(self, temperature: float = TEMPERATURE) -> Any:
        """q(d|x), relaxed, with the original's floor under the probabilities."""
        return tfd.RelaxedOneHotCategorical(
            temperature, logits=tf.math.log(tf.nn.softmax(self.logits) + _PROBABILITY_FLOOR)
        )

    def sample_categorical(self, uniform: tf.Tensor, temperature: float = TEMPERATURE) -> tf.Tensor:
        """Return a Gumbel-softmax sample: `uniform` [B, K] in [0, 1) -> [B, K], rows on the simplex, soft.

        Without a category, K is 0.
        """
        if self.logits is None:
            return uniform
        relaxed = self.categorical(temperature)
        gumbel = -tf.math.log(-tf.math.log(uniform + _UNIFORM_FLOOR) + _UNIFORM_FLOOR)
        return tf.nn.softmax((relaxed.logits + gumbel) / relaxed.temperature)

    def sample_continuous(self, normal: tf.Tensor) -> tf.Tensor:
        """Return a reparameterised sample, mean + stddev * normal, [B, C]; `mean` if there is no `stddev`."""
        return self.mean if self.stddev is None else self.mean + self.stddev * normal

    def sample(self, noise: PosteriorNoise) -> tf.Tensor:
        """Return a sample of u = concat(d, c), [B, K+C]."""
        return tf.concat([self.sample_categorical(noise.uniform), self.sample_continuous(noise.normal)], axis=-1)


class NoisePosterior(NamedTuple):
    """q(z|x) of the paper's variant (docs/original.md, section 8): Normals of `mean` [B, Z] and `stddev` [B, Z]."""

    mean: tf.Tensor
    stddev: tf.Tensor

    def sample(self, normal: tf.Tensor) -> tf.Tensor:
        """Return a reparameterised sample: mean + stddev * normal, [B, Z]."""
        return self.mean + self.stddev * normal


def priors(spec: LatentSpec, noise: str = "uniform") -> dict[str, Any]:
    """Return the priors of one image's latents: d ~ Cat(K, 1/K) as one-hot, c ~ U(-1, 1)^C, z ~ U(-1, 1)^Z (section 1).

    With `noise="normal"`, z ~ N(0, I), as in the paper (section 8). Empty latents have no entry.
    """
    unit = tfd.Normal(0.0, 1.0) if noise == "normal" else tfd.Uniform(-1.0, 1.0)
    every = {
        "category": lambda n: tfd.OneHotCategorical(logits=tf.zeros(n), dtype=tf.float32),
        "continuous": lambda n: tfd.Sample(tfd.Uniform(-1.0, 1.0), n),
        "noise": lambda n: tfd.Sample(unit, n),
    }
    lengths = {"category": spec.categories, "continuous": spec.continuous, "noise": spec.noise}
    return {name: every[name](length) for name, length in lengths.items() if length}


def sample_prior(spec: LatentSpec, batch_size: int, seed: tf.Tensor, noise: str = "uniform") -> Latents:
    """Sample the latents of `batch_size` images, as a function of `seed` (int32 [2]); `noise` as in `priors`."""
    seeds = dict(zip(("category", "continuous", "noise"), tfp.random.split_seed(seed, 3), strict=True))
    samples = {name: prior.sample(batch_size, seed=seeds[name]) for name, prior in priors(spec, noise).items()}
    return Latents(*(samples.get(name, tf.zeros([batch_size, 0])) for name in Latents._fields))


def sample_noise(spec: LatentSpec, batch_size: int, seed: tf.Tensor) -> PosteriorNoise:
    """Return the noise of one posterior sample of `batch_size` images, as a function of `seed` (int32 [2])."""
    seeds = tfp.random.split_seed(seed, 2)
    return PosteriorNoise(
        tfd.Normal(0.0, 1.0).sample([batch_size, spec.continuous], seed=seeds[0]),
        tfd.Uniform(0.0, 1.0).sample([batch_size, spec.categories], seed=seeds[1]),
    )


def kl_continuous(posterior: Posterior | NoisePosterior) -> tf.Tensor:
    """KL(N(mean, stddev^2) || N(0, I)) of each image, [B], with the original's 1e-8 added to the variance in the log.

    It is KL_c, although c is sampled from U(-1, 1): a quirk of the original (docs/original.md, sections 1 and 3).
    """
    variance = tf.square(posterior.stddev)
    return 0.5 * tf.reduce_sum(
        tf.square(posterior.mean) + variance - tf.math.log(_VARIANCE_FLOOR + variance) - 1.0, axis=-1
    )


def log_normal(value: tf.Tensor, posterior: Posterior | NoisePosterior) -> tf.Tensor:
    """Log N(value; mean, stddev^2) of each image, [B], in nats, for `value` [B, n]: the part of c in eq. 11."""
    variance = _VARIANCE_FLOOR + tf.square(posterior.stddev)
    return -0.5 * tf.reduce_sum(
        tf.square(value - posterior.mean) / variance + tf.math.log(2.0 * math.pi * variance), axis=-1
    )


def code_entropy(spec: LatentSpec) -> float:
    """H(u) = H(d) + H(c) of the priors, in nats, the constant of eq. 11: log K + C log 2, for c ~ U(-1, 1)."""
    return math.log(max(spec.categories, 1)) + spec.continuous * math.log(2.0)


def kl_categorical(logits: tf.Tensor | None) -> tf.Tensor:
    """KL(q(d|x) || Cat(K, 1/K)) of each image, [B], from logits [B, K]; one 0 if there are none."""
    if logits is None:
        return tf.zeros([1])
    p = tf.nn.softmax(logits)
    return tf.reduce_sum(p * (tf.math.log(p + _PROBABILITY_FLOOR) + tf.math.log(float(p.shape[-1]))), axis=-1)
