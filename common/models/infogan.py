"""The original's InfoGAN baseline (docs/original.md, section 5)."""

from typing import Any

import tensorflow as tf

from common.config import Config
from common.models.adversarial import AdversarialSystem, StepRandom
from common.nn import losses
from common.nn.augment import add_noise
from common.nn.distributions import Posterior
from common.nn.networks import build_discriminator, build_encoder, build_generator


class InfoGAN(AdversarialSystem):
    """D(x) without codes; an encoder on generated images only, with deterministic codes; no VAE, no posterior noise."""

    def __init__(self, config: Config, training: bool = True):
        hyper = config.hyper
        rate = hyper.learning_rate
        super().__init__(
            config,
            networks={
                "encoder": build_encoder(config, stddev=False),
                "generator": build_generator(config),
                "discriminator": build_discriminator(config, conditional=False),
            },
            rates={
                "d": (rate, ("discriminator",)),
                "g": (rate * hyper.generator_multiplier, ("generator",)),
                "q": (rate * hyper.information_multiplier, ("encoder", "generator")),
            },
            losses=("d_loss", "g_loss", "q_loss"),
            training=training,
        )

    def discriminator_pass(self, images: tf.Tensor, fake: tf.Tensor, random: StepRandom):
        """d_loss with its gradients: real images against x'."""
        discriminator = self.networks["discriminator"]
        images, fake = add_noise(images, random.real_noise), add_noise(fake, random.fake_noise)
        with tf.GradientTape() as tape:
            d_loss_real = losses.adversarial(discriminator(images, training=True), real=True)
            d_loss_fake = losses.adversarial(discriminator(fake, training=True), real=False)
            d_loss = d_loss_real + d_loss_fake
        values = {"d_loss": d_loss, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}
        return values, {"d": tape.gradient(d_loss, discriminator.trainable_variables)}

    def generator_pass(self, fake: tf.Tensor, vjp, random: StepRandom):
        """g_loss and q_loss with their gradients, at the same parameters; x' is computed once."""
        encoder, discriminator = self.networks["encoder"], self.networks["discriminator"]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(fake)
            g_loss = losses.adversarial(discriminator(add_noise(fake, random.fake_noise), training=True), real=True)
            posterior = Posterior(**encoder(self.encoder_view(fake, random), training=True))
            q_disc_loss = losses.categorical_information(posterior.logits, random.latents.category)
            q_cont_loss = losses.continuous_information(posterior.mean, random.latents.continuous)
            q_loss = q_disc_loss + q_cont_loss
        g_to_fake = tape.gradient(g_loss, fake)
        q_gradients: Any = tape.gradient(q_loss, [encoder.trainable_variables, fake])
        values = {"g_loss": g_loss, "q_loss": q_loss, "q_disc_loss": q_disc_loss, "q_cont_loss": q_cont_loss}
        return values, {"g": vjp(g_to_fake), "q": q_gradients[0] + vjp(q_gradients[1])}
