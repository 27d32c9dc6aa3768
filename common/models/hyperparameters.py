"""Hyper-parameters of systems as frozen dataclasses, from which their flags, checks and help follow.

Here are the base and those of the adversarial systems; `baselines` has those of the VAEs. Section numbers are those of
docs/original.md. Does not import TensorFlow.
"""

import dataclasses

from common.errors import UserError
from common.fields import described as hyperparameter
from common.fields import require_ranges, with_default


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """Base of every system's hyper-parameters. Subclasses declare fields with `hyperparameter`.

    Raises:
        UserError: a value is not of its field's type or range, or values contradict each other.
    """

    def __post_init__(self):
        require_ranges(self)
        conflict = self.conflict()
        if conflict:
            raise UserError(conflict)

    def conflict(self) -> str | None:
        """Return an error message if values contradict each other, else None."""
        return None


@dataclasses.dataclass(frozen=True)
class AdversarialHyperparameters(Hyperparameters):
    """What all adversarial systems share. Defaults are those of the original's main scripts (section 4)."""

    learning_rate: float = hyperparameter(2e-4, "learning rate of the discriminator", above=0)
    generator_multiplier: float = hyperparameter(
        5.0, "learning rate of the generator, as a multiple of --learning-rate", above=0
    )
    learning_rate_half_life: int | None = hyperparameter(
        None, "halve all learning rates every N updates, smoothly (default: constant)", minimum=1
    )
    learning_rate_hold: int = hyperparameter(
        0, "start the decay of --learning-rate-half-life after N updates", minimum=0
    )
    adam_beta1: float = hyperparameter(0.5, "Adam's decay of the first moment", minimum=0, below=1)
    adam_beta2: float = hyperparameter(0.999, "Adam's decay of the second moment", minimum=0, below=1)
    adam_epsilon: float = hyperparameter(1e-8, "Adam's epsilon", above=0)
    first_batch_norm: bool = hyperparameter(
        False, "normalise after the first convolution of encoder and discriminator (docs/original.md, section 2)"
    )
    width: float = hyperparameter(
        1.0, "filters and hidden units of all networks, as a multiple of the original's", above=0
    )
    encoder_shift: int = hyperparameter(
        0, "augment the encoder's input: largest shift, in pixels (0: as the original)", minimum=0
    )
    encoder_shear: float = hyperparameter(
        0.0, "augment the encoder's input: largest shear, in columns per row", minimum=0
    )
    encoder_stretch: float = hyperparameter(
        0.0, "augment the encoder's input: largest stretch, factors from exp(-X) to exp(X)", minimum=0
    )
    instance_noise: float = hyperparameter(
        0.0,
        "standard deviation of noise on all images that discriminator and encoder see in training (0: none, as the "
        "original)",
        minimum=0,
    )
    rim_multiplier: float = hyperparameter(
        0.0,
        "learning rate for regularised information maximisation on real images, as a multiple of --learning-rate "
        "(0: without it, as the original)",
        minimum=0,
    )
    rim_shift: int = hyperparameter(2, "views of --rim-multiplier: largest shift, in pixels", minimum=0)
    rim_shear: float = hyperparameter(0.6, "views of --rim-multiplier: largest shear, in columns per row", minimum=0)
    rim_stretch: float = hyperparameter(
        0.25, "views of --rim-multiplier: largest stretch, factors from exp(-X) to exp(X)", minimum=0
    )
    rim_both_ways: int = hyperparameter(
        0,
        "first steps of --rim-multiplier, in which an image also learns its view's category, and --rim-erase applies",
        minimum=0,
    )
    rim_erase: int = hyperparameter(
        0, "views of --rim-multiplier: longest side of a rectangle that is erased, in pixels", minimum=0
    )
    restart_below: float = hyperparameter(
        0.0,
        "start again, with other initial weights, if fewer than this fraction of real images keep their category in a "
        "view after the third epoch; at most three times (0: never, as the original)",
        minimum=0,
    )

    def conflict(self) -> str | None:
        """Return what the decay or the term on real images lacks, or None."""
        if self.learning_rate_hold and self.learning_rate_half_life is None:
            return "--learning-rate-hold requires --learning-rate-half-life"
        if self.restart_below > 1:
            return f"--restart-below is a fraction, got {self.restart_below:g}"
        if self.rim_multiplier and not (self.rim_shift or self.rim_shear or self.rim_stretch):
            return (
                "--rim-multiplier requires --rim-shift, --rim-shear or --rim-stretch: it compares an image with a view"
            )
        if self.rim_erase and not self.rim_both_ways:
            return "--rim-erase requires --rim-both-ways"
        return None

    @property
    def augments(self) -> bool:
        """Whether the encoder's input is augmented."""
        return bool(self.encoder_shift or self.encoder_shear or self.encoder_stretch)


