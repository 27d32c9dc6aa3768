"""What a run is: its model, its data and its hyper-parameters, as plain frozen data. Knows no TensorFlow."""

import dataclasses
import importlib.metadata
import json
import math
import pathlib
import platform

from common.errors import UserError

PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "tensorflow-datasets", "numpy", "pillow")
SCALINGS = ("unit", "tanh", "binary")
PRECISIONS = ("float32", "bfloat16")
RUN_FILE = "run.json"  # Beside checkpoints and results: `provenance`.
METRICS_FILE = "metrics.json"  # Among results: what `evaluate` measured.
CHANGEABLE = ("epochs", "steps_per_epoch")  # What a resumed run may set anew without becoming another run.
_MAX_LENGTH = 1 << 14  # Of an axis or a code: what a damaged file claims beyond it takes all memory.
_ADDED = {
    "mutual_information": True,
    "settings": {},
    "precision": "float32",
    "sync_batch_norm": False,
    "learning_rate_half_life": None,
    "learning_rate_hold": 0,
}  # What runs computed with before there were these fields.
_ADDED_SETTINGS = {
    ("infovaegan", "code"): {"encoder_shift": 0, "encoder_shear": 0.0, "encoder_stretch": 0.0, "encoder_shift_after": 0}
}  # Likewise, by model and variant.


@dataclasses.dataclass(frozen=True)
class LatentSpec:
    """The generator's inputs: noise z, a categorical code d and continuous codes c; u = concat(d, c) (REFERENCE section 1)."""

    noise: int = 100
    categories: int = 10
    continuous: int = 10

    @property
    def code(self) -> int:
        """The length of u = concat(d, c)."""
        return self.categories + self.continuous


@dataclasses.dataclass(frozen=True)
class Config:
    """Every setting that decides what a run computes. The scripts spell out all of them, each with its source.

    Attributes:
        name: the script's name, and that of its folders under results/ and models/.
        checkpoint_name: the name that the original gave its checkpoints.
        dataset: a module of `common.data`.
        image_shape: (height, width, channels); 28, 32 and 64 pixels have networks.
        scaling: how stored pixels become x: "unit" x/255, "tanh" x/127.5 - 1, "binary" {0, 1} as they are.
        latent: the lengths of z, d and c.
        model, variant: which system of `common.models` ("code" is what the original scripts compute).
        epochs, batch_size: the length of training and the size of its steps.
        learning_rate: Adam's rate for the discriminator; the multipliers give those of the generator (g_loss), of the
            mutual information (q_loss) and of the VAE (vae_loss).
        learning_rate_half_life: the updates in which an optimizer's rate halves, smoothly; None for a constant rate, as the original's.
        learning_rate_hold: the updates before it begins to.
        adam_beta1, adam_beta2, adam_epsilon: TF1's Adam, shared by the four optimizers.
        categorical_kl_weight: w of vae_loss = reconstruction + KL_c + w KL_d; 0 leaves the term out.
        first_batch_norm: whether encoder and discriminator normalise after their first convolution.
        mutual_information: whether q_loss is learnt from; without it, the paper's ablation "InfoVAEGAN-MI".
        settings: what only this system has, by name (`common.models.registry.SYSTEMS`).
        batch_norm: what inference normalises with: "batch" statistics, as the original, or the "moving" averages.
        precision: in which the networks compute: "float32", or "bfloat16", with variables, losses, heads and statistics float32.
        sync_batch_norm: whether the batch statistics of several devices are those of the joint batch, not each one's own.
        steps_per_epoch: None for as many whole batches as the data holds.
        seed: everything random is a function of it and of the step or epoch.
    """

    name: str
    checkpoint_name: str
    dataset: str
    image_shape: tuple[int, int, int]
    scaling: str
    latent: LatentSpec
    epochs: int
    batch_size: int
    learning_rate: float
    generator_multiplier: float
    information_multiplier: float
    vae_multiplier: float
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    categorical_kl_weight: float
    first_batch_norm: bool
    model: str = "infovaegan"
    variant: str = "code"
    batch_norm: str = "batch"
    mutual_information: bool = True
    settings: dict[str, int | float | str] = dataclasses.field(default_factory=dict)
    precision: str = "float32"
    sync_batch_norm: bool = False
    learning_rate_half_life: int | None = None
    learning_rate_hold: int = 0
    steps_per_epoch: int | None = None
    seed: int = 1

    def __post_init__(self):
        object.__setattr__(self, "settings", dict(self.settings))  # A copy: nobody else can change it.
        for field in ("epochs", "batch_size", "steps_per_epoch", "learning_rate_half_life"):
            value = getattr(self, field)
            _require(value is None or value >= 1, field, value, "at least 1")
        _require(self.learning_rate_hold >= 0, "learning_rate_hold", self.learning_rate_hold, "at least 0")
        _require(
            self.learning_rate_hold == 0 or self.learning_rate_half_life is not None,
            "learning_rate_hold",
            self.learning_rate_hold,
            "0 without a learning-rate-half-life to begin then",
        )
        # Batch statistics of a single image say nothing about it: every feature would be normalised to zero.
        _require(
            self.batch_size >= 2, "batch_size", self.batch_size, "at least 2, since batch norm uses batch statistics"
        )
        _require(self.latent.noise >= 1, "noise", self.latent.noise, "at least 1")
        _require(self.latent.categories >= 2, "categories", self.latent.categories, "at least 2")
        _require(self.latent.continuous >= 1, "continuous", self.latent.continuous, "at least 1")
        _require(0 <= self.seed < 2**31, "seed", self.seed, "in [0, 2^31)")
        _require(self.scaling in SCALINGS, "scaling", self.scaling, f"one of {', '.join(SCALINGS)}")
        _require(self.precision in PRECISIONS, "precision", self.precision, f"one of {', '.join(PRECISIONS)}")
        for field in ("learning_rate", "generator_multiplier", "information_multiplier", "vae_multiplier"):
            value = getattr(self, field)
            _require(math.isfinite(value) and value > 0, field, value, "finite and above 0")
        _require(
            math.isfinite(self.categorical_kl_weight) and self.categorical_kl_weight >= 0,
            "categorical_kl_weight",
            self.categorical_kl_weight,
            "finite and not negative",
        )

    @property
    def system(self) -> str:
        """The module of `common.models` that this run trains."""
        return self.model if self.variant == "code" else f"{self.model}_{self.variant}"

    def to_dict(self) -> dict:
        """This configuration as JSON-ready values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def _require(holds: bool, field: str, value, what: str) -> None:
    if not holds:
        raise UserError(f"{field.replace('_', '-')} must be {what}; got {value}")


def package_versions() -> dict[str, str]:
    """Versions of Python and of every package that a result depends on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def provenance(config: Config, source: str) -> dict:
    """What every result is written with: configuration (seed included), data source and versions."""
    return {"config": config.to_dict(), "data": source, "versions": package_versions()}


