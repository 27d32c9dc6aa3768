"""InfoVAEGAN as the ICIP 2021 paper describes it (`variant="paper"`; REFERENCE.md section 8). Equation numbers are the paper's."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from common.config import Config
from common.models.system import System
from common.nn import losses
from common.nn.distributions import (
    Latents,
    NoisePosterior,
    Posterior,
    PosteriorNoise,
    code_entropy,
    kl_categorical,
    kl_continuous,
    log_normal,
    sample_noise,
)
from common.nn.networks import build_discriminator, build_encoder, build_generator, build_noise_encoder

_ADVERSARIAL = ("d_loss", "critic_difference", "gradient_penalty")
_GENERATOR = ("g_loss", "q_loss")
_INFERENCE = ("vae_loss", "reconstruction_loss", "continuous_kl", "categorical_kl", "noise_kl")


class StepNoise(NamedTuple):
    """The noise of one training step: `share` [B, 1, 1, 1] ~ U(0, 1) of eq. 4, `code` for u_f ~ q(u|x'), `noise` [B, Z] ~ N(0, 1) for z_f."""

    share: tf.Tensor
    code: PosteriorNoise
    noise: tf.Tensor


class InfoVAEGANPaper(System):
    """A WGAN-GP critic D(x), a generator, the encoder q(d, c|x) and the noise encoder q(z|x).

    A training step is one of the critic, on one batch of real images; each `critic_steps`-th is also one of the generator, which
    learns by the critic and, together with the encoder, by the mutual-information bound. The inference networks learn by the ELBO
    of generated images with the generator fixed: in the generator's steps (`stages` "interleaved"), or in every step
    from `switch_step` on, when nothing else learns any more ("separate"). Which of it a step is follows from its number alone.

    Where the paper leaves a choice: z ~ N(0, I) (its section 3.1) and c ~ U(-1, 1) (its section 6), while KL_c is against N(0, I),
    since that against U(-1, 1) would be infinite; p(x|z, d, c) is N(G(z, d, c), I/2), so that -log p is the original's squared error and a
    constant; each loss has an Adam of its own, as in the original.
    """

    NOISE_PRIOR = "normal"

    def __init__(self, config: Config):
        rate = config.learning_rate
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
                "g": (rate * config.generator_multiplier, ("generator",)),
                "q": (rate * config.information_multiplier, ("encoder", "generator")),
                "vae": (rate * config.vae_multiplier, ("encoder", "noise_encoder")),
            },
            losses=_ADVERSARIAL + _GENERATOR + _INFERENCE,
        )

    def sample_step_noise(self, step: tf.Tensor, batch_size: int) -> StepNoise:
        """The noise of training step `step`."""
        seeds = tfp.random.split_seed(tf.random.fold_in(self.step_seed(step), 1), 3)
        spec = self.config.latent
        return StepNoise(
            tf.random.stateless_uniform([batch_size, 1, 1, 1], seeds[0]),
            sample_noise(spec, batch_size, seeds[1]),
            tf.random.stateless_normal([batch_size, spec.noise], seeds[2]),
        )

    def iterate(self, images: tf.Tensor, latents: Latents, noise: StepNoise) -> dict[str, tf.Tensor]:
        """What the present step is: of the first stage, or of inference alone. Losses are vectors of one value, or of none where left out."""
        if self.config.settings["stages"] == "interleaved":
            return self.adversarial_step(images, latents, noise)
        return tf.cond(
            self.step < self.config.settings["switch_step"],
            lambda: self.adversarial_step(images, latents, noise),
            lambda: {**_absent(_ADVERSARIAL + _GENERATOR), **self.inference_step(latents, noise)},
        )

    def adversarial_step(self, images, latents: Latents, noise: StepNoise) -> dict[str, tf.Tensor]:
        """A step of the critic, and where one is due, a step of the generator against the new critic."""
        fake, vjp = self.generate_with_vjp(latents)
        d_values, d_gradients = self.discriminator_pass(images, fake, latents, noise)
        self.apply_gradients(d_gradients)
        due = tf.equal((self.step + 1) % self.config.settings["critic_steps"], 0)
        values = tf.cond(
            due, lambda: self.generator_step(fake, vjp, latents, noise), lambda: _absent(_GENERATOR + _INFERENCE)
        )
        return {**_present(d_values), **values}

    def generator_step(self, fake, vjp, latents: Latents, noise: StepNoise) -> dict[str, tf.Tensor]:
        """G and encoder by the critic and L_MI; interleaved, the inference networks too, by gradients at the same parameters."""
        values, gradients = self.generator_pass(fake, vjp, latents, noise)
        if self.config.settings["stages"] == "separate":
            self.apply_gradients(gradients)
            return {**_present(values), **_absent(_INFERENCE)}
        inferred, inference_gradients = self.inference_pass(fake, noise)
        self.apply_gradients({**gradients, **inference_gradients})
        return _present({**values, **inferred})

    def inference_step(self, latents: Latents, noise: StepNoise) -> dict[str, tf.Tensor]:
        """A step of the second stage: not one variable of the generator moves, its moving averages included."""
        fake = self.networks["generator"]([latents.noise, latents.code], training=False)
        values, gradients = self.inference_pass(fake, noise)
        self.apply_gradients(gradients)
        return _present(values)

    def discriminator_pass(self, images, fake, latents: Latents, noise: StepNoise):
        """d_loss with its gradients: eq. 3 and the penalty of eq. 4, with the sign that lets the critic minimise both."""
        critic = self.networks["discriminator"]
        with tf.GradientTape() as tape:
            difference = losses.critic_difference(critic(images, training=True), critic(fake, training=True))
            penalty = losses.gradient_penalty(lambda x: critic(x, training=True), images, fake, noise.share)
            d_loss = self.config.settings["penalty_weight"] * penalty - difference
        values = {"d_loss": d_loss, "critic_difference": difference, "gradient_penalty": penalty}
        return values, {"d": tape.gradient(d_loss, critic.trainable_variables)}

    def generator_pass(self, fake, vjp, latents: Latents, noise: StepNoise):
        """g_loss = -E D(x') (eq. 3) and q_loss = -L_MI (eq. 11) with their gradients; without mutual information q_loss has none."""
        encoder, critic = self.networks["encoder"], self.networks["discriminator"]
        category, continuous = self.split_code(latents.code)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(fake)
            g_loss = -tf.reduce_mean(critic(fake, training=True))
            posterior = Posterior(**encoder(fake, training=True))
            q_loss = -losses.information_bound(
                posterior.logits, category, log_normal(continuous, posterior), code_entropy(self.config.latent)
            )
        gradients = {"g": vjp(tape.gradient(g_loss, fake))}
        if self.config.mutual_information:
            q_to_encoder, q_to_fake = tape.gradient(q_loss, [encoder.trainable_variables, fake])
            gradients["q"] = q_to_encoder + vjp(q_to_fake)
        return {"g_loss": g_loss, "q_loss": q_loss}, gradients

    def inference_pass(self, fake, noise: StepNoise):
        """vae_loss = -ELBO of x' (eq. 6 and 7 with x' for x_t, and 10) with its gradients, which reach the inference networks only.

        The fixed generator runs as in inference: by default on batch statistics, and it leaves its moving averages alone.
        """
        encoder, noise_encoder, generator = (self.networks[n] for n in ("encoder", "noise_encoder", "generator"))
        fake = tf.stop_gradient(fake)
        with tf.GradientTape() as tape:
            posterior = Posterior(**encoder(fake, training=True))
            noise_posterior = NoisePosterior(**noise_encoder(fake, training=True))
            reconstruction = generator(
                [noise_posterior.sample(noise.noise), posterior.sample(noise.code)], training=False
            )
            values = {
                "reconstruction_loss": losses.squared_error(fake, reconstruction),
                "continuous_kl": tf.reduce_mean(kl_continuous(posterior)),
                "categorical_kl": tf.reduce_mean(kl_categorical(posterior.logits)),
                "noise_kl": tf.reduce_mean(kl_continuous(noise_posterior)),
            }
            vae_loss = (
                values["reconstruction_loss"]
                + values["continuous_kl"]
                + values["noise_kl"]
                + self.config.categorical_kl_weight * values["categorical_kl"]
            )
        return {"vae_loss": vae_loss, **values}, {"vae": tape.gradient(vae_loss, self.variables_of("vae"))}

    @tf.function(reduce_retracing=True)
    def encode_noise(self, images: tf.Tensor) -> NoisePosterior:
        """q(z|x) in inference mode for images [B, h, w, c]. By default with this batch's own statistics."""
        return NoisePosterior(**self.networks["noise_encoder"](images, training=False))


def _present(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: tf.reshape(value, [1]) for name, value in values.items()}


def _absent(names: tuple[str, ...]) -> dict[str, tf.Tensor]:
    return {name: tf.zeros([0]) for name in names}


def build(config: Config) -> InfoVAEGANPaper:
    """Returns the system at its initial weights."""
    return InfoVAEGANPaper(config)
