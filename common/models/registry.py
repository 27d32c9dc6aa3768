"""The systems that can be trained: what is known of each without building it. Does not import TensorFlow.

A new system is one file in this package and one entry here; its flags, their checks and help follow from the entry.
Section numbers are those of docs/original.md.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from common.config import Config, LatentSpec, from_plain
from common.errors import UserError
from common.models import baselines
from common.models.hyperparameters import Hyperparameters, flag_of, hyperparameter, with_default
from common.models.mixture_hyperparameters import MixtureHyperparameters, mixture_sizes


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
    adam_beta1: float = hyperparameter(0.5, "Adam's decay of the first moment", minimum=0)
    adam_beta2: float = hyperparameter(0.999, "Adam's decay of the second moment", minimum=0)
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

    def conflict(self) -> str | None:
        """Return what the decay or the term on real images lacks, or None."""
        if self.learning_rate_hold and self.learning_rate_half_life is None:
            return "--learning-rate-hold requires --learning-rate-half-life"
        if self.adam_beta1 >= 1 or self.adam_beta2 >= 1:
            return "--adam-beta1 and --adam-beta2 must be below 1"
        if self.rim_multiplier and not (self.rim_shift or self.rim_shear or self.rim_stretch):
            return (
                "--rim-multiplier requires --rim-shift, --rim-shear or --rim-stretch: it compares an image with a view"
            )
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


@dataclasses.dataclass(frozen=True)
class SystemSpec:
    """What is known of a system without building it.

    Attributes:
        model, variant: how it is chosen: --model and --variant.
        title: its name in text.
        target: "module:class" of the `System`.
        hyperparameters: the dataclass of its hyper-parameters.
        adapt: changes a script's configuration to this system's sizes; hyper-parameters are set already.
        latents: the parts of the `LatentSpec` that must not be 0.
        tf1: whether the original code has it, and so TF1 checkpoints of it exist.
        variable_steps: whether what a step does depends on its number; --jit and --strategy need steps that are alike.
    """

    model: str
    variant: str
    title: str
    target: str
    hyperparameters: type[Hyperparameters]
    adapt: Callable[[Config], Config] = lambda config: config
    latents: tuple[str, ...] = ("noise", "categories", "continuous")
    tf1: bool = False
    variable_steps: bool = False

    def load(self) -> type:
        """Return the class of the system. Imports TensorFlow."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


_SPECS: dict[tuple[str, str], SystemSpec] = {}


def register(spec: SystemSpec) -> None:
    """Make a system known; `--model` and `--variant` then name it."""
    _SPECS[spec.model, spec.variant] = spec


for _spec in (
    SystemSpec(
        "infovaegan", "code", "InfoVAEGAN", "common.models.infovaegan:InfoVAEGAN", InfoVAEGANHyperparameters, tf1=True
    ),
    SystemSpec(
        "infovaegan",
        "paper",
        "the paper's InfoVAEGAN",
        "common.models.infovaegan_paper:InfoVAEGANPaper",
        PaperHyperparameters,
        variable_steps=True,
    ),
    SystemSpec("infogan", "code", "InfoGAN", "common.models.infogan:InfoGAN", InfoGANHyperparameters, tf1=True),
    SystemSpec("ali", "code", "ALI", "common.models.ali:ALI", AdversarialHyperparameters),
    SystemSpec(
        "betavae",
        "code",
        "beta-VAE",
        "common.models.betavae:BetaVAE",
        baselines.BetaVAEHyperparameters,
        baselines.adapt,
        ("continuous",),
    ),
    SystemSpec(
        "factorvae",
        "code",
        "FactorVAE",
        "common.models.factorvae:FactorVAE",
        baselines.FactorVAEHyperparameters,
        baselines.adapt,
        ("continuous",),
    ),
    SystemSpec(
        "jointvae",
        "code",
        "JointVAE",
        "common.models.jointvae:JointVAE",
        baselines.JointVAEHyperparameters,
        baselines.adapt,
        ("categories", "continuous"),
    ),
    SystemSpec(
        "infocatvae",
        "code",
        "InfoCatVAE",
        "common.models.infocatvae:InfoCatVAE",
        baselines.InfoCatVAEHyperparameters,
        baselines.adapt,
        ("categories", "continuous"),
    ),
    SystemSpec(
        "mixture",
        "code",
        "the mixture of autoencoders",
        "common.models.mixture:Mixture",
        MixtureHyperparameters,
        mixture_sizes,
        ("categories", "continuous"),
        tf1=True,
    ),
):
    register(_spec)


