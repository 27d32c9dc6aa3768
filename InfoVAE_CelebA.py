"""Train InfoVAEGAN on CelebA: 202,599 photographs of faces, aligned and cropped."""

import sys

from common.cli import main
from common.config import Config, LatentSpec
from common.models.hyperparameters import InfoVAEGANHyperparameters

# isort: split
import dataclasses  # Last: a Python that is too old to have it is told so by `common`.

# Section numbers refer to docs/original.md.
CONFIG = Config(
    name="InfoVAE_CelebA",
    checkpoint_name="InfoVAE_Celeba",  # Spelled so in the original (section 7).
    dataset="celeba",
    image_shape=(64, 64, 3),  # Section 2.
    scaling="tanh",  # x / 127.5 - 1, after the contrast stretch (section 6).
    latent=LatentSpec(noise=100, categories=10, continuous=10),  # "Sizes".
    epochs=10,  # Section 6; the authors' cluster version uses 20.
    batch_size=64,  # "Sizes".
    hyper=InfoVAEGANHyperparameters(
        learning_rate=2e-4,  # Section 4; so are the next six values.
        generator_multiplier=5.0,
        information_multiplier=5.0,
        vae_multiplier=5.0,
        adam_beta1=0.5,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        categorical_kl_weight=0.001,  # Section 3; the authors' cluster version omits the term (0).
        first_batch_norm=False,  # Section 2.
    ),
)

# Narrow networks, for two cores (docs/experiments.md).
_LIGHT = dataclasses.replace(
    CONFIG,
    latent=LatentSpec(noise=5, categories=10, continuous=5),  # Little noise leaves the factors to the codes.
    epochs=5,
    steps_per_epoch=2000,  # Less than a whole epoch, of which real and synthetic faces have different numbers.
    batch_norm="standing",  # An image no longer depends on its batch.
    hyper=dataclasses.replace(
        CONFIG.hyper,
        width=0.125,  # A step takes a sixteenth of the time.
        learning_rate=4e-4,  # Narrow networks stand a higher rate.
        learning_rate_hold=7500,  # Of 10,000 steps; then the rates fall, which steadies all networks.
        learning_rate_half_life=500,
        # An encoder that sees images moved, slanted and stretched cannot read codes from details that G hides for it.
        encoder_shift=2,
        encoder_shear=0.05,
        encoder_stretch=0.05,
    ),
)
PRESETS = {"light": _LIGHT}

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__, presets=PRESETS))
