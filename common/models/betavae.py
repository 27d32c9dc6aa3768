"""beta-VAE (Higgins et al. 2017), and its annealed form (Burgess et al. 2018)."""

import tensorflow as tf

from common.config import Config
from common.models.vae import LOSSES, VariationalSystem
from common.nn import losses, replicas
from common.nn.distributions import Posterior, PosteriorNoise, kl_continuous
from common.nn.vae_networks import build_conv_decoder, build_conv_encoder


class BetaVAE(VariationalSystem):
    """-E log p(x|c) + beta KL(q(c|x) || N(0, I)) (Higgins et al. 2017, eq. 4).

    With a capacity, -E log p(x|c) + gamma |KL - C(t)| instead (Burgess et al. 2018, eq. 8): C grows linearly. With a
    start, beta(t) KL: beta falls geometrically, which is in neither paper (docs/baselines.md).
    """

    def __init__(self, config: Config, training: bool = True):
        networks = {"encoder": build_conv_encoder(config), "decoder": build_conv_decoder(config)}
        super().__init__(config, networks, LOSSES, training)

    def objective(self, pixels: tf.Tensor, random: PosteriorNoise) -> dict[str, tf.Tensor]:
        """Return the losses by name."""
        posterior = Posterior(**self.networks["encoder"](pixels, training=True))
        logits = self.networks["decoder"](posterior.sample_continuous(random.normal), training=True)
        reconstruction = losses.bernoulli(pixels, logits)
        kl = replicas.batch_mean(kl_continuous(posterior))
        return {"loss": reconstruction + self.penalty(kl), "reconstruction_loss": reconstruction, "continuous_kl": kl}

    def penalty(self, kl: tf.Tensor) -> tf.Tensor:
        """Return what the KL divergence of the codes, a scalar in nats, costs at this step."""
        hyper = self.config.hyper
        if hyper.beta_capacity is not None:
            capacity = losses.capacity(self.step + 1, hyper.beta_capacity, hyper.capacity_steps)
            return hyper.capacity_weight * tf.abs(kl - capacity)
        if hyper.beta_start is not None:
            return losses.falling_weight(self.step, hyper.beta_start, hyper.beta, hyper.beta_steps) * kl
        return hyper.beta * kl
