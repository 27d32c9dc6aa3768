"""InfoVAEGAN as the original scripts compute it (`variant="code"`; REFERENCE.md sections 1, 3 and 4)."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from common.config import Config
from common.models.system import System
from common.nn import losses
from common.nn.augment import Affine, sample_affine, seen
from common.nn.distributions import Latents, Posterior, PosteriorNoise, kl_categorical, kl_continuous, sample_noise
from common.nn.networks import build_discriminator, build_encoder, build_generator


class StepNoise(NamedTuple):
    """The noise of one training step: for u_r ~ q(u|x), for u_f ~ q(u|x'), and `estimate` [B, C] for the c' of q_loss.

    `view` is how the encoder sees each x'; None where it sees x' as it is.
    """

    real: PosteriorNoise
    fake: PosteriorNoise
    estimate: tf.Tensor
    view: Affine | None = None


class InfoVAEGAN(System):
    """Three networks, four losses, four optimizers.

    First half: D(x, u) learns by d_loss. Second half: G by g_loss, encoder and G by q_loss, the encoder by vae_loss, with all
    three gradients taken at the same parameters.
    """

    def __init__(self, config: Config):
        rate = config.learning_rate
        super().__init__(
            config,
            networks={
                "encoder": build_encoder(config),
                "generator": build_generator(config),
                "discriminator": build_discriminator(config),
            },
            rates={
                "d": (rate, ("discriminator",)),
                "g": (rate * config.generator_multiplier, ("generator",)),
                "q": (rate * config.information_multiplier, ("encoder", "generator")),
                "vae": (rate * config.vae_multiplier, ("encoder",)),
            },
            losses=("d_loss", "g_loss", "q_loss", "vae_loss"),
        )

    def sample_step_noise(self, step: tf.Tensor, batch_size: int) -> StepNoise:
        """The posterior noise of training step `step`."""
        seeds = tfp.random.split_seed(tf.random.fold_in(self.step_seed(step), 1), 3)
        spec, settings = self.config.latent, self.config.settings
        shift, shear, stretch, after = (
            settings[f"encoder_{name}"] for name in ("shift", "shear", "stretch", "shift_after")
        )
        view = None
        if shift or shear or stretch:
            still = Affine(tf.ones([batch_size, 2]), tf.zeros([batch_size]), tf.zeros([batch_size, 2]))
            drawn = sample_affine(tf.random.fold_in(self.step_seed(step), 2), batch_size, shift, shear, stretch)
            view = Affine(*(tf.where(step >= after, new, old) for new, old in zip(drawn, still, strict=True)))
        return StepNoise(
            sample_noise(spec, batch_size, seeds[0]),
            sample_noise(spec, batch_size, seeds[1]),
            sample_noise(spec, batch_size, seeds[2]).normal,
            view,
        )

    def as_seen(self, fake: tf.Tensor, noise: StepNoise) -> tf.Tensor:
        """x' [B, h, w, c] as the encoder learns from it."""
        return fake if noise.view is None else seen(fake, noise.view)

    def discriminator_pass(self, images, fake, latents: Latents, noise: StepNoise):
        """d_loss with its gradients: real images with the codes the encoder infers, against x' with the codes it was made from.

        No gradient of d_loss reaches the encoder. Real and fake go through D apart: each has its own batch statistics.
        """
        discriminator = self.networks["discriminator"]
        inferred = Posterior(**self.networks["encoder"](images, training=True)).sample(noise.real)
        with tf.GradientTape() as tape:
            real_logits = discriminator([images, inferred], training=True)
            fake_logits = discriminator([fake, latents.code], training=True)
            d_loss_real = losses.adversarial(real_logits, real=True)
            d_loss_fake = losses.adversarial(fake_logits, real=False)
            d_loss = d_loss_real + d_loss_fake
        values = {"d_loss": d_loss, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}
        return values, {"d": tape.gradient(d_loss, discriminator.trainable_variables)}

    def generator_pass(self, fake, vjp, latents: Latents, noise: StepNoise):
        """g_loss, q_loss and vae_loss with their gradients, all at the present parameters, x' and E(x') computed once.

        vae_loss reaches the encoder only: its target x' is data, and G is held fixed in the reconstruction. In the ablation
        without mutual information q_loss is reported, and reaches nothing.
        """
        encoder, generator, discriminator = (self.networks[n] for n in ("encoder", "generator", "discriminator"))
        category, continuous = self.split_code(latents.code)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(fake)
            g_loss = losses.adversarial(discriminator([fake, latents.code], training=True), real=True)

            posterior = Posterior(**encoder(self.as_seen(fake, noise), training=True))
            q_disc_loss = losses.categorical_information(posterior.logits, category)
            q_cont_loss = losses.continuous_information(posterior.sample_continuous(noise.estimate), continuous)
            q_loss = q_disc_loss + q_cont_loss

            reconstruction = generator([latents.noise, posterior.sample(noise.fake)], training=True)
            reconstruction_loss = losses.squared_error(tf.stop_gradient(fake), reconstruction)
            continuous_kl = tf.reduce_mean(kl_continuous(posterior))
            categorical_kl = tf.reduce_mean(kl_categorical(posterior.logits))
            vae_loss = reconstruction_loss + continuous_kl + self.config.categorical_kl_weight * categorical_kl
        g_to_fake = tape.gradient(g_loss, fake)
        gradients = {"g": vjp(g_to_fake)}
        if self.config.mutual_information:
            q_to_encoder, q_to_fake = tape.gradient(q_loss, [encoder.trainable_variables, fake])
            gradients["q"] = q_to_encoder + vjp(q_to_fake)
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


def build(config: Config) -> InfoVAEGAN:
    """Returns the system at its initial weights."""
    return InfoVAEGAN(config)
