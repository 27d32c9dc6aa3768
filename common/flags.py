"""The flags of each command, generated from dataclass fields. Does not import TensorFlow.

`common.fields` says what a field declares. Parsed values are keyed by flag (`given["--epochs"]`); a flag that was not
given is absent.
"""

import argparse
import dataclasses
import pathlib
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from common.arguments import Flag, Parser, flags_of
from common.config import BATCH_NORMS, PRECISIONS, Config
from common.evaluation_options import EvaluationSettings, FigureSettings
from common.fields import described, flag_of
from common.models import registry
from common.options import DataOptions, Options, TrainingOptions
from common.sample_options import SampleOptions

COMMANDS = {
    "train": "Write sample grids and checkpoints after each epoch.",
    "evaluate": "Measure a trained run of {script} and write metrics.json.",
    "figures": "Draw the paper's figures from a trained run of {script}.",
    "report": "Write one HTML page that shows a trained run of {script}.",
    "sample": "Generate images with a trained run of {script}.",
    "export": "Write generator and encoder of a trained run of {script} as SavedModel and ONNX.",
    "data": "Say what {script} would read, and draw the first images as training sees them.",
}
EXAMPLES = {
    "train": ("--epochs 2 --steps-per-epoch 200", "--resume auto --epochs 20"),
    "evaluate": ("evaluate", "evaluate --quick --checkpoint models/{name}"),
    "figures": ("figures", "figures --codes 0 --range -2 2"),
    "report": ("report", "report --draws 8 --range -2 2"),
    "sample": ("sample --count 64 --category 3 --out threes.png", "sample --latents l.npz --out g.npz"),
    "export": ("export", "export --checkpoint models/{name} --out FOLDER"),
    "data": ("data", "data --data-dir DIR --json data.json"),
}
_REPORT = {  # Flags of `figures` that `report` has, too -> their help there, or "" for the same.
    "--draws": "number of samples to choose from",
    "--codes": "continuous codes that have a slider (default: as many as fit)",
    "--traversal-steps": "number of positions of a slider, at most 101",
    **dict.fromkeys(("--range", "--grid-rows", "--num-reconstructions", "--information-images", "--figure-seed"), ""),
}
_PLACES = ("data_dir", "data", "out", "cache_dir", "use_cache")
_RUN = ("resume", "overwrite", "evaluate")


@dataclasses.dataclass(frozen=True)
class _Run:
    """Fields of `Config`: the length and the randomness of a run."""

    epochs: int = described(1, "total number of epochs, with those before --resume", common=True)
    steps_per_epoch: int | None = described(
        None, "end an epoch after N steps (default: all whole batches)", common=True
    )
    batch_size: int = described(2, "images per training step", common=True)
    test_fraction: float = described(
        0, "fraction of the images of --images held out as test images, unless they lie in train/ and test/"
    )
    seed: int = described(0, "random seed (initial weights, noise, data order)", common=True)


@dataclasses.dataclass(frozen=True)
class _Model:
    """Fields of `Config`: the model."""

    model: str = described("", "model to train", common=True)
    variant: str = described("", "algorithm of the original code or of the paper's text", common=True)
    batch_norm: str = described(
        "",
        "statistics at inference: of each batch (as the original), moving averages of training, or standing averages "
        "taken after training",
        choices=BATCH_NORMS,
    )
    precision: str = described(
        "", "compute dtype of the networks; all else stays float32", choices=PRECISIONS, common=True
    )
    sync_batch_norm: bool = described(False, "with --strategy: synchronise batch-norm statistics across devices")


@dataclasses.dataclass(frozen=True)
class _Latents:
    """Fields of `LatentSpec`."""

    noise: int = described(0, "length of the noise z", metavar="Z")
    categories: int = described(0, "number of categories of d, or of experts", metavar="K", alias="--experts")
    continuous: int = described(0, "number of continuous codes c", metavar="C")


@dataclasses.dataclass(frozen=True)
class _Extras:
    """Flags that only the command line knows."""

    preset: str | None = described(None, "use a named set of defaults instead of the original's", common=True)
    smoke: bool = described(False, "run a one-minute end-to-end self-test in a temporary folder", common=True)
    quick: bool = described(False, "quick check on ~100 images; not for reporting", common=True)
    also: tuple[pathlib.Path, ...] = described(
        (), "further checkpoints: one row of reconstructions each", common=True, metavar="PATH"
    )
    images: pathlib.Path | None = described(
        None,
        "images of your own in place of the script's data: a folder (sub-folders are classes), a .zip or .tar, or an "
        ".npz file",
        common=True,
        metavar="DIR",
    )
    results: pathlib.Path | None = described(
        None, "folder of log.csv and metrics.json (default: the run's own)", common=True, metavar="DIR"
    )
    file: pathlib.Path | None = described(None, "file to write (default: report.html)", common=True, metavar="HTML")
    dry_run: bool = described(False, "print the resolved configuration, check the data, and exit", common=True)


def _model_groups(config: Config) -> list[tuple[str, list[Flag]]]:
    """Return the flags that change a configuration, by group."""
    names = {"--model": tuple(registry.models()), "--variant": tuple(registry.variants())}
    model = [flag._replace(choices=names.get(flag.flag, flag.choices)) for flag in flags_of(_Model, config)]
    model[0] = model[0]._replace(metavar="NAME", help=f"model to train: {', '.join(model[0].choices)}")
    hyper = flags_of(type(config.hyper), config.hyper, negatable=True)
    return [
        ("run", flags_of(_Run, config)),
        ("model", model + flags_of(_Latents, config.latent)),
        (f"hyper-parameters of {registry.spec_of(config).title}", hyper),
    ]


