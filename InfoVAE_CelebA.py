"""Train InfoVAEGAN on CelebA: 202,599 photographs of faces, aligned and cropped."""

import sys

from common.cli import main
from common.config import Config, LatentSpec
from common.models.hyperparameters import InfoVAEGANHyperparameters

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

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))
