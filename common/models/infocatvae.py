"""InfoCatVAE (Lelarge & Pineau 2018)."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from common.config import Config
from common.errors import UserError
from common.models.vae import LOSSES, VariationalSystem
from common.nn import losses, replicas
from common.nn.distributions import Latents, Posterior
from common.nn.vae_networks import build_class_encoder, build_dense_decoder

HIDDEN = 400  # Units of the one hidden layer of each network.


class CatRandom(NamedTuple):
    """The randomness of a step; `e_mask` and `d_mask` are dropout masks of encoder and decoder, 0 or 1 / (1 - rate).

    Attributes:
        normal: of z ~ q(z|x), [B, C].
        e_mask, d_mask: for the images, [B, units].
        category: the classes of the images that are generated, one-hot, [N, K].
        prior: the z that they are generated from, z ~ p(z|d), [N, C].
        fake_e_mask, fake_d_mask: for those, [N, units].
    """

    normal: tf.Tensor
    e_mask: tf.Tensor
    d_mask: tf.Tensor
    category: tf.Tensor
    prior: tf.Tensor
    fake_e_mask: tf.Tensor
    fake_d_mask: tf.Tensor


class InfoCatVAE(VariationalSystem):
    """A VAE whose prior is a mixture, one N(mu_d, I) for each class d, trained with q(d|x) as soft assignments.

    mu_d is `prior_mean` in the coordinates of its own class and 0 in all others: each class has as many, C / K. The
    information term asks q(d|x) for the class that generated images were made from. What this project calls the
    continuous code c is the distance from the class's mean, z = mu_d + c, so that d and c can be varied separately.
    """

    def __init__(self, config: Config, training: bool = True):
        spec = config.latent
        if spec.continuous % spec.categories:
            raise UserError(
                f"--continuous must be a multiple of --categories, since each class has coordinates of its own; "
                f"got {spec.continuous} and {spec.categories}"
            )
        generated, devices = config.hyper.class_samples * spec.categories, replicas.replicas()
        if generated % devices:
            raise UserError(
                f"--class-samples times --categories must be a multiple of {devices}, for {devices} devices, "
                f"got {generated}"
            )
        networks = {"encoder": build_class_encoder(config, HIDDEN), "decoder": build_dense_decoder(config, HIDDEN)}
        super().__init__(config, networks, (*LOSSES, "negative_entropy", "information_loss"), training)
        own = np.repeat(np.eye(spec.categories, dtype=np.float32), spec.continuous // spec.categories, axis=1)
        self.class_means = config.hyper.prior_mean * own  # mu_d, [K, C].

    def sample_step(self, step: tf.Tensor, batch_size: int) -> CatRandom:
        """Return the noise, dropout masks, and classes to generate, of training step `step`."""
        spec, count = self.config.latent, self.config.hyper.class_samples
        seeds = tfp.random.split_seed(self.step_seed(step), 6)
        category = tf.tile(tf.eye(spec.categories), [count, 1])
        size = count * spec.categories
        noise = tf.random.stateless_normal([size, spec.continuous], seeds[1])
        return CatRandom(
            tf.random.stateless_normal([batch_size, spec.continuous], seeds[0]),
            self.dropout(batch_size, seeds[2]),
            self.dropout(batch_size, seeds[3]),
            category,
            self.locate(category, noise),
            self.dropout(size, seeds[4]),
            self.dropout(size, seeds[5]),
        )

    def objective(self, pixels: tf.Tensor, random: CatRandom) -> dict[str, tf.Tensor]:
        """Return the losses by name, in nats per image. The original's loss is a sum over the batch: B times this."""
        encoder, decoder, hyper = self.networks["encoder"], self.networks["decoder"], self.config.hyper
        outputs = encoder([pixels, random.e_mask], training=True)
        assignment = tf.nn.softmax(outputs["logits"])
        posterior = self.average(outputs)
        logits = decoder([posterior.sample_continuous(random.normal), random.d_mask], training=True)
        reconstruction = losses.bernoulli(pixels, logits)
        negative_entropy = losses.negative_entropy(assignment)
        kl = losses.mixture_kl(assignment, outputs["mean"], outputs["log_variance"], self.class_means)

        fake = tf.sigmoid(decoder([random.prior, random.fake_d_mask], training=True))
        fake_logits = encoder([fake, random.fake_e_mask], training=True)["logits"]
        information_loss = losses.categorical_information(fake_logits, random.category)
        weight = hyper.information_weight / self.config.batch_size
        return {
            "loss": reconstruction + negative_entropy + kl + weight * information_loss,
            "reconstruction_loss": reconstruction,
            "continuous_kl": kl,
            "negative_entropy": negative_entropy,
            "information_loss": information_loss,
        }

    def average(self, outputs: dict[str, tf.Tensor]) -> Posterior:
        """q(z|x) at the soft assignment: the encoder is linear in d, so its outputs [B, K, C] are averaged over d."""
        assignment = tf.nn.softmax(outputs["logits"])
        mean, log_variance = (tf.einsum("bk,bkc->bc", assignment, outputs[name]) for name in ("mean", "log_variance"))
        return Posterior(outputs["logits"], mean, tf.exp(0.5 * log_variance))

    def locate(self, category: tf.Tensor, continuous: tf.Tensor) -> tf.Tensor:
        """Return the z of mu_d + c, [B, C], from categories d [B, K], which may be soft, and codes c [B, C]."""
        return tf.matmul(category, self.class_means) + continuous

    def dropout(self, size: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return a dropout mask [size, units] as a function of `seed` (int32 [2])."""
        rate = self.config.hyper.dropout
        kept = tf.random.stateless_uniform([size, HIDDEN], seed) >= rate
        return tf.cast(kept, tf.float32) / (1.0 - rate)

    def inference_mask(self, size: tf.Tensor, stream: int) -> tf.Tensor:
        """Return the mask [size, units] outside training: ones, or with `test_dropout` one from the run's seed."""
        if self.config.hyper.test_dropout:
            return self.dropout(size, tf.constant([self.config.seed, stream], tf.int32))
        return tf.ones([size, HIDDEN])

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        """Return logits of the pixels, [B, h, w, c], from u = concat(d, c) [B, K+C], in inference mode."""
        category, continuous = tf.split(code, [self.config.latent.categories, -1], axis=-1)
        mask = self.inference_mask(tf.shape(code)[0], 1)
        return self.networks["decoder"]([self.locate(category, continuous), mask], training=False)

    @tf.function(reduce_retracing=True)
    def encode(self, images: tf.Tensor) -> Posterior:
        """q(d|x), and q(c|x) at that soft assignment, of images [B, h, w, c]; c is z less the mean of its classes."""
        mask = self.inference_mask(tf.shape(images)[0], 0)
        outputs = self.networks["encoder"]([self.to_pixels(images), mask], training=False)
        posterior = self.average(outputs)
        centre = tf.matmul(tf.nn.softmax(posterior.logits), self.class_means)
        return posterior._replace(mean=posterior.mean - centre)

    @tf.function(reduce_retracing=True)
    def reconstruct(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return the mean image of p(x|z) at the mean z of `images` [B, h, w, c], as the original; `seed` is unused."""
        posterior = self.encode(images)
        return self.generate(
            Latents(tf.zeros([tf.shape(images)[0], 0]), tf.nn.softmax(posterior.logits), posterior.mean)
        )
