"""The Deep Mixture Generative Autoencoder, as the original's `Dropout_*` scripts compute it (docs/mixture.md)."""

from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from common.config import Config
from common.models import registry
from common.models.system import System
from common.nn import losses, mixture_losses, mixture_sampling, replicas
from common.nn.distributions import Latents, Posterior
from common.nn.mixture_networks import (
    build_expert_encoder,
    build_final_decoder,
    build_mask,
    build_sub_decoder,
    is_dense,
)
from common.nn.mixture_sampling import GammaNoise, GivenGamma
from common.nn.optimizers import TF1Adam

_TRAINING = 1  # Folded into a step's seed, next to the 0 of its latents.


class MixtureNoise(NamedTuple):
    """The noise of one pass.

    Attributes:
        normal: of the codes, [B, K, D] ~ N(0, 1).
        gamma: of the weights.
        mask: of the mask, as `mixture_sampling.mask_noise` gives it, or None.
    """

    normal: tf.Tensor
    gamma: GammaNoise | GivenGamma
    mask: tf.Tensor | None


class Pass(NamedTuple):
    """What a pass computes on its way to the images (section 2).

    Attributes:
        mean, stddev: of each expert's q_k(z|x), [B, K, D].
        mixing: unnormalised weights, [B, K].
        mask: [B, K], or None.
        concentration: of the Dirichlet distribution, rows sum to 1, [B, K].
        sample: a sample of it, [B, K].
        weights: of the experts, [B, K].
        codes: z_k, [B, K, D].
        outputs: of the final decoder: `images` [B, h, w, c], and their `logits` at 28 pixels.
    """

    mean: tf.Tensor
    stddev: tf.Tensor
    mixing: tf.Tensor
    mask: tf.Tensor | None
    concentration: tf.Tensor
    sample: tf.Tensor
    weights: tf.Tensor
    codes: tf.Tensor
    outputs: dict[str, tf.Tensor]


