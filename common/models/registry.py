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
from common.fields import flag_of
from common.models import baselines
from common.models.hyperparameters import (
    AdversarialHyperparameters,
    Hyperparameters,
    InfoGANHyperparameters,
    InfoVAEGANHyperparameters,
    PaperHyperparameters,
)
from common.models.mixture_hyperparameters import MixtureHyperparameters, mixture_sizes


@dataclasses.dataclass(frozen=True)
class SystemSpec:
    """What is known of a system without building it.

    Attributes:
        model, variant: how it is chosen: --model and --variant.
        title: its name in text.
        target: "module:class" of the `System`, or the class itself.
        hyperparameters: the dataclass of its hyper-parameters.
        adapt: changes a script's configuration to this system's sizes; hyper-parameters are set already.
        latents: the parts of the `LatentSpec` that must not be 0.
        tf1: whether the original code has it, and so TF1 checkpoints of it exist.
        variable_steps: whether what a step does depends on its number; --jit and --strategy need steps that are alike.
    """

    model: str
    variant: str
    title: str
    target: str | type
    hyperparameters: type[Hyperparameters]
    adapt: Callable[[Config], Config] = lambda config: config
    latents: tuple[str, ...] = ("noise", "continuous")
    tf1: bool = False
    variable_steps: bool = False

    def load(self) -> type:
        """Return the class of the system. Imports TensorFlow."""
        if not isinstance(self.target, str):
            return self.target
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


def title_of(config: Config) -> str:
    """Return the title of the system that `config` trains; the paper calls one without mutual information its "-MI"."""
    return spec_of(config).title + ("" if getattr(config.hyper, "mutual_information", True) else "-MI")


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
    for name in ("rim_multiplier", "restart_below"):
        if getattr(config.hyper, name, 0) and not config.latent.categories:
            raise UserError(f"{flag_of(name)} requires --categories")


def require_no_noise(config: Config) -> None:
    """Raise UserError if the latents have noise, for a system that has codes only."""
    if config.latent.noise:
        title = spec_of(config).title
        raise UserError(f"--noise must be 0, since {title} has codes only; got {config.latent.noise}")


def build(config: Config, training: bool = True):
    """Build the `System` of `config` at its initial weights; its optimizers only for `training`."""
    require_latents(config)
    return spec_of(config).load()(config, training=training)


def _later(kind: type[Hyperparameters]) -> dict[str, Any]:
    """Return the defaults of hyper-parameters that the first runs did not have, by name."""
    later = ("restart_below", "instance_noise", "rim_both_ways", "rim_erase")
    return {f.name: f.default for f in dataclasses.fields(kind) if f.name in later}


def config_from_plain(values: dict[str, Any]) -> Config:
    """Invert `Config.to_dict`, for untrusted values. Raises UserError, ValueError, TypeError or KeyError."""
    spec = find(values["model"], values["variant"])
    config = from_plain(
        Config,
        {
            "test_fraction": Config.test_fraction,  # Runs from before there was one do not say it.
            **values,
            "image_shape": tuple(values["image_shape"]),
            "latent": from_plain(LatentSpec, values["latent"]),
            "hyper": from_plain(spec.hyperparameters, {**_later(spec.hyperparameters), **values["hyper"]}),
        },
    )
    for name in ("name", "checkpoint_name"):  # Parts of paths that are written to.
        text = getattr(config, name)
        if text in ("", ".", "..") or "/" in text or "\0" in text:
            raise ValueError(f"{name} is {text[:80]!r}, which is no name of a file")
    return config
