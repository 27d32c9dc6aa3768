"""What to say of an argument that a command does not know: the nearest flag or command. Does not import TensorFlow."""

import dataclasses
from collections.abc import Sequence

from common.arguments import flags_of
from common.config import Config
from common.errors import UserError, did_you_mean
from common.fields import flag_of
from common.flags import COMMANDS, groups
from common.models import registry
from common.options import TrainingOptions

ELSEWHERE = {  # What other tools call our flags.
    "--lr": "--learning-rate", "--bs": "--batch-size", "--batch": "--batch-size", "--gpu": "--strategy",
    "--gpus": "--strategy", "--ngpu": "--strategy", "--device": "--strategy", "--n-epochs": "--epochs",
    "--num-epochs": "--epochs", "--max-epochs": "--epochs", "--nepoch": "--epochs", "--steps": "--steps-per-epoch",
    "--data-root": "--data-dir", "--dataroot": "--data-dir", "--data-path": "--data-dir", "--dataset": "--data-dir",
    "--output": "--out", "--outdir": "--out", "--output-dir": "--out", "--logdir": "--out", "--save-dir": "--out",
    "--z-dim": "--noise", "--nz": "--noise", "--latent-dim": "--continuous", "--n-classes": "--categories",
    "--amp": "--precision", "--fp16": "--precision", "--bf16": "--precision", "--beta1": "--adam-beta1",
    "--beta2": "--adam-beta2", "--continue": "--resume", "--force": "--overwrite", "--load": "--checkpoint",
    "--ckpt": "--checkpoint", "--random-seed": "--seed", "--test": "--smoke",
}  # fmt: skip


def unknown(token: str, command: str, config: Config, presets: Sequence[str], tf1: bool) -> UserError:
    """Return the error for an argument that is not a flag of this command, with the nearest one that is."""
    if not token.startswith("-"):
        if token in COMMANDS:
            return UserError(f"{token} is a command: put it first")
        return UserError(f"unknown argument {token!r}{did_you_mean(token, COMMANDS)}")
    flag = "--" + token.split("=")[0].lstrip("-").lower().replace("_", "-")
    known = _all_flags(command, config, presets, tf1)
    if flag in known or ELSEWHERE.get(flag) in known:
        return UserError(
            f"unknown flag {token.split('=')[0]}: did you mean {flag if flag in known else ELSEWHERE[flag]}?"
        )
    owners = registry.owners(flag[2:].removeprefix("no-").replace("-", "_"))
    if command == "train" and owners:
        title = registry.spec_of(config).title
        return UserError(f"{flag} is not a flag of {title}; it belongs to: {', '.join(owners)}")
    near = did_you_mean(flag, known)
    for other in COMMANDS:
        if other != command and flag in _all_flags(other, config, presets, tf1=False):
            if other == "train" and flag not in {f.flag for f in flags_of(TrainingOptions)} | {"--preset", "--smoke"}:
                return UserError(
                    f"{flag} is a flag of train: a trained run keeps the configuration it was trained with"
                )
            return UserError(f"{flag} is a flag of {other}, not of {command}")
    if not near:
        near = did_you_mean(
            flag, [flag_of(f) for spec in registry.specs() for f in dataclasses.fields(spec.hyperparameters)]
        )
    return UserError(f"unknown flag {token.split('=')[0]}{near or ': --help-all lists all flags'}")


def _all_flags(command: str, config: Config, presets: Sequence[str], tf1: bool) -> list[str]:
    found = [flag for _, group in groups(command, config, presets, tf1) for flag in group]
    negated = ["--no-" + flag.flag[2:] for flag in found if flag.negatable]
    return [flag.flag for flag in found] + negated + ["--help", "--help-all"]