def specs() -> list[SystemSpec]:
    """Return every known system, by name."""
    return [_SPECS[key] for key in sorted(_SPECS)]


def models() -> list[str]:
    """Return the choices of --model."""
    return sorted({model for model, _ in _SPECS})


def variants() -> list[str]:
    """Return the choices of --variant."""
    return sorted({variant for _, variant in _SPECS})


def find(model: str, variant: str) -> SystemSpec:
    """Return the system of that name. Raises UserError if there is none."""
    if (model, variant) not in _SPECS:
        known = ", ".join(spec.model if spec.variant == "code" else f"{spec.model} {spec.variant}" for spec in specs())
        raise UserError(f"there is no --model {model} with --variant {variant}; there are: {known}")
    return _SPECS[model, variant]


def spec_of(config: Config) -> SystemSpec:
    """Return the system of `config`. Raises UserError if it is unknown."""
    return find(config.model, config.variant)


def owners(name: str) -> list[str]:
    """Return the titles of the systems with a hyper-parameter of this name."""
    return [s.title for s in specs() if name in {f.name for f in dataclasses.fields(s.hyperparameters)}]


def require(config: Config, flag: str, holds: Callable[[SystemSpec], bool]) -> None:
    """Raise UserError, naming the systems for which `flag` works, unless it works for that of `config`."""
    spec = spec_of(config)
    if not holds(spec):
        able = ", ".join(other.title for other in specs() if holds(other))
        raise UserError(f"{flag} does not work with {spec.title}; it works with: {able}")


def require_equal_steps(config: Config, flag: str) -> None:
    """Raise UserError unless all steps of the system are alike, as `flag` needs."""
    require(config, flag, lambda spec: not spec.variable_steps)


def with_system(config: Config, model: str, variant: str, **changes) -> Config:
    """`config` for another system: with that system's sizes and default hyper-parameters, of which `changes` are set.

    A configuration of the same system keeps its hyper-parameters.

    Raises:
        UserError: there is no such system, it has no such hyper-parameter, or a value is out of range.
    """
    spec = find(model, variant)
    fields = {f.name for f in dataclasses.fields(spec.hyperparameters)}
    for name in changes.keys() - fields:
        raise UserError(f"{flag_of(name)} is not a flag of {spec.title}; it belongs to: {', '.join(owners(name))}")
    if (config.model, config.variant) == (model, variant):
        return dataclasses.replace(config, hyper=dataclasses.replace(config.hyper, **changes))
    changed = dataclasses.replace(config, model=model, variant=variant, hyper=spec.hyperparameters())
    adapted = spec.adapt(changed)
    return dataclasses.replace(adapted, hyper=dataclasses.replace(adapted.hyper, **changes))


def require_latents(config: Config) -> None:
    """Raise UserError if a part of the latents that the system needs is empty."""
    spec = spec_of(config)
    for name in spec.latents:
        if not getattr(config.latent, name):
            raise UserError(f"{flag_of(name)} must be above 0 for {spec.title}")


def build(config: Config, training: bool = True):
    """Build the `System` of `config` at its initial weights; its optimizers only for `training`."""
    require_latents(config)
    return spec_of(config).load()(config, training=training)


def config_from_plain(values: dict[str, Any]) -> Config:
    """Invert `Config.to_dict`, for untrusted values. Raises UserError, ValueError, TypeError or KeyError."""
    spec = find(values["model"], values["variant"])
    return from_plain(
        Config,
        {
            **values,
            "image_shape": tuple(values["image_shape"]),
            "latent": from_plain(LatentSpec, values["latent"]),
            "hyper": from_plain(spec.hyperparameters, values["hyper"]),
        },
    )
