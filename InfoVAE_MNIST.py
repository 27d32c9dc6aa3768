"""Train InfoVAEGAN on MNIST: ten categories and two continuous codes that nobody labelled."""

import dataclasses
import sys

from common.cli import main
from common.config import Config, LatentSpec
from common.models.registry import InfoVAEGANHyperparameters

# Section numbers refer to the reference of the original's computation. It has no MNIST script: networks and latents are
# its authors' for MNIST; rates and weights are those of its main scripts.
CONFIG = Config(
    name="InfoVAE_MNIST",
    checkpoint_name="InfoVAE_MNIST",
    dataset="mnist",
    image_shape=(28, 28, 1),  # Section 2.
    scaling="unit",  # x / 255 under a sigmoid (sections 2 and 6).
    latent=LatentSpec(noise=100, categories=10, continuous=2),  # The paper, section 6.
    epochs=10,  # As the main scripts (section 6).
    batch_size=64,  # "Sizes".
    hyper=InfoVAEGANHyperparameters(
        learning_rate=2e-4,  # Section 4; so are the next six values.
        generator_multiplier=5.0,
        information_multiplier=5.0,
        vae_multiplier=5.0,
        adam_beta1=0.5,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        categorical_kl_weight=0.001,  # Section 3.
        first_batch_norm=False,  # Section 2.
    ),
)

# Tuned by hand (docs/experiments.md).
PRESETS = {
    "tuned": dataclasses.replace(
        CONFIG,
        latent=dataclasses.replace(CONFIG.latent, noise=16),
        epochs=6,
        hyper=dataclasses.replace(
            CONFIG.hyper,
            generator_multiplier=10.0,  # As in the authors' InfoGAN (section 4).
            learning_rate_hold=3748,  # Four epochs of 937 steps.
            learning_rate_half_life=400,
            encoder_shift=2,
            encoder_shear=0.3,
            encoder_stretch=0.15,
        ),
    )
}

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__, presets=PRESETS))
