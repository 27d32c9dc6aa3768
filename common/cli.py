"""Flags to configuration, and the commands. Answers `--help`, `--dry-run` and mistakes without importing TensorFlow."""

import argparse
import dataclasses
import json
import pathlib
import sys

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
    """

    data_dir: pathlib.Path | None
    data: str
    cache: data.Cache
    out: pathlib.Path
    resume: bool
    overwrite: bool
    tensorboard: bool


def parser(config: Config, description: str) -> argparse.ArgumentParser:
    """The command line of one script, its defaults taken from `config`."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False)
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
    where.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")
    run = p.add_argument_group("the run")
    run.add_argument("--epochs", type=int, default=config.epochs)
    run.add_argument("--steps-per-epoch", type=int, default=argparse.SUPPRESS, metavar="N",
                     help="end an epoch after N steps (default: as many whole batches as the data holds)")
    run.add_argument("--batch-size", type=int, default=config.batch_size)
    run.add_argument("--seed", type=int, default=config.seed, help="decides everything random: initial weights, noise, the order of the data")
    model = p.add_argument_group("the model")
    model.add_argument("--model", choices=sorted({name.split("_")[0] for name in models.available()}), default=config.model)
    model.add_argument("--variant", default=config.variant, help="code: as the original scripts compute")
    model.add_argument("--batch-norm", choices=("batch", "moving"), default=config.batch_norm,
                       help="what inference normalises with: each batch's own statistics, as the original, or the moving averages")
    model.add_argument("--noise", type=int, default=config.latent.noise, metavar="Z", help="length of the noise z")
    model.add_argument("--categories", type=int, default=config.latent.categories, metavar="K", help="categories of the discrete code d")
    model.add_argument("--continuous", type=int, default=config.latent.continuous, metavar="C", help="length of the continuous code c")
    model.add_argument("--learning-rate", type=float, default=config.learning_rate, help="of the discriminator; the multipliers scale it")
    model.add_argument("--generator-multiplier", type=float, default=config.generator_multiplier)
    model.add_argument("--information-multiplier", type=float, default=config.information_multiplier)
    model.add_argument("--vae-multiplier", type=float, default=config.vae_multiplier)
    model.add_argument("--categorical-kl-weight", type=float, default=config.categorical_kl_weight, help="weight of KL_d in vae_loss")
    return p


def resolve(config: Config, arguments: argparse.Namespace) -> tuple[Config, Options]:
    """The script's configuration with the flags applied. Raises UserError for values out of range."""
    given = vars(arguments)
    latent = dataclasses.replace(config.latent, **{f.name: given[f.name] for f in dataclasses.fields(config.latent)})
    fields = {f.name for f in dataclasses.fields(config)} & given.keys()
    resolved = dataclasses.replace(config, latent=latent, **{name: given[name] for name in fields})
    models.check(resolved)
    if arguments.resume and arguments.overwrite:
        raise UserError("--resume and --overwrite exclude each other: leave one out")
    options = Options(given.get("data_dir"), arguments.data, data.Cache(arguments.cache_dir, not arguments.no_cache), arguments.out,
                      arguments.resume, arguments.overwrite, arguments.tensorboard)
    return resolved, options


def main(config: Config, description: str, argv: list[str] | None = None) -> int:
    """Runs a script's command line and returns its exit code: 0, or 2 for a mistake of the user's, said in one line."""
    p = parser(config, description)
    arguments = p.parse_args(argv)
    try:
        config, options = resolve(config, arguments)
        if arguments.dry_run:
            print(json.dumps(provenance(config, str(options.data_dir or options.data)), indent=2))
            return 0
        from common.train import train

        train(config, options)
    except UserError as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0
