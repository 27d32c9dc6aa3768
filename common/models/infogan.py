"""The original's InfoGAN baseline (REFERENCE.md section 5)."""

import tensorflow as tf

from common.config import Config
from common.models.system import System
from common.nn import losses
from common.nn.distributions import Latents, Posterior
from common.nn.networks import build_discriminator, build_encoder, build_generator


class InfoGAN(System):
    """D(x) without codes; an encoder on generated images only, its continuous head deterministic; no VAE, no posterior noise."""

    def __init__(self, config: Config):
        rate = config.learning_rate
        super().__init__(
            config,
            networks={
                "encoder": build_encoder(config, stddev=False),
                "generator": build_generator(config),
                "discriminator": build_discriminator(config, conditional=False),
            },
            rates={
                "d": (rate, ("discriminator",)),
                "g": (rate * config.generator_multiplier, ("generator",)),
                "q": (rate * config.information_multiplier, ("encoder", "generator")),
            },
            losses=("d_loss", "g_loss", "q_loss"),
        )

    def discriminator_pass(self, images, fake, latents: Latents, noise=None):
        """d_loss with its gradients: real images against x'."""
        discriminator = self.networks["discriminator"]
        with tf.GradientTape() as tape:
            d_loss_real = losses.adversarial(discriminator(images, training=True), real=True)
            d_loss_fake = losses.adversarial(discriminator(fake, training=True), real=False)
            d_loss = d_loss_real + d_loss_fake
        values = {"d_loss": d_loss, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}
        return values, {"d": tape.gradient(d_loss, discriminator.trainable_variables)}

    def generator_pass(self, fake, vjp, latents: Latents, noise=None):
        """g_loss and q_loss with their gradients, at the same parameters, x' computed once."""
        encoder, discriminator = self.networks["encoder"], self.networks["discriminator"]
        category, continuous = self.split_code(latents.code)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(fake)
            g_loss = losses.adversarial(discriminator(fake, training=True), real=True)
            posterior = Posterior(**encoder(fake, training=True))
            q_disc_loss = losses.categorical_information(posterior.logits, category)
            q_cont_loss = losses.continuous_information(posterior.mean, continuous)
            q_loss = q_disc_loss + q_cont_loss
        g_to_fake = tape.gradient(g_loss, fake)
        q_to_encoder, q_to_fake = tape.gradient(q_loss, [encoder.trainable_variables, fake])
        values = {"g_loss": g_loss, "q_loss": q_loss, "q_disc_loss": q_disc_loss, "q_cont_loss": q_cont_loss}
        return values, {"g": vjp(g_to_fake), "q": q_to_encoder + vjp(q_to_fake)}


def build(config: Config) -> InfoGAN:
    """Returns the system at its initial weights."""
    return InfoGAN(config)
