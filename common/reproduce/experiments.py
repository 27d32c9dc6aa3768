"""What is reproduced: the experiments behind each of the paper's tables and figures."""

import dataclasses
from collections.abc import Collection, Mapping

from common.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One configuration of one script, trained with several seeds. Two are equal whatever they are called.

    Attributes:
        name: its folder below the folder of all runs, such as mnist/light.
        label: what tables call it.
        data: a key of `runs.SCRIPTS`.
        flags: what its command has besides seed and folders.
        paper: the paper's number, as it is printed there; empty if the paper has none.
    """

    name: str
    label: str = dataclasses.field(compare=False)
    data: str
    flags: tuple[str, ...] = ()
    paper: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: one row per experiment.

    Attributes:
        title: its heading.
        rows: what is trained.
        metric: the measure that the paper reports, a key of metrics.json; the table has its mean, deviation and best.
        others: more measures, as means.
        quoted: other published numbers: (system, number).
        seeds: how many seeds are trained unless the user says otherwise.
        percent: whether the metric is printed in percent.
        preset: the settings that --preset chose for it, if any.
    """

    title: str
    rows: tuple[Experiment, ...]
    metric: str
    others: tuple[str, ...]
    quoted: tuple[tuple[str, str], ...] = ()
    seeds: int = 4
    percent: bool = False
    preset: str | None = None


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure: pictures of trained runs, one below the other.

    Attributes:
        title: what it shows.
        pictures: (experiment, name of a picture that the command figures draws for it), from top to bottom.
        also: experiments whose runs add rows to the first picture.
        preset: as that of a table.
    """

    title: str
    pictures: tuple[tuple[Experiment, str], ...]
    also: tuple[Experiment, ...] = ()
    preset: str | None = None


@dataclasses.dataclass(frozen=True)
class Curves:
    """A figure of a measure after each epoch, one curve per experiment.

    Attributes:
        title: what it shows.
        rows: what is trained.
        metric: the measure, a key of metrics.json.
        floor: the measure's value between two sets of real images, another key.
        preset: as that of a table.
    """

    title: str
    rows: tuple[Experiment, ...]
    metric: str
    floor: str
    preset: str | None = None


Item = Table | Figure | Curves
IMAGES = {"mnist": 60_000, "dsprites": 737_280, "celeba": 202_599, "3dchairs": 86_366}  # For training, by data set.
GROUPS = {"figure3": ("figure3a", "figure3b", "figure3c", "figure3d", "figure3e")}  # Items that one name asks for.
_QUOTED = (
    ("SubGAN", "90.81"),
    ("GMVAE, 30 components", "89.27"),
    ("GMVAE, 16 components", "87.82"),
    ("AAE", "90.45"),
    ("CatGAN", "95.73"),
    ("DEC", "84.30"),
    ("PixelGAN", "94.73"),
)
_MIXTURE_LENGTH = "--epochs", "100", "--steps-per-epoch", "429"  # As its authors train it (docs/mixture.md).
# Published settings, for fewer steps: their 300,000 take five hours and more (docs/experiments.md).
_SPRITES_BETAVAE = "--epochs", "12", "--steps-per-epoch", "2000"
_SPRITES_FACTORVAE = "--epochs", "15", "--steps-per-epoch", "2000"
# JointVAE's capacities grow to the last step. With its own weight, 150, one seed of two learned nothing.
_SPRITES_JOINTVAE = (
    *("--batch-size", "16", "--epochs", "6", "--steps-per-epoch", "4000"),
    *("--capacity-steps", "24000", "--continuous-capacity", "12", "--capacity-weight", "30"),
)
# The category first (docs/experiments.md), and fewer epochs than the published 100.
_DIGITS_JOINTVAE = "--categorical-capacity", "10", "--epochs", "45"
_WITHOUT_MI = "--no-mutual-information"
_ALSO = "accuracy_one_to_one", "reconstruction_error_per_value", "fid_classifier"


def group_of(name: str) -> str:
    """Return what asks for an item: its own name, or that of its group."""
    return next((group for group, names in GROUPS.items() if name in names), name)


def items(presets: Mapping[str, Collection[str]], preset: str | None = None) -> dict[str, Item]:
    """Return everything that can be reproduced, by name.

    Args:
        presets: data set -> the presets of its script.
        preset: InfoVAEGAN's settings in table 2 and the figures; the authors' where a script lacks it, and if None.

    Raises:
        UserError: no script has that preset.
    """
    if preset is not None and not any(preset in names for names in presets.values()):
        known = sorted({name for names in presets.values() for name in names})
        raise UserError(f"--preset must be one of {', '.join(known)}, got {preset!r}{did_you_mean(preset, known)}")

    def with_flags(one: Experiment, *flags: str) -> Experiment:
        return dataclasses.replace(one, flags=(*one.flags, *flags))

    def ours(data: str, name: str | None = preset, label: str = "InfoVAEGAN") -> Experiment:
        if name is None or name not in presets[data]:
            return Experiment(f"{data}/reference", label, data)
        return Experiment(f"{data}/{name}", f"{label}, {name}", data, ("--preset", name))

    def other(data: str, model: str, label: str, paper: str = "", given: str | None = None) -> Experiment:
        one = Experiment(f"{data}/{model}", label, data, ("--model", model), paper)
        if given is None:
            return one
        with_preset = with_flags(one, "--preset", given)
        return dataclasses.replace(with_preset, name=f"{one.name}_{given}", label=f"{label}, {given}")

    def ablation(one: Experiment) -> Experiment:
        return dataclasses.replace(with_flags(one, _WITHOUT_MI), name=f"{one.name}_mi", label="InfoVAEGAN-MI")

    reference = dataclasses.replace(ours("mnist", None), paper="95.42 (best 96.15)")
    as_in_text = Experiment("mnist/paper", "InfoVAEGAN, the paper's text", "mnist", ("--preset", "paper"))
    faces = ours("celeba")
    as_faces = preset if preset in presets["celeba"] else None
    fid_of = faces, ablation(faces), other("celeba", "infogan", "InfoGAN", given=as_faces)
    # With InfoVAEGAN's settings where they share them: the systems are compared, not their settings.
    infogan = other("mnist", "infogan", "InfoGAN", "93.35", given="tuned")
    ali = with_flags(other("mnist", "ali", "ALI", given="tuned"), "--restart-below", "0")
    mixture = with_flags(other("mnist", "mixture", "mixture of four autoencoders"), *_MIXTURE_LENGTH)
    others = (
        infogan,
        # Is it the term on real images, or is it InfoVAEGAN?
        other("mnist", "infogan", "InfoGAN", given="light"),
        ali,
        with_flags(other("mnist", "jointvae", "JointVAE", "71.53 (best 87.32)"), *_DIGITS_JOINTVAE),
        with_flags(other("mnist", "infocatvae", "InfoCatVAE"), "--epochs", "30"),  # Of 100.
        mixture,
    )
    settings = [ours("mnist", name) for name in presets["mnist"] if name != "paper"]
    table1 = (reference, *settings, as_in_text, ablation(as_in_text), *others)
    table2 = (
        with_flags(other("dsprites", "betavae", "beta-VAE", "0.73"), *_SPRITES_BETAVAE),
        with_flags(other("dsprites", "factorvae", "FactorVAE", "0.82"), *_SPRITES_FACTORVAE),
        with_flags(other("dsprites", "jointvae", "JointVAE", "0.69"), *_SPRITES_JOINTVAE),
        dataclasses.replace(ours("dsprites"), paper="0.79"),
    )
    # By name, since --preset paper makes two of them the same.
    rows2 = {one.name: one for one in (infogan, ours("mnist"), as_in_text, ablation(as_in_text))}
    codes = [("figure3" + letter, f"figure_traversal_c{code}.png") for code, letter in enumerate("abcd")]
    found = {
        "table1": Table("MNIST without labels: accuracy of the categories in percent", table1, "accuracy",
                        _ALSO, _QUOTED, percent=True),
        "table2": Table("dSprites: FactorVAE score", table2, "factor_vae",
                        ("mig", "sap", "reconstruction_error_per_value"), seeds=3),
        "figure2": Figure("Real images and their reconstructions", ((ali, "figure_reconstructions.png"),),
                          also=tuple(rows2.values())),
        **{name: Figure("A continuous code of CelebA", ((faces, file),)) for name, file in codes},
        "figure3e": Curves("CelebA: FID after each epoch", fid_of, "fid_classifier", "fid_classifier_floor"),
        "figure4": Figure("MNIST's two continuous codes", tuple(
            (one, f"figure_traversal_c{code}.png") for one in (ours("mnist"), infogan) for code in range(2))),
        "chairs": Figure("The continuous codes of 3D Chairs", tuple(
            (ours("3dchairs"), f"figure_traversal_c{code}.png") for code in range(4))),
    }  # fmt: skip
    return {name: dataclasses.replace(item, preset=preset) for name, item in found.items()}
