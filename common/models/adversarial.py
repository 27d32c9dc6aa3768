"""Systems with a discriminator: first D learns, then all else against the new D (docs/original.md, section 4)."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from common.config import Config
from common.models.hyperparameters import AdversarialHyperparameters
from common.models.system import System
from common.nn import losses
from common.nn.augment import Affine, Rectangle, add_noise, apply_affine, erase, sample_affine, sample_rectangle
from common.nn.distributions import Latents, Posterior, sample_noise, sample_prior
from common.nn.optimizers import HeldDecay, TF1Adam

# Folded into a step's seed, next to the 0 of its latents.
_NOISE, _FAKE_VIEW, _REAL_VIEW, _REAL_NOISE, _FAKE_NOISE, _ERASED = 1, 2, 3, 4, 5, 6


class StepRandom(NamedTuple):
    """The randomness of one training step.

    Attributes:
        latents: what x' is generated from.
        noise: of the posterior samples, as the system defines it; None if it takes none.
        view: the augmentation of the generated images that the encoder sees; None without one.
        real_view: that of the real images, for regularised information maximisation; None without it.
        real_noise, fake_noise: on x and x' where discriminator and encoder see them, [B, h, w, c]; None without.
        erased: what is then erased from that view, in the first `rim_both_ways` steps; None without those.
    """

    latents: Latents
    noise: Any = None
    view: Affine | None = None
    real_view: Affine | None = None
    real_noise: tf.Tensor | None = None
    fake_noise: tf.Tensor | None = None
    erased: Rectangle | None = None


class AdversarialSystem(System):
    """A generator G(z, u), a discriminator and an encoder q(u|x).

    An iteration has two halves, both on the same images x and the same x' = G(z, u). Subclasses define the losses of
    each: `discriminator_pass` and `generator_pass`. A system with another schedule redefines `update`.
    """

    CAPABILITIES = frozenset({"encode", "sample", "reconstruct"})
    TF1_SCOPES = {"encoder": "encoder", "generator": "decoder", "discriminator": "discriminator"}
    NOISE_PRIOR = "uniform"  # Of z: a name that `distributions.priors` knows.

    def __init__(
        self,
        config: Config,
        networks: dict[str, keras.Model],
        rates: dict[str, tuple[float, tuple[str, ...]]],
        losses: tuple[str, ...],
        training: bool,
    ):
        """Initialise.

        Args:
            config: the configuration.
            networks: by name.
            rates: name of the optimizer -> (its learning rate, names of the networks that it updates).
            losses: names of the losses to report.
            training: whether to build the optimizers.
        """
        hyper = config.hyper
        if hyper.rim_multiplier:
            rates = {**rates, "rim": (hyper.learning_rate * hyper.rim_multiplier, ("encoder",))}
            losses = (*losses, "rim_loss")
        super().__init__(
            config,
            networks,
            {name: (adam(rate, hyper), updated) for name, (rate, updated) in rates.items()} if training else {},
            losses,
        )

    def sample_step(self, step: tf.Tensor, batch_size: int) -> StepRandom:
        """Return the latents, posterior noise and views of training step `step`."""
        seed, hyper = self.step_seed(step), self.config.hyper

        def view(stream: int, shift: int, shear: float, stretch: float) -> Affine:
            return sample_affine(tf.random.fold_in(seed, stream), batch_size, shift, shear, stretch)

        fake_view = view(_FAKE_VIEW, hyper.encoder_shift, hyper.encoder_shear, hyper.encoder_stretch)
        real_view = view(_REAL_VIEW, hyper.rim_shift, hyper.rim_shear, hyper.rim_stretch)
        height, width, _ = self.config.image_shape
        erased = sample_rectangle(tf.random.fold_in(seed, _ERASED), batch_size, hyper.rim_erase, height, width)

        def noise(stream: int) -> tf.Tensor:
            shape = [batch_size, *self.config.image_shape]
            return hyper.instance_noise * tf.random.stateless_normal(shape, tf.random.fold_in(seed, stream))

        return StepRandom(
            self.sample_latents(step, batch_size),
            self.sample_step_noise(tf.random.fold_in(seed, _NOISE), batch_size),
            fake_view if hyper.augments else None,
            real_view if hyper.rim_multiplier else None,
            noise(_REAL_NOISE) if hyper.instance_noise else None,
            noise(_FAKE_NOISE) if hyper.instance_noise else None,
            erased if hyper.rim_multiplier and hyper.rim_both_ways else None,
        )

    def sample_step_noise(self, seed: tf.Tensor, batch_size: int) -> Any:
        """Return the posterior noise of a training step, from `seed` (int32 [2]); None in a system that takes none."""
        return None

    def update(self, images: tf.Tensor, random: StepRandom) -> dict[str, Any]:
        """One iteration; returns the losses by name."""
        fake, vjp = self.generate_with_vjp(random.latents)
        d_losses, gradients = self.discriminator_pass(images, fake, random)
        self.apply_gradients(gradients)
        # D is the new one from here on. All gradients are taken before the first update, and the updates follow in the
        # order of `optimizers`; the original leaves both to its executor.
        g_losses, gradients = self.generator_pass(fake, vjp, random)
        rim_losses, rim_gradients = self.information_pass(images, random)
        self.apply_gradients({**gradients, **rim_gradients})
        return {**d_losses, **g_losses, **rim_losses}

    def discriminator_pass(self, images: tf.Tensor, fake: tf.Tensor, random: StepRandom):
        """Return (losses by name, gradients by optimizer) of the first half."""
        raise NotImplementedError

    def generator_pass(self, fake: tf.Tensor, vjp, random: StepRandom):
        """Return (losses by name, gradients by optimizer) of the second half."""
        raise NotImplementedError

    def information_pass(self, images: tf.Tensor, random: StepRandom):
        """Regularised information maximisation on real images, for the encoder alone: (losses, gradients).

        Both are empty without it. Not part of the original. The images and their views pass through the encoder as two
        batches.
        """
        if random.real_view is None:
            return {}, {}
        encoder, both_ways = self.networks["encoder"], None
        images = add_noise(images, random.real_noise)
        views = apply_affine(images, random.real_view)
        if random.erased is not None:
            both_ways = tf.cast(self.optimizers["rim"].iterations < self.config.hyper.rim_both_ways, tf.float32)
            views = erase(views, random.erased._replace(size=both_ways * random.erased.size))
        with tf.GradientTape() as tape:
            logits = encoder(images, training=True)["logits"]
            view_logits = encoder(views, training=True)["logits"]
            rim_loss = losses.regularised_information(logits, view_logits, both_ways)
        variables = encoder.trainable_variables
        gradients = tape.gradient(rim_loss, variables)  # None for the heads of the continuous codes.
        gradients = [tf.zeros(v.shape) if g is None else g for g, v in zip(gradients, variables, strict=True)]
        return {"rim_loss": rim_loss}, {"rim": gradients}

    def generate_with_vjp(self, latents: Latents):
        """Return x' = G(z, u), and its vector-Jacobian product: dL/dx' -> gradients of the generator's variables."""
        generator = self.networks["generator"]
        with tf.GradientTape(persistent=True) as tape:
            fake = generator([latents.noise, latents.code], training=True)

        def vjp(gradient: Any) -> Any:
            return tape.gradient(fake, generator.trainable_variables, output_gradients=gradient)

        return fake, vjp

    def encoder_view(self, fake: tf.Tensor, random: StepRandom) -> tf.Tensor:
        """Return the encoder's input for x' [B, h, w, c]: augmented and with noise if that is configured."""
        view = fake if random.view is None else apply_affine(fake, random.view)
        return add_noise(view, random.fake_noise)

    def sample_prior(self, batch_size: int, seed: tf.Tensor) -> Latents:
        """z, d and c of `batch_size` images from the priors, as a function of `seed` (int32 [2])."""
        return sample_prior(self.config.latent, batch_size, seed, self.NOISE_PRIOR)

    @tf.function(reduce_retracing=True)
    def generate(self, latents: Latents) -> tf.Tensor:
        """G(z, u) in inference mode, [B, h, w, c]. Batch norm uses the statistics of this batch by default."""
        return self.networks["generator"]([latents.noise, latents.code], training=False)

    @tf.function(reduce_retracing=True)
    def encode(self, images: tf.Tensor) -> Posterior:
        """q(u|x) in inference mode for images [B, h, w, c]. Batch norm uses the statistics of this batch by default."""
        return Posterior(**self.networks["encoder"](images, training=False))

    @tf.function(reduce_retracing=True)
    def reconstruct(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """G(z, u ~ q(u|x)) for images [B, h, w, c], as a function of `seed` (int32 [2]) (docs/original.md, section 7).

        z is sampled from q(z|x) if the system infers it, else from its prior. Both passes use the statistics of this
        batch by default, so the images should be mixed.
        """
        size = tf.shape(images)[0]
        code_seed, prior_seed, noise_seed = tfp.random.split_seed(seed, 3)
        posterior, noise = self.encode(images), sample_noise(self.config.latent, size, code_seed)
        if self.can("infer_noise"):
            inferred = self.encode_noise(images)
            z = inferred.sample(tf.random.stateless_normal(tf.shape(inferred.mean), noise_seed))
        else:
            z = self.sample_prior(size, prior_seed).noise
        category = posterior.sample_categorical(noise.uniform)
        return self.generate(Latents(z, category, posterior.sample_continuous(noise.normal)))


def adam(rate: float, hyper: AdversarialHyperparameters) -> TF1Adam:
    """Adam at `rate`, which decays if the hyper-parameters say so."""
    half_life = hyper.learning_rate_half_life
    schedule = rate if half_life is None else HeldDecay(rate, half_life, hyper.learning_rate_hold)
    return TF1Adam(schedule, hyper.adam_beta1, hyper.adam_beta2, hyper.adam_epsilon)