@dataclasses.dataclass(frozen=True)
class InformationHyperparameters(AdversarialHyperparameters):
    """Adversarial systems with a mutual-information loss."""

    information_multiplier: float = hyperparameter(
        5.0, "learning rate for the mutual-information loss, as a multiple of --learning-rate", above=0
    )


@dataclasses.dataclass(frozen=True)
class InfoVAEGANHyperparameters(InformationHyperparameters):
    """InfoVAEGAN as the original's main scripts have it (sections 3 and 4)."""

    vae_multiplier: float = hyperparameter(
        5.0, "learning rate for the VAE loss, as a multiple of --learning-rate", above=0
    )
    categorical_kl_weight: float = hyperparameter(
        0.001, "weight of the categorical KL divergence in the VAE loss (0 omits the term)", minimum=0
    )
    mutual_information: bool = hyperparameter(
        True, 'train on the mutual-information loss; without it, the paper\'s ablation "InfoVAEGAN-MI"'
    )


@dataclasses.dataclass(frozen=True)
class InfoGANHyperparameters(InformationHyperparameters):
    """The original's InfoGAN scripts, where they differ from its main scripts (sections 2 and 4)."""

    generator_multiplier: float = with_default(InformationHyperparameters, "generator_multiplier", 10.0)
    first_batch_norm: bool = with_default(InformationHyperparameters, "first_batch_norm", True)


@dataclasses.dataclass(frozen=True)
class PaperHyperparameters(InfoVAEGANHyperparameters):
    """The paper's variant (section 8).

    The paper gives no rates: these are WGAN-GP's (Gulrajani et al. 2017, algorithm 1), for all networks. Weights are 1.
    """

    learning_rate: float = with_default(InfoVAEGANHyperparameters, "learning_rate", 1e-4)
    adam_beta1: float = with_default(InfoVAEGANHyperparameters, "adam_beta1", 0.0)
    adam_beta2: float = with_default(InfoVAEGANHyperparameters, "adam_beta2", 0.9)
    generator_multiplier: float = with_default(InfoVAEGANHyperparameters, "generator_multiplier", 1.0)
    information_multiplier: float = with_default(InfoVAEGANHyperparameters, "information_multiplier", 1.0)
    vae_multiplier: float = with_default(InfoVAEGANHyperparameters, "vae_multiplier", 1.0)
    categorical_kl_weight: float = with_default(InfoVAEGANHyperparameters, "categorical_kl_weight", 1.0)
    penalty_weight: float = hyperparameter(10.0, "weight of the gradient penalty, lambda of eq. 4", minimum=0)
    critic_steps: int = hyperparameter(5, "critic updates per generator update", minimum=1)
    stages: str = hyperparameter(
        "interleaved",
        "train the inference networks with the generator, or afterwards in a stage of their own",
        choices=("interleaved", "separate"),
    )
    switch_step: int = hyperparameter(
        0, "with --stages separate: the training step at which inference begins", minimum=0
    )

    def conflict(self) -> str | None:
        """Return what a second stage lacks, or None."""
        if (self.stages == "separate") != (self.switch_step > 0):
            return "--stages separate requires --switch-step above 0, and vice versa"
        return super().conflict()