class Mixture(System):
    """K experts, each an encoder and a sub-decoder, mixed in hidden space and decoded by one final decoder.

    An expert is a category: a latent's `category` [B, K] holds the mixing weights, and its `continuous` code [B, D] is
    given to every expert. `encode` returns the moments of the mixture sum_k pi_k N(mean_k, stddev_k^2) as `mean` and
    `stddev`, and log pi as `logits`, so that the most heavily weighted expert is the most likely category.

    The capability "experts" adds `reconstruct_unmasked`, `contributions` and `experts_in_use`.
    """

    CAPABILITIES = frozenset({"encode", "sample", "reconstruct", "experts"})

    def __init__(self, config: Config, training: bool = True):
        """Initialise. Raises UserError if the images or latents are not of the kinds that this system has."""
        registry.require_no_noise(config)
        hyper = config.hyper
        self.experts = config.latent.categories
        self.dense = is_dense(config)
        numbers = range(1, self.experts + 1)
        networks: dict[str, keras.Model] = {f"encoder{k}": build_expert_encoder(config, f"encoder{k}") for k in numbers}
        networks |= {f"decoder{k}": build_sub_decoder(config, f"decoder{k}") for k in numbers}
        networks["final"] = build_final_decoder(config)
        if hyper.mask != "none":
            networks["mask"] = build_mask(hyper.mask, self.experts, hyper.corrected)
        adam = TF1Adam(hyper.learning_rate, hyper.adam_beta1, hyper.adam_beta2, hyper.adam_epsilon)
        names = ["loss", "reconstruction_loss", "kl", "kl_dirichlet", "dhsic"]
        names += ["regularizer"] if hyper.regularizes_mask else []
        names += ["dropout", "experts_in_use"] if hyper.mask != "none" else []
        self.TF1_SCOPES = {name: name for name in networks}
        super().__init__(config, networks, {"adam": (adam, tuple(networks))} if training else {}, tuple(names))

    def tf1_name(self, network: str, layer: keras.layers.Layer, variable: keras.Variable) -> str:
        """The name of a variable in the original's checkpoints: `encoder1/w0`, `decoder1/g_bn1/beta` or `dropout`."""
        if network == "mask":
            return variable.name
        if self.dense:
            return f"{network}/{'w' if variable.name == 'kernel' else 'b'}{layer.name[1:]}"
        return super().tf1_name(network, layer, variable)

    def sample_step(self, step: tf.Tensor, batch_size: int) -> MixtureNoise:
        """The noise of training step `step`."""
        return self.sample_noise(tf.random.fold_in(self.step_seed(step), _TRAINING), batch_size)

    def sample_noise(self, seed: tf.Tensor, batch_size: int) -> MixtureNoise:
        """The noise of one pass of `batch_size` images, as a function of `seed` (int32 [2])."""
        normal, gamma, mask = tfp.random.split_seed(seed, 3)
        shape = [batch_size, self.experts]
        return MixtureNoise(
            tf.random.stateless_normal([*shape, self.config.latent.continuous], normal),
            GammaNoise.sample(shape, gamma),
            mixture_sampling.mask_noise(self.config.hyper.mask, shape, mask),
        )

    def update(self, images: tf.Tensor, random: MixtureNoise) -> dict[str, tf.Tensor]:
        """One step of Adam on the loss; returns its terms by name."""
        with tf.GradientTape() as tape:
            result = self.forward(images, random, training=True, reparameterised=self.config.hyper.corrected)
            values = self.losses(images, result)
        variables = self.variables_of("adam")
        gradients = tape.gradient(values["loss"], variables)
        # A hard mask without regulariser has none: its variable stays where it is, as in TF1, which leaves it out.
        zeros = [tf.zeros(v.shape) if g is None else g for g, v in zip(gradients, variables, strict=True)]
        self.apply_gradients({"adam": zeros})
        if result.mask is not None:
            values["dropout"] = tf.convert_to_tensor(self.mask_variable)[0]
            values["experts_in_use"] = mixture_sampling.experts_in_use(self.config.hyper.mask, result.mask)
        return values

    @property
    def mask_variable(self) -> keras.Variable:
        """The original's `dropout`, [1]. Only systems with a mask have it."""
        return self.networks["mask"].trainable_variables[0]

    def forward(
        self,
        images: tf.Tensor,
        random: MixtureNoise,
        training: bool,
        masked: bool = True,
        reparameterised: bool = False,
    ) -> Pass:
        """From images x [B, h, w, c] to their reconstructions (section 2).

        Args:
            images: x.
            random: the noise.
            training: whether the averages of batch norms move.
            masked: whether the mask acts, if there is one.
            reparameterised: whether the Dirichlet sample has its implicit gradient; otherwise it is a constant.
        """
        mean, stddev, mixing = self._infer(images, training)
        mask = self.networks["mask"](random.mask) if random.mask is not None and masked else None
        # The original's CelebA scripts mask the experts' own weights, its MNIST scripts the Dirichlet sample.
        concentration = self._normalise(mixing if self.dense or mask is None else mask * mixing)
        draws = random.gamma.draws(tf.stop_gradient(concentration))
        if reparameterised:
            draws = mixture_sampling.reparameterised(concentration, draws)
        sample = mixture_sampling.dirichlet(draws)
        weights = self._normalise(mask * sample, sample) if self.dense and mask is not None else sample
        codes = mean + stddev * random.normal
        decoded = self.decode(weights, codes, training)
        return Pass(mean, stddev, mixing, mask, concentration, sample, weights, codes, decoded)

    def _infer(self, images: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Means and deviations of all experts' codes, [B, K, D], and their unnormalised weights [B, K]."""
        outputs = [self.networks[f"encoder{k}"](images, training=training) for k in range(1, self.experts + 1)]
        mean, stddev = (tf.stack([o[name] for o in outputs], axis=1) for name in ("mean", "stddev"))
        return mean, stddev, tf.concat([o["mixing"] for o in outputs], axis=-1)

    def _normalise(self, weights: tf.Tensor, fallback: tf.Tensor | None = None) -> tf.Tensor:
        """Scale the rows of `weights` [B, K] to a sum of 1.

        A row without weights is NaN, as in the original; corrected, it is that of `fallback` (default: equal weights).
        """
        if not self.config.hyper.corrected:
            return mixture_sampling.normalise(weights)
        equal = tf.fill(tf.shape(weights), 1.0 / self.experts)
        return mixture_sampling.normalise(weights, equal if fallback is None else fallback)

    def decode(self, weights: tf.Tensor, codes: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Decode F(sum_k weights_k S_k(codes_k)) from weights [B, K] and codes [B, K, D].

        Returns:
            A dict of `images` [B, h, w, c] and, at 28 pixels, their `logits`.
        """
        mixed = 0.0
        for k in range(self.experts):
            hidden = self.networks[f"decoder{k + 1}"](codes[:, k], training=training)
            weight = tf.reshape(weights[:, k], [-1] + [1] * (hidden.shape.rank - 1))
            mixed += weight * tf.cast(hidden, tf.float32)
        return self.networks["final"](mixed, training=training)

    def losses(self, images: tf.Tensor, result: Pass) -> dict[str, tf.Tensor]:
        """The loss and its terms, without their weights, by name (section 4)."""
        hyper = self.config.hyper
        if not self.dense:
            reconstruction = losses.squared_error(images, result.outputs["images"])
        elif hyper.corrected:
            reconstruction = mixture_losses.cross_entropy_from_logits(images, result.outputs["logits"])
        else:
            reconstruction = mixture_losses.cross_entropy(images, result.outputs["images"])
        kl = tf.reduce_mean(mixture_losses.gaussian_kl(result.mean, result.stddev))
        clipped = mixture_losses.clip_concentration(result.concentration)
        prior = mixture_losses.dirichlet_prior(self.experts)
        kl_dirichlet = mixture_losses.dirichlet_kl(clipped, prior, hyper.corrected)
        dhsic = mixture_losses.dhsic(replicas.all_gather(result.codes), hyper.corrected)
        values = {"reconstruction_loss": reconstruction, "kl": kl, "kl_dirichlet": kl_dirichlet, "dhsic": dhsic}
        loss = reconstruction + hyper.kl_weight * kl + kl_dirichlet + dhsic
        if hyper.regularizes_mask:
            values["regularizer"] = self._mask_regularizer()
            loss += values["regularizer"]
        return {"loss": loss, **values}

    def _mask_regularizer(self) -> tf.Tensor:
        hyper, variable = self.config.hyper, tf.convert_to_tensor(self.mask_variable)
        if hyper.mask in ("bernoulli", "concrete"):
            return mixture_losses.entropy_regularizer(variable, hyper.corrected)
        if hyper.mask == "hard":
            # The original puts the probability to keep where the formula has the logarithm of the noise's variance.
            variable = mixture_sampling.keep_probability(variable)
            if hyper.corrected:
                variable = mixture_sampling.log_alpha(variable)
        return mixture_losses.variational_dropout_kl(variable)

    def sample_prior(self, batch_size: int, seed: tf.Tensor) -> Latents:
        """Weights ~ Dirichlet(1/K, ..., 1/K) and codes ~ N(0, 1), as a function of `seed` (int32 [2])."""
        normal, gamma = tfp.random.split_seed(seed, 2)
        shape = [batch_size, self.experts]
        concentration = tf.fill(shape, mixture_losses.dirichlet_prior(self.experts))
        weights = mixture_sampling.dirichlet(GammaNoise.sample(shape, gamma).draws(concentration))
        codes = tf.random.stateless_normal([batch_size, self.config.latent.continuous], normal)
        return Latents(tf.zeros([batch_size, 0]), weights, codes)

    @tf.function(reduce_retracing=True)
    def generate(self, latents: Latents) -> tf.Tensor:
        """F(sum_k d_k S_k(z)), [B, h, w, c]: weights d are `category`; z is `continuous`, the same for every expert."""
        codes = tf.repeat(latents.continuous[:, None], self.experts, axis=1)
        return self.decode(latents.category, codes)["images"]

    @tf.function(reduce_retracing=True)
    def encode(self, images: tf.Tensor) -> Posterior:
        """The moments of sum_k pi_k N(mean_k, stddev_k^2), and logits log pi, of images [B, h, w, c]; without mask."""
        means, stddevs, mixing = self._infer(images, training=False)
        concentration = self._normalise(mixing)
        weights = concentration[..., None]
        mean = tf.reduce_sum(weights * means, axis=1)
        spread = tf.square(stddevs) + tf.math.squared_difference(means, mean[:, None])
        return Posterior(tf.math.log(concentration), mean, tf.sqrt(tf.reduce_sum(weights * spread, axis=1)))

    @tf.function(reduce_retracing=True)
    def reconstruct(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Reconstructions y of images [B, h, w, c], with noise and mask from `seed` (int32 [2]) (section 6)."""
        noise = self.sample_noise(seed, tf.shape(images)[0])
        return self.forward(images, noise, training=False).outputs["images"]

    @tf.function(reduce_retracing=True)
    def reconstruct_unmasked(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """As `reconstruct`, with the same codes and weights but no mask: the original's final output (section 6)."""
        noise = self.sample_noise(seed, tf.shape(images)[0])
        return self.forward(images, noise, training=False, masked=False).outputs["images"]

    @tf.function(reduce_retracing=True)
    def contributions(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """`reconstruct_unmasked` with the codes of all experts but one set to 0: [K, B, h, w, c] (section 6)."""
        noise = self.sample_noise(seed, tf.shape(images)[0])
        result = self.forward(images, noise, training=False, masked=False)
        alone = tf.eye(self.experts)[:, None, :, None] * result.codes
        return tf.stack([self.decode(result.weights, codes)["images"] for codes in tf.unstack(alone)])

    @tf.function(reduce_retracing=True)
    def experts_in_use(self, batch_size: int, seed: tf.Tensor) -> tf.Tensor:
        """How many experts a mask leaves in use: the mean over `batch_size` masks from `seed` (int32 [2]), scalar."""
        if self.config.hyper.mask == "none":
            return tf.constant(float(self.experts))
        noise = mixture_sampling.mask_noise(self.config.hyper.mask, [batch_size, self.experts], seed)
        return mixture_sampling.experts_in_use(self.config.hyper.mask, self.networks["mask"](noise))
