"""Train InfoVAEGAN on dSprites: 737,280 sprites, one for each combination of shape, scale, orientation and position."""

import sys

from common.cli import main
from common.config import Config, LatentSpec
from common.models.hyperparameters import InfoVAEGANHyperparameters

# isort: split
import dataclasses  # Last: a Python that is too old to have it is told so by `common`.

# Section numbers refer to docs/original.md.
CONFIG = Config(
    name="InfoVAE_dSprites",
    checkpoint_name="InfoVAE_dSprites",
    dataset="dsprites",
    image_shape=(64, 64, 1),  # Section 2.
    scaling="binary",  # Pixels stay {0, 1} although the generator ends in tanh (section 6).
    latent=LatentSpec(noise=100, categories=10, continuous=10),  # "Sizes".
    epochs=10,  # Section 6.
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

# Narrow networks, for two cores (docs/experiments.md).
_LIGHT = dataclasses.replace(
    CONFIG,
    scaling="signed",  # {-1, 1}, the ends of tanh's range: at {0, 1} the background flickers, and D sees that.
    latent=LatentSpec(
        noise=5,  # Little noise leaves the factors to the codes.
        categories=0,  # A category becomes the part of the image that the sprite is in.
        continuous=5,
    ),
    epochs=6,
    steps_per_epoch=2000,  # Of 23,040: shorter epochs show how a run gets on.
    batch_size=32,  # More steps in the same time.
    batch_norm="standing",  # An image no longer depends on its batch.
    hyper=dataclasses.replace(
        CONFIG.hyper,
        width=0.125,  # A step takes a sixteenth of the time.
        learning_rate=1e-3,  # A strong D asks for every position alike, which ties positions to single codes.
        generator_multiplier=1.0,
        information_multiplier=0.2,  # At higher rates the codes change outlines rather than positions.
        vae_multiplier=0.5,
        learning_rate_hold=10000,  # Of 12,000 steps; then the rates fall, which steadies all networks.
        learning_rate_half_life=500,
        # An encoder that sees images with noise, moved and stretched cannot read codes from specks that G hides for it.
        instance_noise=0.3,
        encoder_shift=2,
        encoder_stretch=0.05,
    ),
)
PRESETS = {"light": _LIGHT}

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__, presets=PRESETS))