def read_run(file: pathlib.Path) -> dict:
    """The `provenance` in `file`: "config", "data" and, where the run did not start from initial weights, "start". Raises UserError where it is missing or damaged."""
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return {"config": dict(saved["config"]), "data": str(saved["data"]), "start": saved.get("start")}
    except FileNotFoundError:
        raise UserError(f"{file} is missing, so it cannot be told what run the checkpoints are of") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{file} is damaged ({type(error).__name__}): restore it, or start a new run in another --out"
        ) from None


def config_of(file: pathlib.Path) -> Config:
    """The configuration in `file`. Raises UserError where it is missing or damaged."""
    settings = read_run(file)["config"]
    try:
        config = Config(
            **{**settings, "image_shape": tuple(settings["image_shape"]), "latent": LatentSpec(**settings["latent"])}
        )
        for part in (config, config.latent):
            _check_types(part)
        return config
    except (KeyError, TypeError, ValueError, OverflowError, UserError) as error:
        raise UserError(f"{file} is damaged, or of another version of this project: {error}") from None


def _check_types(settings) -> None:
    """Raises ValueError unless the fields of a dataclass hold what they are declared to, and lengths are within reason."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        kind = int | float if field.type is float else getattr(field.type, "__origin__", field.type)
        members = value if isinstance(value, tuple) else value.values() if isinstance(value, dict) else (value,)
        lengths = members if field.name == "image_shape" or isinstance(settings, LatentSpec) else ()
        if (
            not isinstance(value, kind)
            or (isinstance(value, bool) and kind is not bool)
            or not all(math.isfinite(m) for m in members if isinstance(m, int | float))
            or not all(type(n) is int and 0 < n <= _MAX_LENGTH for n in lengths)
            or (field.name == "image_shape" and len(value) != 3)
        ):
            raise ValueError(f"{field.name} is {str(value)[:80]}")


def completed(saved: dict) -> dict:
    """A saved configuration, with the fields that did not exist when it was saved. Of untrusted values, none is looked into."""
    config = {**_ADDED, **saved}
    if isinstance(config["settings"], dict):
        added = next(
            (added for key, added in _ADDED_SETTINGS.items() if key == (config.get("model"), config.get("variant"))), {}
        )
        config["settings"] = {**added, **config["settings"]}
    return config


def check_same_run(config: Config, source: str, file: pathlib.Path, step: int) -> None:
    """Raises UserError unless `file` describes the run that is about to go on from `step`.

    Only the fields in `CHANGEABLE` may differ; and what the saved run does without may be set to begin at `step` or later, since all
    is then as if it had been from the start. The first other difference is named with both values.
    """
    saved, wanted = read_run(file), {"config": config.to_dict(), "data": source}
    saved, wanted = ({**completed(run["config"]), "data": run["data"]} for run in (saved, wanted))
    if saved["learning_rate_half_life"] is None and step <= config.learning_rate_hold:
        saved.update((field, wanted[field]) for field in ("learning_rate_half_life", "learning_rate_hold"))
    if saved["settings"] in _ADDED_SETTINGS.values() and step <= config.settings.get("encoder_shift_after", 0):
        saved["settings"] = wanted["settings"]
    for field in sorted(
        wanted.keys() | saved.keys(), key=lambda name: (name == "settings", name)
    ):  # They follow from model and variant.
        if field not in CHANGEABLE and saved.get(field) != wanted.get(field):
            raise UserError(
                f"cannot resume: {field} was {saved.get(field)} in the saved run and is {wanted.get(field)} now ({file})"
            )
