"""InfoVAEGAN as the original scripts compute it (--variant code; docs/original.md, sections 1, 3 and 4)."""

from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from common.config import Config
from common.models.adversarial import AdversarialSystem, StepRandom
from common.nn import losses
from common.nn.augment import add_noise
from common.nn.distributions import Posterior, PosteriorNoise, kl_categorical, kl_continuous, sample_noise
from common.nn.networks import build_discriminator, build_encoder, build_generator


class CodeNoise(NamedTuple):
    """The posterior noise of a step: for u_r ~ q(u|x), for u_f ~ q(u|x'), and `estimate` [B, C] for c' of q_loss."""

    real: PosteriorNoise
    fake: PosteriorNoise
    estimate: tf.Tensor


class InfoVAEGAN(AdversarialSystem):
    """Three networks, four losses, four optimizers.

    First half: D(x, u) learns by d_loss. Second half: G by g_loss, encoder and G by q_loss, the encoder by vae_loss,
    with all three gradients taken at the same parameters.
    """

    def __init__(self, config: Config, training: bool = True):
        hyper = config.hyper
        rate = hyper.learning_rate
        super().__init__(
            config,
            networks={
                "encoder": build_encoder(config),
                "generator": build_generator(config),
                "discriminator": build_discriminator(config),
            },
            rates={
                "d": (rate, ("discriminator",)),
                "g": (rate * hyper.generator_multiplier, ("generator",)),
                "q": (rate * hyper.information_multiplier, ("encoder", "generator")),
                "vae": (rate * hyper.vae_multiplier, ("encoder",)),
            },
            losses=("d_loss", "g_loss", "q_loss", "vae_loss"),
            training=training,
        )

    def sample_step_noise(self, seed: tf.Tensor, batch_size: int) -> CodeNoise:
        """Return the posterior noise of a training step, from `seed` (int32 [2])."""
        real, fake, estimate = (sample_noise(self.config.latent, batch_size, s) for s in tfp.random.split_seed(seed, 3))
        return CodeNoise(real, fake, estimate.normal)

    def discriminator_pass(self, images: tf.Tensor, fake: tf.Tensor, random: StepRandom):
        """d_loss with its gradients: (x, u ~ q(u|x)) against (x', u).

        No gradient of d_loss reaches the encoder. Real and fake pass through D separately, each with its statistics.
        """
        discriminator = self.networks["discriminator"]
        images, fake = add_noise(images, random.real_noise), add_noise(fake, random.fake_noise)
        inferred = Posterior(**self.networks["encoder"](images, training=True)).sample(random.noise.real)
        with tf.GradientTape() as tape:
            real_logits = discriminator([images, inferred], training=True)
            fake_logits = discriminator([fake, random.latents.code], training=True)
            d_loss_real = losses.adversarial(real_logits, real=True)
            d_loss_fake = losses.adversarial(fake_logits, real=False)
            d_loss = d_loss_real + d_loss_fake
        values = {"d_loss": d_loss, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}
        return values, {"d": tape.gradient(d_loss, discriminator.trainable_variables)}

    def generator_pass(self, fake: tf.Tensor, vjp, random: StepRandom):
        """g_loss, q_loss and vae_loss with their gradients, at the same parameters; x' and E(x') are computed once.

        vae_loss reaches the encoder only: its target x' is data, and G is fixed in the reconstruction. In the ablation
        without mutual information q_loss is reported but not trained on.
        """
        encoder, generator, discriminator = (self.networks[n] for n in ("encoder", "generator", "discriminator"))
        latents, noise, hyper = random.latents, random.noise, self.config.hyper
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(fake)
            seen = add_noise(fake, random.fake_noise)
            g_loss = losses.adversarial(discriminator([seen, latents.code], training=True), real=True)

            posterior = Posterior(**encoder(self.encoder_view(fake, random), training=True))
            q_disc_loss = losses.categorical_information(posterior.logits, latents.category)
            estimate = posterior.sample_continuous(noise.estimate)
            q_cont_loss = losses.continuous_information(estimate, latents.continuous)
            q_loss = q_disc_loss + q_cont_loss

            reconstruction = generator([latents.noise, posterior.sample(noise.fake)], training=True)
            reconstruction_loss = losses.squared_error(tf.stop_gradient(fake), reconstruction)
            continuous_kl = tf.reduce_mean(kl_continuous(posterior))
            categorical_kl = tf.reduce_mean(kl_categorical(posterior.logits))
            vae_loss = reconstruction_loss + continuous_kl + hyper.categorical_kl_weight * categorical_kl
        gradients = {"g": vjp(tape.gradient(g_loss, fake))}
        if hyper.mutual_information:
            q_gradients: Any = tape.gradient(q_loss, [encoder.trainable_variables, fake])
            gradients["q"] = q_gradients[0] + vjp(q_gradients[1])
        gradients["vae"] = tape.gradient(vae_loss, encoder.trainable_variables)
        values = {
            "g_loss": g_loss,
            "q_loss": q_loss,
            "vae_loss": vae_loss,
            "q_disc_loss": q_disc_loss,
            "q_cont_loss": q_cont_loss,
            "reconstruction_loss": reconstruction_loss,
            "continuous_kl": continuous_kl,
            "categorical_kl": categorical_kl,
        }
        return values, gradients
