"""What the variational autoencoders have in common: one loss on one tape, Gaussian codes, Bernoulli pixels."""

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from common.config import Config
from common.models import registry
from common.models.system import System
from common.nn.distributions import Latents, Posterior, sample_noise
from common.nn.optimizers import TF1Adam

LOSSES = ("loss", "reconstruction_loss", "continuous_kl")


class VariationalSystem(System):
    """An encoder q(u|x) and a decoder p(x|u), trained by one optimizer on one loss, `objective`.

    Pixels are Bernoulli variables, and so in [0, 1]: images in [-1, 1] are mapped there, and what is decoded is mapped
    back. The prior of the continuous codes is N(0, I), that of the category is uniform.
    """

    CAPABILITIES = frozenset({"encode", "sample", "reconstruct"})

    def __init__(
        self,
        config: Config,
        networks: dict[str, keras.Model],
        losses: tuple[str, ...],
        training: bool,
        optimizers: dict[str, tuple[TF1Adam, tuple[str, ...]]] | None = None,
    ):
        """Initialise.

        Args:
            config: the configuration.
            networks: by name; "encoder" and "decoder" among them.
            losses: names of the losses to report.
            training: whether to build the optimizers.
            optimizers: further ones, as `System` takes them.

        Raises:
            UserError: `config` has noise, which these systems lack.
        """
        registry.require_no_noise(config)
        hyper = config.hyper
        adam = TF1Adam(hyper.learning_rate, hyper.adam_beta1, hyper.adam_beta2, hyper.adam_epsilon)
        every = {"vae": (adam, ("encoder", "decoder")), **(optimizers or {})}
        super().__init__(config, networks, every if training else {}, losses)

    def sample_step(self, step: tf.Tensor, batch_size: int) -> Any:
        """Return the posterior noise of training step `step`."""
        return sample_noise(self.config.latent, batch_size, self.step_seed(step))

    def update(self, images: tf.Tensor, random: Any) -> dict[str, Any]:
        """One step of encoder and decoder down the gradient of `objective`."""
        with tf.GradientTape() as tape:
            losses = self.objective(self.to_pixels(images), random)
        self.apply_gradients({"vae": tape.gradient(losses["loss"], self.variables_of("vae"))})
        return losses

    def objective(self, pixels: tf.Tensor, random: Any) -> dict[str, tf.Tensor]:
        """Return the losses by name; "loss" is the one that is minimised.

        Args:
            pixels: a batch, [B, h, w, c] in [0, 1].
            random: as `sample_step` gives it.
        """
        raise NotImplementedError

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        """Return logits of the pixels, [B, h, w, c], from codes u [B, K+C], in inference mode."""
        return self.networks["decoder"](code, training=False)

    def to_pixels(self, images: tf.Tensor) -> tf.Tensor:
        """`images` [B, h, w, c] as the configuration scales them, in [0, 1]."""
        return (images + 1.0) / 2.0 if self.config.symmetric else images

    def to_images(self, logits: tf.Tensor) -> tf.Tensor:
        """Return the means of the pixels with `logits` [B, h, w, c], scaled as the configuration scales images."""
        pixels = tf.sigmoid(logits)
        return pixels * 2.0 - 1.0 if self.config.symmetric else pixels

    def sample_prior(self, batch_size: int, seed: tf.Tensor) -> Latents:
        """Sample latents of `batch_size` images from `seed` (int32 [2]): d ~ Cat(K, 1/K), c ~ N(0, I), no z."""
        spec = self.config.latent
        category_seed, continuous_seed = tfp.random.split_seed(seed, 2)
        if spec.categories:
            indices = tf.random.stateless_uniform([batch_size], category_seed, maxval=spec.categories, dtype=tf.int32)
            category = tf.one_hot(indices, spec.categories)
        else:
            category = tf.zeros([batch_size, 0])
        continuous = tf.random.stateless_normal([batch_size, spec.continuous], continuous_seed)
        return Latents(tf.zeros([batch_size, 0]), category, continuous)

    @tf.function(reduce_retracing=True)
    def generate(self, latents: Latents) -> tf.Tensor:
        """Return the mean image of p(x|u), [B, h, w, c]."""
        return self.to_images(self.decode(latents.code))

    @tf.function(reduce_retracing=True)
    def encode(self, images: tf.Tensor) -> Posterior:
        """q(u|x) of images [B, h, w, c]."""
        return Posterior(**self.networks["encoder"](self.to_pixels(images), training=False))

    @tf.function(reduce_retracing=True)
    def reconstruct(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Decode the likeliest category and mean codes of images [B, h, w, c]; `seed` is unused."""
        posterior = self.encode(images)
        spec = self.config.latent
        codes: list[Any] = [posterior.mean]
        if spec.categories:
            codes.insert(0, tf.one_hot(tf.argmax(posterior.logits, axis=-1), spec.categories))
        return self.to_images(self.decode(tf.concat(codes, axis=-1)))
