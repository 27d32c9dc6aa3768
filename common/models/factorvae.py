"""FactorVAE (Kim & Mnih 2018)."""

from typing import Any, NamedTuple

import tensorflow as tf

from common.config import Config
from common.models.vae import LOSSES, VariationalSystem
from common.nn import losses
from common.nn.distributions import Posterior, PosteriorNoise, kl_continuous, sample_noise
from common.nn.optimizers import TF1Adam
from common.nn.vae_networks import build_code_discriminator, build_conv_decoder, build_conv_encoder

_NOISE, _ORDER = 0, 1  # Folded into a step's seed.


class FactorRandom(NamedTuple):
    """The randomness of a step: the posterior `noise`, and the `order` [B, C] that permutes codes within the batch."""

    noise: PosteriorNoise
    order: tf.Tensor


class FactorVAE(VariationalSystem):
    """A VAE that also pays gamma times the total correlation of its codes, KL(q(c) || prod_j q(c_j)).

    A discriminator D tells codes from permuted ones, each code permuted within the batch by itself. Its logit estimates
    the log density ratio, whose mean is the total correlation: E_q(c) log(D / (1 - D)). Both gradients of a step are
    taken at the same parameters and on the same batch (algorithm 2 permutes the codes of a second batch).
    """

    def __init__(self, config: Config, training: bool = True):
        hyper = config.hyper
        adam = TF1Adam(
            hyper.discriminator_rate, hyper.discriminator_beta1, hyper.discriminator_beta2, hyper.adam_epsilon
        )
        super().__init__(
            config,
            networks={
                "encoder": build_conv_encoder(config),
                "decoder": build_conv_decoder(config),
                "discriminator": build_code_discriminator(config),
            },
            losses=(*LOSSES, "total_correlation", "d_loss"),
            training=training,
            optimizers={"d": (adam, ("discriminator",))},
        )

    def sample_step(self, step: tf.Tensor, batch_size: int) -> FactorRandom:
        """Return the posterior noise and the permutations of training step `step`."""
        seed, spec = self.step_seed(step), self.config.latent
        order = tf.random.stateless_uniform([batch_size, spec.continuous], tf.random.fold_in(seed, _ORDER))
        return FactorRandom(sample_noise(spec, batch_size, tf.random.fold_in(seed, _NOISE)), order)

    def update(self, images: tf.Tensor, random: FactorRandom) -> dict[str, Any]:
        """One step of encoder and decoder, and one of D."""
        with tf.GradientTape(persistent=True) as tape:
            values = self.objective(self.to_pixels(images), random)
        gradients = {
            "vae": tape.gradient(values["loss"], self.variables_of("vae")),
            "d": tape.gradient(values["d_loss"], self.variables_of("d")),
        }
        self.apply_gradients(gradients)
        return values

    def objective(self, pixels: tf.Tensor, random: FactorRandom) -> dict[str, tf.Tensor]:
        """Return the losses by name: "loss" is that of encoder and decoder (eq. 2), "d_loss" that of D."""
        encoder, decoder, discriminator = (self.networks[name] for name in ("encoder", "decoder", "discriminator"))
        posterior = Posterior(**encoder(pixels, training=True))
        code = posterior.sample_continuous(random.noise.normal)
        reconstruction = losses.bernoulli(pixels, decoder(code, training=True))
        kl = tf.reduce_mean(kl_continuous(posterior))
        joint = discriminator(code, training=True)
        total_correlation = tf.reduce_mean(joint)

        permuted = permute_codes(tf.stop_gradient(code), random.order)
        product = discriminator(permuted, training=True)
        d_loss = 0.5 * (losses.adversarial(joint, real=True) + losses.adversarial(product, real=False))
        return {
            "loss": reconstruction + kl + self.config.hyper.total_correlation_weight * total_correlation,
            "reconstruction_loss": reconstruction,
            "continuous_kl": kl,
            "total_correlation": total_correlation,
            "d_loss": d_loss,
        }


def permute_codes(codes: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Permute each column of `codes` [B, C] as `order` [B, C] says: samples of the product of marginals."""
    indices = tf.argsort(order, axis=0)
    return tf.transpose(tf.gather(tf.transpose(codes), tf.transpose(indices), batch_dims=1))
