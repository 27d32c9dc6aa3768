"""The systems that can be trained: one module each, named here, with a `build(config)` that returns a `System`.

A new system is a module and an entry here; its flags, their checks and their help follow from the entry.
"""

import dataclasses
import importlib
import math
from collections.abc import Callable

from common.config import Config
from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Setting:
    """A hyper-parameter that only some systems have: a flag of its name, and an entry of `Config.settings`.

    Attributes:
        default: its value where none is given; its type is that of all values.
        help: what it is, for `--help`.
        minimum: the least value allowed, of a number.
        choices: the values allowed, of a word.
    """

    default: int | float | str
    help: str
    minimum: float = -math.inf
    choices: tuple[str, ...] = ()

    def problem(self, value) -> str | None:
        """What `value` must be and is not, or None."""
        if self.choices:
            return None if value in self.choices else f"one of {', '.join(self.choices)}"
        whole = isinstance(self.default, int)
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if fits and math.isfinite(value) and value >= self.minimum:
            return None
        return f"a {'whole ' if whole else ''}number of at least {self.minimum:g}"


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is known of a system without building it.

    Attributes:
        overrides: fields of `Config` that it sets in the place of the script; flags overrule them.
        settings: its own hyper-parameters, by name.
        information: whether it has the mutual-information term, which `--no-mutual-information` takes out.
        tf1: whether the original has it, and so checkpoints of it.
        conditional: whether what a step does depends on its number, which neither XLA nor several devices take part in.
        problem: from complete settings, what is wrong with them together, or None.
    """

    overrides: dict = dataclasses.field(default_factory=dict)
    settings: dict[str, Setting] = dataclasses.field(default_factory=dict)
    information: bool = False
    tf1: bool = False
    conditional: bool = False
    problem: Callable[[dict], str | None] = lambda settings: None


def _stages_problem(settings: dict) -> str | None:
    if (settings["stages"] == "separate") != (settings["switch_step"] > 0):
        return "--stages separate and --switch-step STEP, above 0, need each other: from that step on only the inference networks learn"
    return None


def _view_problem(settings: dict) -> str | None:
    if settings["encoder_shift_after"] and not any(settings[f"encoder_{how}"] for how in ("shift", "shear", "stretch")):
        return "--encoder-shift-after STEP needs an --encoder-shift, --encoder-shear or --encoder-stretch to begin then"
    return None


SYSTEMS = {
    "infovaegan": Entry(
        settings={
            "encoder_shift": Setting(
                0,
                "the pixels by which the generated images that the encoder learns from are moved, at most, each way; "
                "0 for not at all, as the original",
                minimum=0,
            ),
            "encoder_shear": Setting(0.0, "how far they are slanted, at most: columns a row, each way", minimum=0.0),
            "encoder_stretch": Setting(
                0.0, "how far height and width are stretched, each by a factor from exp(-X) to exp(X)", minimum=0.0
            ),
            "encoder_shift_after": Setting(
                0,
                "with any of the three, the training step, counted from the first of the run, from which on they are",
                minimum=0,
            ),
        },
        information=True,
        tf1=True,
        problem=_view_problem,
    ),
    # The original's InfoGAN scripts differ from its main scripts in these (REFERENCE.md sections 2 and 4).
    "infogan": Entry({"generator_multiplier": 10.0, "first_batch_norm": True}, tf1=True),
    "ali": Entry(),
    "infovaegan_paper": Entry(
        # The paper gives no rates: these are WGAN-GP's (Gulrajani et al. 2017, algorithm 1), alike for all networks. Weights
        # are all 1 (section 8). No original to follow in a first batch norm.
        {
            "learning_rate": 1e-4,
            "adam_beta1": 0.0,
            "adam_beta2": 0.9,
            "generator_multiplier": 1.0,
            "information_multiplier": 1.0,
            "vae_multiplier": 1.0,
            "categorical_kl_weight": 1.0,
            "first_batch_norm": False,
        },
        {
            "penalty_weight": Setting(10.0, "lambda of the gradient penalty, eq. 4 (WGAN-GP's)", minimum=0.0),
            "critic_steps": Setting(5, "training steps of the critic to one of the generator (WGAN-GP's)", minimum=1),
            "stages": Setting(
                "interleaved",
                "when the inference networks learn: with the generator, or after it, in a stage of their own",
                choices=("interleaved", "separate"),
            ),
            "switch_step": Setting(
                0,
                "with --stages separate, the training step, counted from the first of the run, at which the generator is "
                "fixed and inference begins",
                minimum=0,
            ),
        },
        information=True,
        conditional=True,
        problem=_stages_problem,
    ),
}
MODELS = tuple(sorted({name.partition("_")[0] for name in SYSTEMS}))
VARIANTS = tuple(sorted({name.partition("_")[2] or "code" for name in SYSTEMS}))


def own_settings() -> dict[str, Setting]:
    """Every system's own settings, by name."""
    return {name: setting for entry in SYSTEMS.values() for name, setting in entry.settings.items()}


def title(system: str) -> str:
    """A system's name in the words of the command line: "infovaegan with variant paper"."""
    return system.replace("_", " with variant ")


def those_with(holds: Callable[[Entry], bool]) -> str:
    """The titles of the systems of whose entries something `holds`."""
    return ", ".join(title(name) for name, entry in sorted(SYSTEMS.items()) if holds(entry))


def check(config: Config) -> None:
    """Raises UserError where `config` names a system that does not exist, or settings that it does not have or that are out of range."""
    if config.system not in SYSTEMS:
        raise UserError(
            f"no model {config.model!r} with variant {config.variant!r}; there are: {those_with(lambda e: True)}"
        )
    entry, chosen = SYSTEMS[config.system], title(config.system)
    if not config.mutual_information and not entry.information:
        raise UserError(
            f"--no-mutual-information means nothing for {chosen}; it is for: {those_with(lambda e: e.information)}"
        )
    for name, value in config.settings.items():
        flag = name.replace("_", "-")
        if name not in entry.settings:
            raise UserError(
                f"--{flag} is no setting of {chosen}; it is one of: {those_with(lambda e: name in e.settings) or 'none'}"
            )
        problem = entry.settings[name].problem(value)
        if problem:
            raise UserError(f"{flag} must be {problem}; got {value}")
    problem = entry.problem(_complete(config).settings)
    if problem:
        raise UserError(problem)


def check_same_every_step(config: Config, flag: str) -> None:
    """Raises UserError where `flag` wants all steps alike and those of this system are not."""
    if SYSTEMS[config.system].conditional:
        raise UserError(f"{flag} cannot be used with {title(config.system)}, whose steps differ from one to the next")


def adapt(config: Config) -> Config:
    """`config` with what its system sets in the place of the script, and all its settings. Raises UserError where there is no such system."""
    check(dataclasses.replace(config, settings={}, mutual_information=True))
    return _complete(dataclasses.replace(config, **SYSTEMS[config.system].overrides))


def build(config: Config):
    """Returns the `System` that `config` names, its networks and optimizers built, at its initial weights."""
    check(config)
    return importlib.import_module(f"common.models.{config.system}").build(_complete(config))


def _complete(config: Config) -> Config:
    defaults = {name: setting.default for name, setting in SYSTEMS[config.system].settings.items()}
    return dataclasses.replace(config, settings={**defaults, **config.settings})
