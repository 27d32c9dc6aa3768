"""What `--plain` compares with: InfoVAEGAN in Keras as it comes, written straightforwardly. Nothing but the benchmark uses it."""

from typing import NamedTuple

import keras
import tensorflow as tf

from common.models.infovaegan import InfoVAEGAN
from common.nn import losses
from common.nn.distributions import Posterior, kl_categorical, kl_continuous
from common.nn.layers import BatchNorm, ConvBeforeNorm, DeconvBeforeNorm
from common.nn.optimizers import TF1Adam


class Parts(NamedTuple):
    """Which parts of a plain step are done as the product does them, in the order in which `--gains` adds them."""

    fused_batch_norm: bool = False
    fused_adam: bool = False
    shared_images: bool = False
    bias_in_norm: bool = False  # That of a convolution in front of a batch norm.


class Plain:
    """The same networks, initial weights, losses and noise, with Keras's own batch norm and Adam, and x' made anew in each half.

    E(x') is shared by q_loss and vae_loss, which one persistent tape gives of itself.

    Args:
        system: of whose configuration and weights it is; it is left alone.
        parts: what is not plain after all.
    """

    def __init__(self, system: InfoVAEGAN, parts: Parts = Parts()):
        self._system, self._parts = system, parts
        self.networks = {name: _copy(network, parts) for name, network in system.networks.items()}
        config = system.config
        adam = TF1Adam if parts.fused_adam else keras.optimizers.Adam
        self._optimizers = {
            name: adam(
                float(optimizer.learning_rate),
                config.hyper.adam_beta1,
                config.hyper.adam_beta2,
                config.hyper.adam_epsilon,
            )
            for name, optimizer in system.optimizers.items()
        }
        for name, optimizer in self._optimizers.items():
            optimizer.build(self._moved(name))
        self.step = tf.Variable(0, dtype=tf.int64)

    def _moved(self, optimizer: str) -> list[keras.Variable]:
        return [v for network in self._system.moves[optimizer] for v in self.networks[network].trainable_variables]

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """One training step on `images` [B, h, w, c]; returns its losses by name."""
        size = self._system.config.batch_size
        latents, noise = self._system.sample_latents(self.step, size), self._system.sample_step_noise(self.step, size)
        encoder, generator, discriminator = (self.networks[name] for name in ("encoder", "generator", "discriminator"))
        category, continuous = self._system.split_code(latents.code)
        with tf.GradientTape(persistent=True) as tape:
            fake = generator([latents.noise, latents.code], training=True)

        inferred = Posterior(**encoder(images, training=True)).sample(noise.real)
        with tf.GradientTape() as d_tape:
            d_loss = losses.adversarial(
                discriminator([images, inferred], training=True), real=True
            ) + losses.adversarial(discriminator([fake, latents.code], training=True), real=False)
        self._optimizers["d"].apply(d_tape.gradient(d_loss, self._moved("d")), self._moved("d"))

        if not self._parts.shared_images:
            tape = tf.GradientTape(persistent=True)
        with tape:  # Goes on, if it has x' already.
            if not self._parts.shared_images:
                fake = generator([latents.noise, latents.code], training=True)
            posterior = Posterior(**encoder(self._system.as_seen(fake, noise), training=True))
            reconstruction = generator([latents.noise, posterior.sample(noise.fake)], training=True)
            values = {
                "g_loss": losses.adversarial(discriminator([fake, latents.code], training=True), real=True),
                "q_loss": losses.categorical_information(posterior.logits, category)
                + losses.continuous_information(posterior.sample_continuous(noise.estimate), continuous),
                "vae_loss": losses.squared_error(fake, reconstruction)
                + tf.reduce_mean(kl_continuous(posterior))
                + self._system.config.hyper.categorical_kl_weight * tf.reduce_mean(kl_categorical(posterior.logits)),
            }
        gradients = {
            name: tape.gradient(
                values[f"{name}_loss"],
                [v.value for v in self._moved(name)],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            for name in ("g", "q", "vae")
        }
        for name, gradient in gradients.items():
            self._optimizers[name].apply(gradient, self._moved(name))
        self.step.assign_add(1)
        return {"d_loss": d_loss, **values}


class _Conv(ConvBeforeNorm):
    """Adds its bias itself, which the batch norm then has nothing to do with."""

    def call(self, inputs):
        return keras.layers.Conv2D.call(self, inputs), tf.zeros([self.filters])


class _Deconv(DeconvBeforeNorm):
    """As `_Conv`, transposed."""

    def call(self, inputs):
        return keras.layers.Conv2DTranspose.call(self, inputs), tf.zeros([self.filters])


class _Norm(keras.layers.BatchNormalization):
    """Keras's own, in the place of one that is told a bias: that is always 0 here."""

    def call(self, inputs, bias=None, training=None):
        return super().call(inputs, training=training)


def _copy(network: keras.Model, parts: Parts) -> keras.Model:
    """A copy of `network`, weights included, in which Keras's own layers stand for those of the product that are not among `parts`."""

    def copy(layer):
        kind, settings = type(layer), layer.get_config()
        if kind is BatchNorm and not parts.fused_batch_norm:
            kind = _Norm
            del settings["statistics"]
        elif not parts.bias_in_norm:
            kind = {ConvBeforeNorm: _Conv, DeconvBeforeNorm: _Deconv}.get(kind, kind)
        return kind.from_config(settings)

    plain = keras.models.clone_model(network, clone_function=copy)
    plain.set_weights(network.get_weights())
    return plain
