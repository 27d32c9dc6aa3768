"""Hyper-parameters and sizes of the variational autoencoders, with their sources (docs/baselines.md).

Does not import TensorFlow.
"""

import dataclasses
from typing import Any, NamedTuple

from common.config import Config, LatentSpec
from common.models.hyperparameters import Hyperparameters, hyperparameter, with_default


@dataclasses.dataclass(frozen=True)
class VariationalHyperparameters(Hyperparameters):
    """What all variational autoencoders share. Defaults: Higgins et al. 2017 (appendix A), and TensorFlow's Adam."""

    learning_rate: float = hyperparameter(1e-4, "learning rate", above=0)
    adam_beta1: float = hyperparameter(0.9, "Adam's decay of the first moment", minimum=0, below=1)
    adam_beta2: float = hyperparameter(0.999, "Adam's decay of the second moment", minimum=0, below=1)
    adam_epsilon: float = hyperparameter(1e-8, "Adam's epsilon", above=0)


@dataclasses.dataclass(frozen=True)
class BetaVAEHyperparameters(VariationalHyperparameters):
    """beta-VAE: Higgins et al. 2017; the capacity's values are those of Burgess et al. 2018, appendix A."""

    beta: float = hyperparameter(4.0, "weight of the KL divergence of the codes", minimum=0)
    beta_start: float | None = hyperparameter(
        None, "that weight at the first step, from which it falls geometrically to --beta (default: without)", above=0
    )
    beta_steps: int = hyperparameter(17_000, "training steps over which the weight falls from --beta-start", minimum=1)
    beta_capacity: float | None = hyperparameter(
        None,
        "capacity in nats that the divergence follows as it grows, instead of --beta (default: without)",
        minimum=0,
    )
    capacity_steps: int = hyperparameter(100_000, "training steps over which capacities grow", minimum=1)
    capacity_weight: float = hyperparameter(
        1000.0, "weight of the distance between a KL divergence and its capacity", minimum=0
    )

    def conflict(self) -> str | None:
        """Return an error message if the weight cannot fall from --beta-start, else None."""
        if self.beta_start is None:
            return None
        if self.beta_capacity is not None:
            return "--beta-start and --beta-capacity exclude each other: a capacity replaces --beta"
        if not self.beta:
            return "--beta-start requires a --beta above 0, to which the weight falls geometrically"
        return None


@dataclasses.dataclass(frozen=True)
class FactorVAEHyperparameters(VariationalHyperparameters):
    """FactorVAE: Kim & Mnih 2018, section 5 and appendix A."""

    total_correlation_weight: float = hyperparameter(10.0, "weight of the total correlation of the codes", minimum=0)
    discriminator_units: int = hyperparameter(
        1000, "units of each of the six hidden layers of the discriminator of codes", minimum=1
    )
    discriminator_rate: float = hyperparameter(1e-4, "learning rate of that discriminator", above=0)
    discriminator_beta1: float = hyperparameter(0.5, "its decay of Adam's first moment", minimum=0, below=1)
    discriminator_beta2: float = hyperparameter(0.9, "its decay of Adam's second moment", minimum=0, below=1)


@dataclasses.dataclass(frozen=True)
class JointVAEHyperparameters(VariationalHyperparameters):
    """JointVAE: Dupont 2018, appendix B, for MNIST."""

    learning_rate: float = with_default(VariationalHyperparameters, "learning_rate", 5e-4)
    temperature: float = hyperparameter(0.67, "temperature of the Gumbel-softmax category", above=0)
    continuous_capacity: float = hyperparameter(5.0, "capacity of the continuous codes at the end, in nats", minimum=0)
    categorical_capacity: float = hyperparameter(
        5.0, "capacity of the category at the end, in nats; log K is the most that it can hold", minimum=0
    )
    capacity_steps: int = with_default(BetaVAEHyperparameters, "capacity_steps", 25_000)
    capacity_weight: float = with_default(BetaVAEHyperparameters, "capacity_weight", 30.0)


@dataclasses.dataclass(frozen=True)
class InfoCatVAEHyperparameters(VariationalHyperparameters):
    """InfoCatVAE: Lelarge & Pineau 2018, and their code."""

    learning_rate: float = with_default(VariationalHyperparameters, "learning_rate", 1e-3)
    prior_mean: float = hyperparameter(2.0, "mean of a class's own coordinates in the prior")
    information_weight: float = hyperparameter(
        100.0, "weight of the information term, the cross-entropy of the classes of generated images", minimum=0
    )
    class_samples: int = hyperparameter(10, "images generated per class and step for the information term", minimum=1)
    dropout: float = hyperparameter(0.25, "dropout rate of the hidden layers", minimum=0, below=1)
    test_dropout: bool = hyperparameter(False, "keep dropout active outside training, as the original's code does")


class Sizes(NamedTuple):
    """A system's sizes on one data set; None leaves what the script says.

    Attributes:
        latent: the lengths of the codes.
        batch_size, epochs: of training.
        hyper: hyper-parameters that differ from the system's defaults.
    """

    latent: LatentSpec
    batch_size: int = 64
    epochs: int | None = None
    hyper: dict[str, Any] = {}


_TEN_CODES = LatentSpec(noise=0, categories=0, continuous=10)
_300_000_STEPS = 26  # Epochs of dSprites, 11,520 steps each.

# Model -> data set -> sizes; "" stands for all other data sets.
SIZES = {
    "betavae": {"": Sizes(_TEN_CODES), "dsprites": Sizes(_TEN_CODES, epochs=_300_000_STEPS)},
    "factorvae": {
        "": Sizes(_TEN_CODES),
        "dsprites": Sizes(_TEN_CODES, epochs=_300_000_STEPS, hyper={"total_correlation_weight": 35.0}),
        "celeba": Sizes(_TEN_CODES, hyper={"total_correlation_weight": 6.4, "discriminator_rate": 1e-5}),
        "chairs": Sizes(_TEN_CODES, hyper={"total_correlation_weight": 3.2, "discriminator_rate": 1e-5}),
    },
    "jointvae": {
        "": Sizes(LatentSpec(0, 10, 10), epochs=100),
        "dsprites": Sizes(
            LatentSpec(0, 3, 6),
            epochs=30,
            hyper={
                "continuous_capacity": 40.0,
                "categorical_capacity": 1.1,
                "capacity_steps": 300_000,
                "capacity_weight": 150.0,
            },
        ),
        "celeba": Sizes(
            LatentSpec(0, 10, 32),
            epochs=100,
            hyper={
                "continuous_capacity": 50.0,
                "categorical_capacity": 10.0,
                "capacity_steps": 100_000,
                "capacity_weight": 100.0,
            },
        ),
        # The original has three binary variables here: as many states as one category of eight.
        "chairs": Sizes(
            LatentSpec(0, 8, 32),
            epochs=100,
            hyper={
                "learning_rate": 1e-4,
                "continuous_capacity": 30.0,
                "categorical_capacity": 5.0,
                "capacity_steps": 100_000,
                "capacity_weight": 300.0,
            },
        ),
    },
    "infocatvae": {"": Sizes(LatentSpec(noise=0, categories=10, continuous=20), batch_size=128, epochs=100)},
}


def adapt(config: Config) -> Config:
    """`config` with the sizes of its system for its data set."""
    sizes = SIZES[config.model]
    own = sizes.get(config.dataset, sizes[""])
    return dataclasses.replace(
        config,
        latent=own.latent,
        batch_size=own.batch_size,
        epochs=own.epochs or config.epochs,
        hyper=dataclasses.replace(config.hyper, **own.hyper),
    )
