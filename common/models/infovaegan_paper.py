"""InfoVAEGAN as the ICIP 2021 paper describes it (--variant paper; docs/original.md, section 8); its equations."""

from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from common.config import Config
from common.models.adversarial import AdversarialSystem, StepRandom
from common.models.system import Partial
from common.nn import losses
from common.nn.augment import add_noise
from common.nn.distributions import (
    NoisePosterior,
    Posterior,
    PosteriorNoise,
    code_entropy,
    kl_categorical,
    kl_continuous,
    log_normal,
    sample_noise,
)
from common.nn.layers import fixed_averages
from common.nn.networks import build_discriminator, build_encoder, build_generator, build_noise_encoder

_ADVERSARIAL = ("d_loss", "critic_difference", "gradient_penalty")
_GENERATOR = ("g_loss", "q_loss")
_INFERENCE = ("vae_loss", "reconstruction_loss", "continuous_kl", "categorical_kl", "noise_kl")


class PaperNoise(NamedTuple):
    """The noise of a step: `alpha` [B, 1, 1, 1] of eq. 4, `code` for u_f ~ q(u|x'), `noise` [B, Z] of z_f, normal."""

    alpha: tf.Tensor
    code: PosteriorNoise
    noise: tf.Tensor


class InfoVAEGANPaper(AdversarialSystem):
    """A WGAN-GP critic D(x), a generator, the encoder q(d, c|x) and the noise encoder q(z|x).

    Every step updates the critic, on one batch of real images; every `critic_steps`-th step also updates the generator
    by the critic and, together with the encoder, by the mutual-information bound. The inference networks learn by the
    ELBO of generated images with the generator fixed: in the generator's steps (`stages` "interleaved"), or in every
    step from `switch_step` on, when nothing else is trained ("separate"). What a step does depends only on its number.

    Where the paper leaves a choice: z ~ N(0, I) (its section 3.1) and c ~ U(-1, 1) (its section 6), while KL_c is
    against N(0, I), since that against U(-1, 1) would be infinite; p(x|z, d, c) is N(G(z, d, c), I/2), so that -log p
    is the original's squared error plus a constant; each loss has an Adam of its own, as in the original.
    """

    CAPABILITIES = AdversarialSystem.CAPABILITIES | {"infer_noise"}
    NOISE_PRIOR = "normal"

    def __init__(self, config: Config, training: bool = True):
        hyper = config.hyper
        rate = hyper.learning_rate
        super().__init__(
            config,
            networks={
                "encoder": build_encoder(config),
                "noise_encoder": build_noise_encoder(config),
                "generator": build_generator(config),
                "discriminator": build_discriminator(config, conditional=False, normalise=False),
            },
            rates={
                "d": (rate, ("discriminator",)),
                "g": (rate * hyper.generator_multiplier, ("generator",)),
                "q": (rate * hyper.information_multiplier, ("encoder", "generator")),
                "vae": (rate * hyper.vae_multiplier, ("encoder", "noise_encoder")),
            },
            losses=_ADVERSARIAL + _GENERATOR + _INFERENCE,
            training=training,
        )

    def sample_step_noise(self, seed: tf.Tensor, batch_size: int) -> PaperNoise:
        """Return the noise of a training step, from `seed` (int32 [2])."""
        alpha, code, noise = tfp.random.split_seed(seed, 3)
        return PaperNoise(
            tf.random.stateless_uniform([batch_size, 1, 1, 1], alpha),
            sample_noise(self.config.latent, batch_size, code),
            tf.random.stateless_normal([batch_size, self.config.latent.noise], noise),
        )

    def update(self, images: tf.Tensor, random: StepRandom) -> dict[str, Any]:
        """Take an adversarial step or, from `switch_step` on, one of inference alone."""
        hyper = self.config.hyper
        if hyper.stages == "interleaved":
            return self.adversarial_step(images, random)
        return tf.cond(
            self.step < hyper.switch_step,
            lambda: self.adversarial_step(images, random),
            lambda: {**_absent(tuple(self.trackers)), **self.inference_step(random)},
        )

    def adversarial_step(self, images: tf.Tensor, random: StepRandom) -> dict[str, Partial]:
        """Update the critic and, if it is due, the generator against the new critic.

        Every step sees real images, so every step has their information term, if that is configured.
        """
        fake, vjp = self.generate_with_vjp(random.latents)
        d_losses, gradients = self.discriminator_pass(images, fake, random)
        self.apply_gradients(gradients)
        rim_losses, rim_gradients = self.information_pass(images, random)
        due = tf.equal((self.step + 1) % self.config.hyper.critic_steps, 0)
        g_losses = tf.cond(
            due, lambda: self.generator_step(fake, vjp, random), lambda: _absent(_GENERATOR + _INFERENCE)
        )
        self.apply_gradients(rim_gradients)
        return {**_present({**d_losses, **rim_losses}), **g_losses}

    def generator_step(self, fake: tf.Tensor, vjp, random: StepRandom) -> dict[str, Partial]:
        """G and encoder by the critic and L_MI; if interleaved, the inference networks too, at the same parameters."""
        values, gradients = self.generator_pass(fake, vjp, random)
        if self.config.hyper.stages == "separate":
            self.apply_gradients(gradients)
            return {**_present(values), **_absent(_INFERENCE)}
        inferred, inference_gradients = self.inference_pass(fake, random)
        self.apply_gradients({**gradients, **inference_gradients})
        return _present({**values, **inferred})

    def inference_step(self, random: StepRandom) -> dict[str, Partial]:
        """Second stage: the generator is fixed, including its batch-norm averages."""
        fake = self.generate_fixed(random.latents.noise, random.latents.code)
        values, gradients = self.inference_pass(fake, random)
        self.apply_gradients(gradients)
        return _present(values)

    def discriminator_pass(self, images: tf.Tensor, fake: tf.Tensor, random: StepRandom):
        """d_loss with its gradients: the critic minimises minus eq. 3 plus the penalty of eq. 4."""
        critic = self.networks["discriminator"]
        images, fake = add_noise(images, random.real_noise), add_noise(fake, random.fake_noise)
        with tf.GradientTape() as tape:
            difference = losses.critic_difference(critic(images, training=True), critic(fake, training=True))
            penalty = losses.gradient_penalty(lambda x: critic(x, training=True), images, fake, random.noise.alpha)
            d_loss = self.config.hyper.penalty_weight * penalty - difference
        values = {"d_loss": d_loss, "critic_difference": difference, "gradient_penalty": penalty}
        return values, {"d": tape.gradient(d_loss, critic.trainable_variables)}

    def generator_pass(self, fake: tf.Tensor, vjp, random: StepRandom):
        """g_loss = -E D(x') (eq. 3), q_loss = -L_MI (eq. 11), and their gradients; the ablation only reports q_loss."""
        encoder, critic = self.networks["encoder"], self.networks["discriminator"]
        latents, hyper = random.latents, self.config.hyper
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(fake)
            g_loss = -tf.reduce_mean(critic(add_noise(fake, random.fake_noise), training=True))
            posterior = Posterior(**encoder(self.encoder_view(fake, random), training=True))
            log_continuous = log_normal(latents.continuous, posterior)
            entropy = code_entropy(self.config.latent)
            q_loss = -losses.information_bound(posterior.logits, latents.category, log_continuous, entropy)
        gradients = {"g": vjp(tape.gradient(g_loss, fake))}
        if hyper.mutual_information:
            q_gradients: Any = tape.gradient(q_loss, [encoder.trainable_variables, fake])
            gradients["q"] = q_gradients[0] + vjp(q_gradients[1])
        return {"g_loss": g_loss, "q_loss": q_loss}, gradients

    def inference_pass(self, fake: tf.Tensor, random: StepRandom):
        """vae_loss = -ELBO of x' (eq. 6, 7 with x' for x_t, and 10), with gradients of the inference networks only.

        The generator is fixed (`generate_fixed`), and normalises as it did for x'.
        """
        encoder, noise_encoder = self.networks["encoder"], self.networks["noise_encoder"]
        fake, noise = tf.stop_gradient(fake), random.noise
        with tf.GradientTape() as tape:
            posterior = Posterior(**encoder(self.encoder_view(fake, random), training=True))
            noise_posterior = NoisePosterior(**noise_encoder(add_noise(fake, random.fake_noise), training=True))
            reconstruction = self.generate_fixed(noise_posterior.sample(noise.noise), posterior.sample(noise.code))
            reconstruction_loss = losses.squared_error(fake, reconstruction)
            continuous_kl = tf.reduce_mean(kl_continuous(posterior))
            categorical_kl = tf.reduce_mean(kl_categorical(posterior.logits))
            noise_kl = tf.reduce_mean(kl_continuous(noise_posterior))
            weight = self.config.hyper.categorical_kl_weight
            vae_loss = reconstruction_loss + continuous_kl + noise_kl + weight * categorical_kl
        values = (vae_loss, reconstruction_loss, continuous_kl, categorical_kl, noise_kl)
        return dict(zip(_INFERENCE, values, strict=True)), {"vae": tape.gradient(vae_loss, self.variables_of("vae"))}

    def generate_fixed(self, noise: tf.Tensor, code: tf.Tensor) -> tf.Tensor:
        """G(z, u) [B, h, w, c] while others learn, from z [B, Z] and u [B, K+C]; no variable of G moves.

        Batch norm uses the statistics of this batch, as in every training pass: `Config.batch_norm` is about inference.
        """
        with fixed_averages():
            return self.networks["generator"]([noise, code], training=True)

    @tf.function(reduce_retracing=True)
    def encode_noise(self, images: tf.Tensor) -> NoisePosterior:
        """q(z|x) in inference mode for images [B, h, w, c]. Batch norm uses the statistics of this batch by default."""
        return NoisePosterior(**self.networks["noise_encoder"](images, training=False))


def _present(values: dict[str, tf.Tensor]) -> dict[str, Partial]:
    return {name: Partial(value, tf.ones([])) for name, value in values.items()}


def _absent(names: tuple[str, ...]) -> dict[str, Partial]:
    return {name: Partial(tf.zeros([]), tf.zeros([])) for name in names}
