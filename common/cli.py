"""Flags to configuration, and the commands. Answers `--help`, `--dry-run` and mistakes without importing TensorFlow."""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

from common import data, models
from common.config import Config, provenance
from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Options:
    """How a command is run; nothing of it changes what a run computes.

    Attributes:
        data_dir: where the user says the data is.
        data: one of `data.MODES`.
        cache: of preprocessed images.
        out: below it lie results/<script>/ and models/<script>/.
        resume: go on from the last checkpoint.
        overwrite: start again where a run already lies.
        tensorboard: write TensorBoard logs.
        tf1_checkpoint: start from this checkpoint of the original.
    """

    data_dir: pathlib.Path | None
    data: str
    cache: data.Cache
    out: pathlib.Path
    resume: bool
    overwrite: bool
    tensorboard: bool
    tf1_checkpoint: str | None = None


def parser(config: Config, description: str, command: str) -> argparse.ArgumentParser:
    """The command line of one command of a script, its defaults taken from `config`."""
    p = argparse.ArgumentParser(description=f"{description} {COMMANDS[command].help}", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
                                allow_abbrev=False, epilog=f"commands (the first argument; default train): {', '.join(COMMANDS)}")
    COMMANDS[command].add_flags(p, config)
    p.add_argument("--tf1-checkpoint", default=argparse.SUPPRESS, metavar="PREFIX", help="start from a checkpoint of the original TF1 code")
    p.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")
    _add_model_flags(p.add_argument_group("the model"), config)
    return p


def _add_train_flags(p: argparse.ArgumentParser, config: Config) -> None:
    where = p.add_argument_group("data and output")
    where.add_argument("--data-dir", type=pathlib.Path, default=argparse.SUPPRESS, metavar="DIR",
                       help="where the real data set is; without it, the usual places are searched")
    where.add_argument("--data", choices=data.MODES, default="auto",
                       help="real: fail where there is no real data; synthetic: use the built-in stand-in; auto: real if there is any, else the stand-in")
    where.add_argument("--cache-dir", type=pathlib.Path, default=data.default_cache_folder(), metavar="DIR", help="where preprocessed images are kept")
    where.add_argument("--no-cache", action="store_true", help="decode images anew each time they are needed")
    where.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."), metavar="DIR",
                       help=f"write DIR/results/{config.name}/ and DIR/models/{config.name}/")
    where.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    where.add_argument("--overwrite", action="store_true", help="start again where a run already lies, and lose it")
    where.add_argument("--tensorboard", action="store_true", help="write TensorBoard logs beside the results")
    run = p.add_argument_group("the run")
    run.add_argument("--epochs", type=int, default=config.epochs, help="epochs in all, those before a --resume included")
    run.add_argument("--steps-per-epoch", type=int, default=argparse.SUPPRESS, metavar="N",
                     help="end an epoch after N steps (default: as many whole batches as the data holds)")


def _add_sample_flags(p: argparse.ArgumentParser, config: Config) -> None:
    p.add_argument("--checkpoint", type=pathlib.Path, default=argparse.SUPPRESS, metavar="PATH",
                   help="a checkpoint of a run, or the folder, for its newest; its configuration takes the place of the flags")
    p.add_argument("--latents", type=pathlib.Path, required=True, metavar="NPZ", help=f"z [n, {config.latent.noise}] and u [n, {config.latent.code}]")
    p.add_argument("--out", type=pathlib.Path, required=True, metavar="NPZ", help="where to write the images, G [n, h, w, c]")


def _add_model_flags(p, config: Config) -> None:
    p.add_argument("--batch-size", type=int, default=config.batch_size)
    p.add_argument("--seed", type=int, default=config.seed, help="decides everything random: initial weights, noise, the order of the data")
    p.add_argument("--model", choices=sorted({name.split("_")[0] for name in models.SYSTEMS}), default=config.model)
    p.add_argument("--variant", default=config.variant, help="code: as the original scripts compute")
    p.add_argument("--batch-norm", choices=("batch", "moving"), default=config.batch_norm,
                   help="what inference normalises with: each batch's own statistics, as the original, or the moving averages")
    p.add_argument("--first-batch-norm", action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS,
                   help="normalise after the first convolution of encoder and discriminator (default: as the original's scripts of the model)")
    p.add_argument("--noise", type=int, default=config.latent.noise, metavar="Z", help="length of the noise z")
    p.add_argument("--categories", type=int, default=config.latent.categories, metavar="K", help="categories of the discrete code d")
    p.add_argument("--continuous", type=int, default=config.latent.continuous, metavar="C", help="length of the continuous code c")
    p.add_argument("--learning-rate", type=float, default=config.learning_rate, metavar="RATE", help="of the discriminator; the multipliers scale it")
    p.add_argument("--generator-multiplier", type=float, default=argparse.SUPPRESS, metavar="X", help=f"of the rate, for g_loss (default: {config.generator_multiplier}, or the model's own)")
    p.add_argument("--information-multiplier", type=float, default=config.information_multiplier, metavar="X", help="of the rate, for q_loss")
    p.add_argument("--vae-multiplier", type=float, default=config.vae_multiplier, metavar="X", help="of the rate, for vae_loss")
    p.add_argument("--categorical-kl-weight", type=float, default=config.categorical_kl_weight, metavar="W", help="of KL_d in vae_loss")


def resolve(config: Config, given: dict) -> Config:
    """The script's configuration with the flags `given` applied. Raises UserError for values out of range."""
    latent = dataclasses.replace(config.latent, **{f.name: given[f.name] for f in dataclasses.fields(config.latent)})
    system = models.adapt(dataclasses.replace(config, model=given["model"], variant=given["variant"], latent=latent))
    return dataclasses.replace(system, **{f.name: given[f.name] for f in dataclasses.fields(config) if f.name in given})


def main(config: Config, description: str, argv: list[str] | None = None) -> int:
    """Runs a script's command line and returns its exit code: 0, or 2 for a mistake of the user's, said in one line."""
    argv = sys.argv[1:] if argv is None else argv
    command = argv[0] if argv and argv[0] in COMMANDS else "train"
    p = parser(config, description, command)
    given = vars(p.parse_args(argv[1:] if argv[:1] == [command] else argv))
    try:
        config = resolve(config, given)
        if given["dry_run"]:
            print(json.dumps(provenance(config, str(given.get("data_dir", given.get("data")))), indent=2))
        else:
            COMMANDS[command].run(config, given)
    except UserError as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


def _train(config: Config, given: dict) -> None:
    if given["resume"] and (given["overwrite"] or "tf1_checkpoint" in given):
        raise UserError("--resume excludes --overwrite and --tf1-checkpoint: leave one out")
    options = Options(given.get("data_dir"), given["data"], data.Cache(given["cache_dir"], not given["no_cache"]), given["out"],
                      given["resume"], given["overwrite"], given["tensorboard"], given.get("tf1_checkpoint"))
    from common.train import train

    train(config, options)


def _sample(config: Config, given: dict) -> None:
    from common.sample import sample

    sample(config, given.get("checkpoint"), given.get("tf1_checkpoint"), given["latents"], given["out"])


class Command(NamedTuple):
    """One command of every script: what it does, its own flags, and what runs it."""

    help: str
    add_flags: Callable[[argparse.ArgumentParser, Config], None]
    run: Callable[[Config, dict], None]


COMMANDS = {
    "train": Command("Trains, and writes sample grids and checkpoints after each epoch.", _add_train_flags, _train),
    "sample": Command("Writes G(z, u) for latents that you bring.", _add_sample_flags, _sample),
}
