"""Flags to configuration, and the commands. Answers `--help`, `--dry-run` and mistakes without importing TensorFlow."""

import argparse
import dataclasses
import json
import pathlib
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from common import threads
from common.config import BATCH_NORMS, PRECISIONS, Config
from common.errors import Interrupted, UserError
from common.models import registry
from common.models.hyperparameters import flag_of, type_of
from common.options import (
    DATA_MODES,
    FACTOR_VAE,
    QUICK_EVALUATION,
    QUICK_FIGURES,
    STRATEGIES,
    Cache,
    EvaluationSettings,
    FigureSettings,
    Options,
    SaveInterval,
    default_cache_folder,
)
from common.runs import provenance


def parser(config: Config, description: str, command: str, presets: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The command line of one command of a script, its defaults taken from `config`; to train, it can name one of `presets`."""
    p = argparse.ArgumentParser(
        description=f"{description} {COMMANDS[command].help}",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
        epilog=f"commands (the first argument; default train): {', '.join(COMMANDS)}",
    )
    COMMANDS[command].add_flags(p, config)
    if presets and command == "train":
        p.add_argument(
            "--preset",
            choices=presets,
            default=argparse.SUPPRESS,
            help="other defaults: see the script, and the README (default: the original's)",
        )
    p.add_argument(
        "--tf1-checkpoint",
        default=argparse.SUPPRESS,
        metavar="PREFIX",
        help="start from a checkpoint of the original TF1 code",
    )
    p.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")
    add_model_flags(p.add_argument_group("the model"), config)
    return p


def _add_place_flags(p: argparse.ArgumentParser, config: Config):
    where = p.add_argument_group("data and output")
    where.add_argument(
        "--data-dir",
        type=pathlib.Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="where the real data set is; without it, the usual places are searched",
    )
    where.add_argument(
        "--data",
        choices=DATA_MODES,
        default="auto",
        help="real: fail where there is no real data; synthetic: use the built-in stand-in; auto: real if there is any, else the stand-in",
    )
    where.add_argument(
        "--cache-dir",
        type=pathlib.Path,
        default=default_cache_folder(),
        metavar="DIR",
        help="where preprocessed images are kept",
    )
    where.add_argument("--no-cache", action="store_true", help="decode images anew each time they are needed")
    where.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("."),
        metavar="DIR",
        help=f"where results/{config.name}/ and models/{config.name}/ are",
    )
    return where


def _add_train_flags(p: argparse.ArgumentParser, config: Config) -> None:
    where = _add_place_flags(p, config)
    where.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    where.add_argument("--overwrite", action="store_true", help="start again where a run already lies, and lose it")
    where.add_argument("--tensorboard", action="store_true", help="write TensorBoard logs beside the results")
    run = p.add_argument_group("the run")
    run.add_argument(
        "--checkpoint-every",
        type=SaveInterval.parse,
        default=argparse.SUPPRESS,
        metavar="STEPS|MINUTESm",
        help="save a checkpoint each so many steps (500) or minutes (30m) too, beside those at the end of each epoch",
    )
    run.add_argument("--keep", type=int, default=3, metavar="N", help="how many checkpoints are kept")
    run.add_argument(
        "--on-nan",
        choices=("stop", "rollback"),
        default="stop",
        help="when a loss is not finite: stop, or go back to the last checkpoint and draw other noise, at most three times",
    )
    run.add_argument(
        "--deterministic",
        action="store_true",
        help="have TensorFlow use only operations that give the same bits every time",
    )
    run.add_argument("--jit", action="store_true", help="compile training steps with XLA")
    run.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default=argparse.SUPPRESS,
        help="share each batch among devices: all GPUs of this machine (mirrored), those of all workers in TF_CONFIG (multiworker), or whichever "
        "there is (auto); default: one device",
    )
    run.add_argument(
        "--sync-batch-norm",
        action="store_true",
        default=argparse.SUPPRESS,
        help="with --strategy: normalise with the statistics of the joint batch, which is then trained on as by one device; "
        "otherwise each device has its own share's",
    )
    run.add_argument(
        "--no-evaluate",
        dest="evaluate",
        action="store_false",
        help="leave out what follows training: the commands evaluate and figures",
    )
    run.add_argument(
        "--smoke",
        action="store_true",
        help="only try everything out, in a minute at most: data, steps, checkpoint, resume, evaluation and figures, in a temporary folder",
    )
    run.add_argument(
        "--epochs", type=int, default=config.epochs, help="epochs in all, those before a --resume included"
    )
    run.add_argument(
        "--steps-per-epoch",
        type=int,
        default=argparse.SUPPRESS,
        metavar="N",
        help="end an epoch after N steps (default: as many whole batches as the data holds)",
    )


def _add_sample_flags(p: argparse.ArgumentParser, config: Config) -> None:
    p.add_argument(
        "--checkpoint",
        type=pathlib.Path,
        default=argparse.SUPPRESS,
        metavar="PATH",
        help="a checkpoint of a run, or the folder, for its newest; its configuration takes the place of the flags",
    )
    p.add_argument(
        "--latents",
        type=pathlib.Path,
        required=True,
        metavar="NPZ",
        help=f"z [n, {config.latent.noise}] and u [n, {config.latent.code}]",
    )
    p.add_argument(
        "--out", type=pathlib.Path, required=True, metavar="NPZ", help="where to write the images, G [n, h, w, c]"
    )


def _add_checkpoint_flag(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--checkpoint",
        type=pathlib.Path,
        default=argparse.SUPPRESS,
        metavar="PATH",
        help="a checkpoint of any run, or the folder, for its newest (default: the newest in --out's models/); its configuration is its own",
    )


def _add_evaluate_flags(p: argparse.ArgumentParser, config: Config) -> None:
    _add_place_flags(p, config)
    _add_checkpoint_flag(p)
    what = p.add_argument_group("what is measured")
    what.add_argument(
        "--quick", action="store_true", help="on about a hundred images: to see that it works, not to report"
    )
    _add_settings(
        what,
        EvaluationSettings,
        {
            "images": (
                int,
                "N",
                "encoded from each split, at most (default: all of small images, 10,000 of larger ones)",
            ),
            "compared": (
                int,
                "N",
                "images a side of FID and KID, and reconstructed ones, at most (default: 10,000 small or 2,000 larger ones)",
            ),
            "votes": (int, "M", "of the FactorVAE score (default: what --factor-vae says)"),
            "vote_images": (int, "L", "images a vote (default: what --factor-vae says)"),
            "inception_weights": (
                pathlib.Path,
                "H5",
                "Keras's InceptionV3 weights without its top, for fid_keras and kid_keras (default: skip them)",
            ),
            "classifier_images": (
                int,
                "N",
                "what the classifier behind fid_classifier and kid_classifier is trained on, at most",
            ),
        },
    )
    what.add_argument(
        "--factor-vae",
        choices=FACTOR_VAE,
        default=argparse.SUPPRESS,
        help="whose sizes the FactorVAE score is taken at (default: paper)",
    )
    what.add_argument(
        "--no-moving",
        dest="moving",
        action="store_false",
        default=argparse.SUPPRESS,
        help="leave out the accuracy with the other kind of batch-norm statistics",
    )
    what.add_argument(
        "--evaluation-seed",
        dest="settings_seed",
        type=int,
        default=0,
        metavar="SEED",
        help="decides which images are drawn and generated",
    )


def _add_figures_flags(p: argparse.ArgumentParser, config: Config) -> None:
    _add_place_flags(p, config)
    _add_checkpoint_flag(p)
    what = p.add_argument_group("what is drawn")
    what.add_argument("--quick", action="store_true", help="little of everything: to see that it works")
    what.add_argument(
        "--also",
        type=pathlib.Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="other runs' checkpoints or folders, whose reconstructions go below",
    )
    what.add_argument(
        "--protocol", action="store_true", default=argparse.SUPPRESS, help="traversals by the original's protocol too"
    )
    _add_settings(
        what,
        FigureSettings,
        {
            "rows": (int, "N", "of the class grid"),
            "columns": (int, "N", "reconstructed images, and points between two real images"),
            "pairs": (int, "N", "of real images to go between"),
            "steps": (int, "N", "points of a traversal"),
            "images": (int, "N", "for the mutual information of codes and factors, at most"),
        },
    )
    what.add_argument(
        "--range",
        type=float,
        nargs=2,
        default=argparse.SUPPRESS,
        metavar=("LOW", "HIGH"),
        help="of a traversed code (default: -1 1)",
    )
    what.add_argument(
        "--draws",
        type=int,
        nargs="+",
        default=argparse.SUPPRESS,
        metavar="N",
        help="which of 64 draws the traversals show (default: 0 1 2 3 4)",
    )
    what.add_argument(
        "--codes",
        type=int,
        nargs="+",
        default=argparse.SUPPRESS,
        metavar="N",
        help="which continuous codes are traversed (default: all)",
    )
    what.add_argument(
        "--figure-seed",
        dest="settings_seed",
        type=int,
        default=0,
        metavar="SEED",
        help="decides which latents and real images are shown",
    )


def _add_settings(p, kind: type, flags: dict[str, tuple[type, str, str]]) -> None:
    """A flag for each named field of the dataclass `kind`: (type, metavar, help); none of them is in `given` unless it is given."""
    for name, (type_, metavar, text) in flags.items():
        default = getattr(kind, name)
        p.add_argument(
            f"--{name.replace('_', '-')}",
            type=type_,
            default=argparse.SUPPRESS,
            metavar=metavar,
            help=text if default is None else f"{text} (default: {default})",
        )


def add_model_flags(p, config: Config) -> None:
    """Adds the flags of what is computed, with the defaults of `config`; `resolve` applies them."""
    p.add_argument("--batch-size", type=int, default=config.batch_size)
    p.add_argument("--seed", type=int, default=config.seed, help="random seed (initial weights, noise, data order)")
    p.add_argument("--model", choices=registry.models(), default=config.model)
    p.add_argument("--variant", choices=registry.variants(), default=config.variant)
    p.add_argument("--batch-norm", choices=BATCH_NORMS, default=config.batch_norm)
    p.add_argument("--precision", choices=PRECISIONS, default=config.precision)
    p.add_argument("--noise", type=int, default=argparse.SUPPRESS, metavar="Z", help="length of the noise z")
    p.add_argument("--categories", type=int, default=argparse.SUPPRESS, metavar="K", help="number of categories of d")
    p.add_argument("--continuous", type=int, default=argparse.SUPPRESS, metavar="C", help="length of the code c")
    for spec in registry.specs():
        for field in dataclasses.fields(spec.hyperparameters):
            if flag_of(field.name) in p._option_string_actions:
                continue
            kind = type_of(field)
            if kind is bool:
                options = {"action": argparse.BooleanOptionalAction}
            else:
                options = {"type": kind, "choices": field.metadata["choices"] or None}
            p.add_argument(flag_of(field.name), default=argparse.SUPPRESS, help=field.metadata["help"], **options)


def hyperparameter_names() -> set[str]:
    """The names of the hyper-parameters of all systems."""
    return {field.name for spec in registry.specs() for field in dataclasses.fields(spec.hyperparameters)}


def resolve(config: Config, given: dict) -> Config:
    """The script's configuration with the flags `given` applied. Raises UserError for values out of range."""
    changes = {name: given[name] for name in hyperparameter_names() if name in given}
    config = registry.with_system(config, given["model"], given["variant"], **changes)
    lengths = {f.name: given[f.name] for f in dataclasses.fields(config.latent) if f.name in given}
    own = {f.name: given[f.name] for f in dataclasses.fields(config) if f.name in given}
    return dataclasses.replace(config, latent=dataclasses.replace(config.latent, **lengths), **own)


def main(
    config: Config,
    description: str,
    argv: list[str] | None = None,
    presets: Mapping[str, Config] = types.MappingProxyType({}),
) -> int:
    """Runs a script's command line and returns its exit code: 0, or that of an error (2 for the user's mistakes), said in one line.

    With `--preset NAME`, the defaults are those of `presets[NAME]` instead of `config`.
    """
    argv = sys.argv[1:] if argv is None else argv
    command = argv[0] if argv and argv[0] in COMMANDS else "train"
    arguments = argv[1:] if argv[:1] == [command] else argv
    p = parser(config, description, command, tuple(presets))
    given = vars(p.parse_args(arguments))
    if "preset" in given:
        config = presets[given["preset"]]
        p = parser(config, description, command, tuple(presets))
        given = vars(p.parse_args(arguments))
    given["changed"] = [name for name, value in given.items() if value != p.get_default(name)]
    try:
        config = resolve(config, given)
        if given["dry_run"]:
            print(json.dumps(provenance(config, str(given.get("data_dir", given.get("data")))), indent=2))
        else:
            COMMANDS[command].run(config, given)
    except UserError as error:
        print(f"{p.prog}: {'' if isinstance(error, Interrupted) else 'error: '}{error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(
            f"{p.prog}: error: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"{p.prog}: stopped", file=sys.stderr)
        return 130
    return 0


def _train(config: Config, given: dict) -> None:
    if given["smoke"]:
        from common.smoke import smoke

        return smoke(config, given.get("data_dir"))
    if given["resume"] and (given["overwrite"] or "tf1_checkpoint" in given):
        raise UserError("--resume excludes --overwrite and --tf1-checkpoint: leave one out")
    if config.sync_batch_norm and "strategy" not in given:
        raise UserError("--sync-batch-norm is for several devices: it needs --strategy")
    if given["jit"] and "strategy" in given:
        raise UserError("--jit and --strategy exclude each other: leave one out")
    if given["jit"] or "strategy" in given:
        registry.require_equal_steps(config, "--jit" if given["jit"] else "--strategy")
    if given["keep"] < 1:
        raise UserError(f"--keep must be at least 1; got {given['keep']}")
    options = Options(
        given.get("data_dir"),
        given["data"],
        Cache(given["cache_dir"], not given["no_cache"]),
        given["out"],
        given["resume"],
        given["overwrite"],
        given["tensorboard"],
        given.get("checkpoint_every", SaveInterval()),
        given["keep"],
        given["on_nan"],
        given["deterministic"],
        given.get("tf1_checkpoint"),
        given["jit"],
        given.get("strategy"),
        EvaluationSettings() if given["evaluate"] else None,
    )
    threads.configure_threads(config)
    from common.training.train import train

    train(config, options)


def _sample(config: Config, given: dict) -> None:
    _refuse_training_flags(config, given)
    from common.evaluation.sample import sample

    sample(config, given.get("checkpoint"), given.get("tf1_checkpoint"), given["latents"], given["out"])


def _evaluate(config: Config, given: dict) -> None:
    settings = _settings(QUICK_EVALUATION if given["quick"] else EvaluationSettings(), given)
    run = _open(config, given)
    from common.evaluation.evaluate import evaluate

    evaluate(run.system, run.dataset, run.results, run.checkpoint, settings)


def _figures(config: Config, given: dict) -> None:
    settings = _settings(QUICK_FIGURES if given["quick"] else FigureSettings(), given)
    run = _open(config, given)
    from common.evaluation.draw import draw_figures
    from common.runs import open_beside

    draw_figures(run.system, run.dataset, run.results, run.checkpoint, settings, open_beside(run, given["also"]))


def _settings(settings, given: dict):
    """`settings` with the flags that were given. Raises UserError for values out of range."""
    named = {f.name: given[f.name] for f in dataclasses.fields(settings) if f.name in given and f.name != "seed"}
    return dataclasses.replace(
        settings,
        **{name: tuple(value) if isinstance(value, list) else value for name, value in named.items()},
        seed=given["settings_seed"],
    )


def _refuse_training_flags(config: Config, given: dict) -> None:
    """Raises UserError for flags that the run which is opened answers itself; a checkpoint of the original knows no configuration."""
    of_a_run = {
        f.name for f in (*dataclasses.fields(Config), *dataclasses.fields(config.latent))
    } | hyperparameter_names()
    meaningless = [name for name in given["changed"] if name in of_a_run]
    if meaningless and "tf1_checkpoint" not in given:
        raise UserError(
            f"--{meaningless[0].replace('_', '-')} is for training and --tf1-checkpoint: a run keeps the configuration that it was trained with"
        )


def _open(config: Config, given: dict):
    """The run that `evaluate` or `figures` was told to open, with its data."""
    _refuse_training_flags(config, given)
    from common.runs import Where, open_with_data

    return open_with_data(
        config,
        Where(
            given.get("data_dir"),
            given["data"],
            Cache(given["cache_dir"], not given["no_cache"]),
            given["out"],
            given.get("checkpoint"),
            given.get("tf1_checkpoint"),
        ),
    )


class Command(NamedTuple):
    """One command of every script: what it does, its own flags, and what runs it."""

    help: str
    add_flags: Callable[[argparse.ArgumentParser, Config], None]
    run: Callable[[Config, dict], None]


COMMANDS = {
    "train": Command("Trains, and writes sample grids and checkpoints after each epoch.", _add_train_flags, _train),
    "evaluate": Command("Measures a trained run, and writes metrics.json.", _add_evaluate_flags, _evaluate),
    "figures": Command("Draws the paper's figures from a trained run.", _add_figures_flags, _figures),
    "sample": Command("Writes G(z, u) for latents that you bring.", _add_sample_flags, _sample),
}
