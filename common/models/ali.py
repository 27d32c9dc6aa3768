"""Adversarially learned inference (Dumoulin et al. 2017), a row of the paper's figure 2, in InfoVAEGAN's networks."""

from typing import Any

import tensorflow as tf

from common.config import Config
from common.models.adversarial import AdversarialSystem, StepRandom
from common.nn import losses
from common.nn.augment import add_noise
from common.nn.distributions import Posterior, PosteriorNoise, sample_noise
from common.nn.networks import build_discriminator, build_encoder, build_generator


class ALI(AdversarialSystem):
    """D(x, u) tells (x, u ~ q(u|x)) from (G(z, u), u); encoder and generator learn to confuse it, and nothing else.

    Non-saturating losses: each pair is trained towards the label of the other. Encoder and D are those of InfoVAEGAN;
    what differs is where the encoder's gradient comes from.
    """

    def __init__(self, config: Config, training: bool = True):
        hyper = config.hyper
        super().__init__(
            config,
            networks={
                "encoder": build_encoder(config),
                "generator": build_generator(config),
                "discriminator": build_discriminator(config),
            },
            rates={
                "d": (hyper.learning_rate, ("discriminator",)),
                "g": (hyper.learning_rate * hyper.generator_multiplier, ("encoder", "generator")),
            },
            losses=("d_loss", "g_loss", "e_loss"),
            training=training,
        )

    def sample_step_noise(self, seed: tf.Tensor, batch_size: int) -> PosteriorNoise:
        """Return the noise of u_r ~ q(u|x), from `seed` (int32 [2])."""
        return sample_noise(self.config.latent, batch_size, seed)

    def update(self, images: tf.Tensor, random: StepRandom) -> dict[str, tf.Tensor]:
        """One iteration: D first, then encoder and generator against the new D; x' and u_r are computed once."""
        fake, vjp = self.generate_with_vjp(random.latents)
        seen, fake = add_noise(images, random.real_noise), add_noise(fake, random.fake_noise)
        inferred, inferred_vjp = self.infer_with_vjp(seen, random.noise)
        d_losses, gradients = self.pair_pass(seen, inferred, fake, random.latents.code)
        self.apply_gradients(gradients)
        losses_, (to_inferred, to_fake) = self.confusion_pass(seen, inferred, fake, random.latents.code)
        rim_losses, rim_gradients = self.information_pass(images, random)
        self.apply_gradients({"g": inferred_vjp(to_inferred) + vjp(to_fake), **rim_gradients})
        return {**d_losses, **losses_, **rim_losses}

    def infer_with_vjp(self, images: tf.Tensor, noise: PosteriorNoise):
        """u_r ~ q(u|x) [B, K+C], and its vector-Jacobian product: dL/du_r -> gradients of the encoder's variables."""
        encoder = self.networks["encoder"]
        with tf.GradientTape() as tape:
            inferred = Posterior(**encoder(images, training=True)).sample(noise)

        def vjp(gradient: Any) -> Any:
            return tape.gradient(inferred, encoder.trainable_variables, output_gradients=gradient)

        return inferred, vjp

    def pair_pass(self, images: tf.Tensor, inferred: tf.Tensor, fake: tf.Tensor, code: tf.Tensor):
        """d_loss with its gradients. Real and fake pairs pass through D separately, each with its batch statistics."""
        discriminator = self.networks["discriminator"]
        with tf.GradientTape() as tape:
            d_loss_real = losses.adversarial(discriminator([images, inferred], training=True), real=True)
            d_loss_fake = losses.adversarial(discriminator([fake, code], training=True), real=False)
            d_loss = d_loss_real + d_loss_fake
        values = {"d_loss": d_loss, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}
        return values, {"d": tape.gradient(d_loss, discriminator.trainable_variables)}

    def confusion_pass(self, images: tf.Tensor, inferred: tf.Tensor, fake: tf.Tensor, code: tf.Tensor):
        """e_loss = BCE(D(x, u_r), 0) and g_loss = BCE(D(x', u), 1), with their gradients with respect to u_r and x'."""
        discriminator = self.networks["discriminator"]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([inferred, fake])
            e_loss = losses.adversarial(discriminator([images, inferred], training=True), real=False)
            g_loss = losses.adversarial(discriminator([fake, code], training=True), real=True)
            loss = e_loss + g_loss
        return {"e_loss": e_loss, "g_loss": g_loss}, tape.gradient(loss, [inferred, fake])