def groups(command: str, config: Config, presets: Sequence[str], tf1: bool) -> list[tuple[str, list[Flag]]]:
    """Return the flags of a command by group.

    Args:
        command: one of `COMMANDS`.
        config: gives the defaults, and the system.
        presets: the names that --preset may have.
        tf1: whether --tf1-checkpoint is given, which has no configuration: then flags give it to all commands.
    """
    extras = {flag.flag: flag for flag in flags_of(_Extras)}
    (_, run), *models = _model_groups(config)
    if command == "train":
        others = [f.name for f in dataclasses.fields(TrainingOptions) if f.name not in (*_PLACES, *_RUN, "checkpoint")]
        after = [*flags_of(TrainingOptions, names=_RUN), extras["--smoke"], extras["--dry-run"]]
        return [
            ("training", [*run, *_preset(presets), *after]),
            ("data and output", [extras["--images"], *flags_of(TrainingOptions, names=_PLACES)]),
            *models,
            ("checkpoints and devices", flags_of(TrainingOptions, names=others)),
        ]
    if command == "data":
        return [("data and output", [extras["--images"], *flags_of(DataOptions, names=(*_PLACES, "json"))])]
    own = {
        "evaluate": [*flags_of(EvaluationSettings), extras["--quick"], extras["--dry-run"]],
        "figures": [*flags_of(FigureSettings), extras["--also"], extras["--quick"], extras["--dry-run"]],
        "report": [
            *(f._replace(help=_REPORT[f.flag] or f.help) for f in flags_of(FigureSettings) if f.flag in _REPORT),
            *(extras[name] for name in ("--results", "--file", "--quick", "--dry-run")),
        ],
        "sample": [*flags_of(SampleOptions), extras["--dry-run"]],
        "export": [extras["--dry-run"]],
    }[command]
    found = [] if command == "sample" else [("run and data", [extras["--images"], *flags_of(Options)])]
    names = {flag.flag for flag in own}  # `sample` has a --seed of its own.
    saved = [("configuration of the TF1 checkpoint", [f for f in run if f.flag not in names]), *models]
    return [*found, (command, own), *(saved if tf1 else [])]


def values(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a dataclass whose flags were given: name -> value."""
    found = {f.name: given[flag_of(f)] for f in dataclasses.fields(kind) if flag_of(f) in given}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def resolve(config: Config, given: Mapping[str, Any]) -> Config:
    """Return `config`, of the system that was asked for, with the flags given. Raises UserError for bad values."""
    changes = values(_Run, given) | values(_Model, given)
    latent = dataclasses.replace(config.latent, **values(_Latents, given))
    hyper = dataclasses.replace(config.hyper, **values(type(config.hyper), given))
    return dataclasses.replace(config, latent=latent, hyper=hyper, **changes)


def parser(
    command: str, config: Config, description: str, presets: Sequence[str] = (), *, tf1: bool = False, shown: str = ""
) -> argparse.ArgumentParser:
    """Return the parser of a command, its defaults taken from `config`.

    Args:
        command: one of `COMMANDS`.
        config: the configuration of the system that was asked for.
        description: what the script trains.
        presets: the names that --preset may have.
        tf1: whether --tf1-checkpoint is given.
        shown: what help lists: "" the common flags, "system" those and the system's hyper-parameters, "all" all.
    """
    script = f"{config.name}.py"
    what = COMMANDS[command].format(script=script)
    others = ", ".join(name for name in COMMANDS if name != command)
    examples = [f"  python {script} {text.format(name=config.name)}" for text in EXAMPLES[command]]
    p = Parser(
        prog=script,
        usage=f"python {script} [{command}] [FLAGS]" if command == "train" else f"python {script} {command} [FLAGS]",
        description=textwrap.fill(f"{description} {what}".lstrip() if command == "train" else what, _width()),
        epilog="\n".join(
            ["examples:", *examples, "", f"other commands, as first word: {others}"]
            + ([] if shown == "all" else ["--help-all lists all flags"])
            + (["--model NAME --help lists a model's hyper-parameters"] if command == "train" and not shown else [])
        ),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=_width()),
        add_help=False,
        allow_abbrev=False,
    )  # fmt: skip
    for title, flags in groups(command, config, presets, tf1):
        group = p.add_argument_group(title)
        for flag in flags:
            flag.add(group, flag.common or shown == "all" or (shown == "system" and title.startswith("hyper")))
    return p


def _preset(presets: Sequence[str]) -> list[Flag]:
    """Return the flag --preset, if there are presets."""
    return [flag._replace(choices=tuple(presets)) for flag in flags_of(_Extras, names=("preset",)) if presets]


def model_parser(config: Config, presets: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return a parser of the flags that change a configuration alone, --preset included."""
    p = Parser(add_help=False, allow_abbrev=False)
    for flags in (_preset(presets), *(flags for _, flags in _model_groups(config))):
        for flag in flags:
            flag.add(p.add_argument_group(), shown=False)
    return p


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 100)
