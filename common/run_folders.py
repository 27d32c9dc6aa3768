"""Which folder a script's own run is in."""

import dataclasses
import os
import pathlib

from common.config import Config
from common.errors import UserError
from common.options import SYNTHETIC, Options, RunFolders, TrainingOptions
from common.training.checkpoint_files import saved

SCRIPTS = {  # Short name -> script, next to `common`.
    "mnist": "InfoVAE_MNIST",
    "3dchairs": "InfoVAE_3DChairs",
    "celeba": "InfoVAE_CelebA",
    "dsprites": "InfoVAE_dSprites",
}


def script_of(name: str) -> str:
    """Return the script of a run of that name, without ending: InfoVAE_MNIST of InfoVAE_MNIST-photos."""
    scripts = (script for script in SCRIPTS.values() if name.startswith(f"{script}-"))
    return next(scripts, name.removesuffix(SYNTHETIC))


def run_name(name: str, synthetic: bool) -> str:
    """Return the name of a run of the script or run `name`; those on synthetic data have an ending of their own."""
    return f"{name}{SYNTHETIC}" if synthetic and not name.endswith(SYNTHETIC) else name


def newest(config: Config) -> pathlib.Path:
    """Return the folder of checkpoints of the script's newest run below models/, on any data.

    Raises:
        UserError: there is none.
    """
    folders = [RunFolders.of(config.name, pathlib.Path(".")).models, *pathlib.Path("models").glob(f"{config.name}-*")]
    trained = {folder: os.stat(f"{saved(folder)[0]}.index").st_mtime for folder in folders if saved(folder)}
    if not trained:
        remedy = f"train first (python {script_of(config.name)}.py), or name its --checkpoint"
        raise UserError(f"there is no trained run in {folders[0]}: {remedy}")
    return max(trained, key=lambda folder: trained[folder])


def find_run(config: Config, options: Options) -> pathlib.Path | None:
    """Return the folder of the checkpoints of the script's own run below --out, if there is one.

    A run on real data is preferred to one on synthetic data, unless the options name data.
    """
    real, synthetic = (RunFolders.of(run_name(config.name, it), options.out).models for it in (False, True))
    asks_for_real = options.data_dir is not None or options.data == "real"
    folders = [synthetic] if options.data == "synthetic" else [real] if asks_for_real else [real, synthetic]
    return next((folder for folder in folders if saved(folder)), None)


def trained_folder(config: Config, options: Options) -> pathlib.Path:
    """Return the folder of the script's own run. Raises UserError if it has none."""
    folder = find_run(config, options)
    if folder is None:
        remedy = f"train first (python {script_of(config.name)}.py), or name another --out or a --checkpoint"
        other = find_run(config, dataclasses.replace(options, data="auto", data_dir=None))
        if other is not None:
            remedy = f"--checkpoint {other} names the run that there is"
        name = run_name(config.name, options.data == "synthetic")
        raise UserError(f"there is no trained run in {RunFolders.of(name, options.out).models}: {remedy}")
    return folder


def run_to_open(config: Config, options: Options) -> pathlib.Path | None:
    """Return --checkpoint, or the folder of the script's own run; None for a checkpoint of the original.

    Raises:
        UserError: the script has no run.
    """
    return None if options.tf1_checkpoint else options.checkpoint or trained_folder(config, options)


def run_to_resume(config: Config, options: TrainingOptions) -> pathlib.Path | None:
    """Return the folder of the run that --resume continues; None if it is not given, or "auto" and there is none.

    Raises:
        UserError: there is nothing to resume.
    """
    folder = find_run(config, options) if options.resume else None
    if folder is None and options.resume is True:
        models = RunFolders.of(config.name, options.out).models
        remedy = "leave out --resume, or use --resume auto, which starts a run where there is none"
        raise UserError(f"nothing to resume: there is no checkpoint in {models}: {remedy}")
    return folder
