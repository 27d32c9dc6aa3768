"""Adversarially learned inference (Dumoulin et al. 2017), the paper's second row of figure 2, with InfoVAEGAN's networks."""

import tensorflow as tf

from common.config import Config
from common.models.system import System
from common.nn import losses
from common.nn.distributions import Latents, Posterior, PosteriorNoise, sample_noise
from common.nn.networks import build_discriminator, build_encoder, build_generator


class ALI(System):
    """D(x, u) tells (x, u ~ q(u|x)) from (G(z, u), u); encoder and generator both learn to confuse it, and by nothing else.

    Their losses are the non-saturating ones, each of its own pair with the label of the other. The encoder is that of
    InfoVAEGAN, whose D is the same: what differs is where the encoder's gradient comes from.
    """

    def __init__(self, config: Config):
        super().__init__(
            config,
            networks={
                "encoder": build_encoder(config),
                "generator": build_generator(config),
                "discriminator": build_discriminator(config),
            },
            rates={
                "d": (config.learning_rate, ("discriminator",)),
                "g": (config.learning_rate * config.generator_multiplier, ("encoder", "generator")),
            },
            losses=("d_loss", "g_loss", "e_loss"),
        )

    def sample_step_noise(self, step: tf.Tensor, batch_size: int) -> PosteriorNoise:
        """The noise of u_r ~ q(u|x) in training step `step`."""
        return sample_noise(self.config.latent, batch_size, tf.random.fold_in(self.step_seed(step), 1))

    def iterate(self, images: tf.Tensor, latents: Latents, noise: PosteriorNoise) -> dict[str, tf.Tensor]:
        """One iteration: D first, then encoder and generator against the new D; x' and u_r are computed once."""
        fake, vjp = self.generate_with_vjp(latents)
        inferred, inferred_vjp = self.infer_with_gradient(images, noise)
        d_values, d_gradients = self.discriminator_pass(images, inferred, fake, latents.code)
        self.apply_gradients(d_gradients)
        values, (inferred_gradient, fake_gradient) = self.confusion_pass(images, inferred, fake, latents.code)
        self.apply_gradients({"g": inferred_vjp(inferred_gradient) + vjp(fake_gradient)})
        return {**d_values, **values}

    def infer_with_gradient(self, images: tf.Tensor, noise: PosteriorNoise):
        """u_r ~ q(u|x) [B, K+C], and the function that pulls a gradient with respect to it back to the encoder's variables."""
        encoder = self.networks["encoder"]
        with tf.GradientTape() as tape:
            inferred = Posterior(**encoder(images, training=True)).sample(noise)

        def vjp(gradient):
            return tape.gradient(inferred, encoder.trainable_variables, output_gradients=gradient)

        return inferred, vjp

    def discriminator_pass(self, images, inferred, fake, code):
        """d_loss with its gradients. Real and fake pairs go through D apart: each has its own batch statistics."""
        discriminator = self.networks["discriminator"]
        with tf.GradientTape() as tape:
            d_loss_real = losses.adversarial(discriminator([images, inferred], training=True), real=True)
            d_loss_fake = losses.adversarial(discriminator([fake, code], training=True), real=False)
            d_loss = d_loss_real + d_loss_fake
        values = {"d_loss": d_loss, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}
        return values, {"d": tape.gradient(d_loss, discriminator.trainable_variables)}

    def confusion_pass(self, images, inferred, fake, code):
        """e_loss = BCE(D(x, u_r), 0) and g_loss = BCE(D(x', u), 1), with their gradients with respect to u_r and to x'."""
        discriminator = self.networks["discriminator"]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([inferred, fake])
            e_loss = losses.adversarial(discriminator([images, inferred], training=True), real=False)
            g_loss = losses.adversarial(discriminator([fake, code], training=True), real=True)
            loss = e_loss + g_loss
        return {"e_loss": e_loss, "g_loss": g_loss}, tape.gradient(loss, [inferred, fake])


def build(config: Config) -> ALI:
    """Returns the system at its initial weights."""
    return ALI(config)
