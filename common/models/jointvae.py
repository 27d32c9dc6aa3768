"""JointVAE (Dupont 2018)."""

import math

import tensorflow as tf

from common.config import Config
from common.models.vae import LOSSES, VariationalSystem
from common.nn import losses, replicas
from common.nn.distributions import Posterior, PosteriorNoise, kl_categorical, kl_continuous
from common.nn.vae_networks import build_conv_decoder, build_conv_encoder, side_of_convolutions


class JointVAE(VariationalSystem):
    """-E log p(x|d, c) + gamma |KL_c - C_c(t)| + gamma |KL_d - C_d(t)|, divided by the number of pixels (eq. 7).

    The first term is averaged over channels, as the author's code does. It is divided by the images' pixels, the others
    by those that the networks see after resizing: to the author's code both are the same, since it resizes the data.
    c are Gaussian codes and d is a Gumbel-softmax category. Both capacities C grow linearly; C_d stops at log K at the
    latest, which is all that a category can hold.
    """

    def __init__(self, config: Config, training: bool = True):
        networks = {"encoder": build_conv_encoder(config, "fan_in"), "decoder": build_conv_decoder(config, "fan_in")}
        super().__init__(config, networks, (*LOSSES, "categorical_kl"), training)

    def objective(self, pixels: tf.Tensor, random: PosteriorNoise) -> dict[str, tf.Tensor]:
        """Return the losses by name; all but "loss" in nats per image."""
        hyper, spec = self.config.hyper, self.config.latent
        posterior = Posterior(**self.networks["encoder"](pixels, training=True))
        category = posterior.sample_categorical(random.uniform, hyper.temperature)
        code = tf.concat([category, posterior.sample_continuous(random.normal)], axis=-1)
        reconstruction = losses.bernoulli(pixels, self.networks["decoder"](code, training=True))
        continuous_kl = replicas.batch_mean(kl_continuous(posterior))
        categorical_kl = replicas.batch_mean(kl_categorical(posterior.logits))
        capacity_c, capacity_d = (
            losses.capacity(self.step + 1, maximum, hyper.capacity_steps)
            for maximum in (hyper.continuous_capacity, hyper.categorical_capacity)
        )
        capacity_d = tf.minimum(capacity_d, math.log(spec.categories))
        distance = tf.abs(continuous_kl - capacity_c) + tf.abs(categorical_kl - capacity_d)
        height, width, channels = self.config.image_shape
        return {
            "loss": reconstruction / (height * width * channels)
            + hyper.capacity_weight * distance / side_of_convolutions(self.config) ** 2,
            "reconstruction_loss": reconstruction,
            "continuous_kl": continuous_kl,
            "categorical_kl": categorical_kl,
        }
