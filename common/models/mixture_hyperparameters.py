"""The hyper-parameters and sizes of the mixture of autoencoders (docs/mixture.md). Does not import TensorFlow."""

import dataclasses

from common.config import Config, LatentSpec
from common.models.hyperparameters import Hyperparameters, hyperparameter

EXPERTS = 4
_DENSE = 28  # Pixels.


@dataclasses.dataclass(frozen=True)
class MixtureHyperparameters(Hyperparameters):
    """The Deep Mixture Generative Autoencoder. Defaults are those of the original's MNIST scripts (section 5)."""

    learning_rate: float = hyperparameter(1e-3, "Adam's learning rate", above=0)
    adam_beta1: float = hyperparameter(0.9, "Adam's decay of the first moment", minimum=0, below=1)
    adam_beta2: float = hyperparameter(0.999, "Adam's decay of the second moment", minimum=0, below=1)
    adam_epsilon: float = hyperparameter(1e-8, "Adam's epsilon", above=0)
    width: float = hyperparameter(
        1.0, "filters and hidden units of all networks, as a multiple of the original's", above=0
    )
    mask: str = hyperparameter(
        "bernoulli",
        "random mask over the experts (docs/mixture.md, section 3)",
        choices=("none", "bernoulli", "concrete", "gaussian", "hard"),
    )
    mask_regularizer: bool = hyperparameter(
        True, "add the mask's regulariser to the loss; the original's hard masks of four experts are without it"
    )
    kl_weight: float = hyperparameter(
        1.0, "weight of the codes' KL divergence in the loss (default: 1 at 28 pixels, 0.1 at 64)", minimum=0
    )
    corrected: bool = hyperparameter(
        False, "compute what was meant where the original computes something else (docs/mixture.md, section 8)"
    )

    @property
    def regularizes_mask(self) -> bool:
        """Whether the loss has a regulariser."""
        return self.mask != "none" and self.mask_regularizer


def mixture_sizes(config: Config) -> Config:
    """The sizes of the original's MNIST scripts at 28 pixels, and of its CelebA scripts otherwise (section 5)."""
    dense = config.image_shape[0] == _DENSE
    hyper = config.hyper if dense else dataclasses.replace(config.hyper, learning_rate=1e-4, kl_weight=0.1)
    return dataclasses.replace(
        config,
        hyper=hyper,
        latent=LatentSpec(noise=0, categories=EXPERTS, continuous=50 if dense else 256),
        batch_size=128 if dense else 64,
        epochs=100 if dense else 5,
    )
