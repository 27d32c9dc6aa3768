"""The command line of the scripts: commands, errors and exit codes.

--help, --dry-run and argument errors do not import TensorFlow.
"""

import argparse
import dataclasses
import json
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

from common import commands, flags, program, runs, suggestions
from common.config import Config
from common.data import images
from common.errors import UserError
from common.evaluation_options import QUICK_EVALUATION, QUICK_FIGURES, EvaluationSettings, FigureSettings
from common.io.notices import import_tensorflow
from common.models import registry
from common.options import DataOptions, Options, TrainingOptions
from common.run_folders import newest
from common.sample_options import SampleOptions
from common.training.signals import StopSignals


def main(
    config: Config,
    description: str | None,
    argv: Sequence[str] | None = None,
    presets: Mapping[str, Config] = types.MappingProxyType({}),
) -> int:
    """Run a script's command line and return its exit code: 0, or that of an error, which is printed in one line.

    Args:
        config: the script's configuration.
        description: what it trains, in a sentence; None under `python -OO`, which has no docstrings.
        argv: the arguments, by default those of the process.
        presets: name -> the configuration that --preset chooses instead of `config`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)

    def command() -> None:
        with StopSignals(at_once=True):
            _run(config, description or "", arguments, presets)

    return program.run(f"{config.name}.py", command)


def _run(config: Config, description: str, argv: list[str], presets: Mapping[str, Config]) -> None:
    command = argv.pop(0) if argv and argv[0] in flags.COMMANDS else "train"
    if argv and not argv[0].startswith("-"):
        raise suggestions.unknown(argv[0], command, config, tuple(presets), tf1=False)
    config, chosen = _look_ahead(config, argv, presets)
    tf1 = any(argument.split("=")[0] == "--tf1-checkpoint" for argument in argv)
    names = tuple(presets)
    if {"-h", "--help", "--help-all"} & set(argv):
        shown = "all" if "--help-all" in argv else "system" if chosen else ""
        return print(flags.parser(command, config, description, names, tf1=tf1, shown=shown).format_help().strip())
    parsed, rest = flags.parser(command, config, description, names, tf1=tf1).parse_known_args(argv)
    if rest:
        raise suggestions.unknown(rest[0], command, config, names, tf1)
    given, config = vars(parsed), flags.resolve(config, vars(parsed))
    if "--images" in given:
        config, given = _on_images(config, given)
    if command == "train":
        return _train(config, given, presets)
    run = {"evaluate": _evaluate, "figures": _figures, "report": _report, "sample": _sample, "data": _data}
    {**run, "export": _export}[command](config, given)


def _on_images(config: Config, given: Mapping[str, Any]) -> tuple[Config, Mapping[str, Any]]:
    """Return the configuration of a script on the images that --images names, and the flags, of which it is one."""
    for flag in ("--data-dir", "--data"):
        if flag in given:
            raise UserError(f"--images cannot be combined with {flag}: it names the data")
    return images.on_images(config, images.existing(given["--images"])), {**given, "--data-dir": given["--images"]}


def configure(config: Config, presets: Mapping[str, Config], argv: list[str]) -> Config:
    """Return `config`, or one of `presets`, changed by flags of the model and the run.

    Raises:
        UserError: there are other arguments.
    """
    config, _ = _look_ahead(config, argv, presets)
    parsed, rest = flags.model_parser(config, tuple(presets)).parse_known_args(argv)
    if rest:
        raise suggestions.unknown(rest[0], "train", config, tuple(presets), tf1=False)
    return flags.resolve(config, vars(parsed))


def _look_ahead(config: Config, argv: list[str], presets: Mapping[str, Config]) -> tuple[Config, bool]:
    """Return the configuration that the other flags change, and whether --model or --variant was given.

    The flags of a system follow from its hyper-parameters, so --preset, --model and --variant are read first.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("--preset", "--model", "--variant"):
        first.add_argument(name)
    try:
        given, _ = first.parse_known_args(argv)
    except argparse.ArgumentError:
        return config, False  # Without a value; the parser of the command says so.
    preset = presets.get(given.preset, config)
    model, variant = given.model or preset.model, given.variant or preset.variant
    chosen = given.model is not None or given.variant is not None
    if model not in registry.models() or variant not in registry.variants():
        return preset, chosen  # The parser of the command says what they may be.
    return registry.with_system(preset, model, variant, **_shared(config, preset, model, variant)), chosen


def _shared(config: Config, preset: Config, model: str, variant: str) -> dict[str, Any]:
    """Return what a preset changes among the hyper-parameters that its system and another one share, by name."""
    wanted = registry.find(model, variant).hyperparameters
    common = next(kind for kind in type(preset.hyper).__mro__ if issubclass(wanted, kind))
    values = {field.name: getattr(preset.hyper, field.name) for field in dataclasses.fields(common)}
    return {name: value for name, value in values.items() if value != getattr(config.hyper, name, None)}


def _train(config: Config, given: Mapping[str, Any], presets: Mapping[str, Config]) -> None:
    options = TrainingOptions(**flags.values(TrainingOptions, given))
    if "light" in presets and given.get("--preset") != "light":
        options = dataclasses.replace(options, quicker=f"--preset light, {options.quicker}")
    if config.sync_batch_norm and options.strategy is None:
        raise UserError("--sync-batch-norm requires --strategy: it is for several devices")
    for flag, value in (("--jit", options.jit), ("--strategy", options.strategy)):
        if value:
            registry.require_equal_steps(config, flag)
    if "--dry-run" in given:
        return _show(config, options)
    if "--smoke" in given:
        import_tensorflow()
        from common.smoke import smoke

        return smoke(config, options.data_dir, options.data)
    commands.train(config, options)


def _evaluate(config: Config, given: Mapping[str, Any]) -> None:
    options, settings = _settings(Options, EvaluationSettings(), QUICK_EVALUATION, given)
    if "--dry-run" in given:
        return _show(config, options, settings)
    commands.evaluate(config, options, settings)


def _figures(config: Config, given: Mapping[str, Any]) -> None:
    options, settings = _settings(Options, FigureSettings(), QUICK_FIGURES, given)
    if "--dry-run" in given:
        return _show(config, options, settings)
    commands.figures(config, options, settings, given.get("--also", []))


def _report(config: Config, given: Mapping[str, Any]) -> None:
    options, settings = _settings(Options, FigureSettings(), QUICK_FIGURES, given)
    if "--dry-run" in given:
        return _show(config, options, settings)
    commands.report(config, options, settings, results=given.get("--results"), file=given.get("--file"))


def _settings(kind: type, full: Any, quick: Any, given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the options and the settings of a command, of which `--quick` chooses other defaults."""
    settings = quick if "--quick" in given else full
    settings = dataclasses.replace(settings, **flags.values(type(settings), given))
    return kind(**flags.values(kind, given)), settings


def _sample(config: Config, given: Mapping[str, Any]) -> None:
    options = SampleOptions(**flags.values(SampleOptions, given))
    if "--dry-run" in given:
        config = config if options.tf1_checkpoint else runs.config_of(options.checkpoint or newest(config))
        return print(json.dumps({"config": config.to_dict(), "options": _plain(options)}, indent=2))
    commands.sample(config, options)


def _export(config: Config, given: Mapping[str, Any]) -> None:
    options = Options(**flags.values(Options, given))
    if "--dry-run" in given:
        return _show(config, options)
    commands.export(config, options)


def _data(config: Config, given: Mapping[str, Any]) -> None:
    commands.data(config, DataOptions(**flags.values(DataOptions, given)))


def _show(config: Config, options: Options, settings: Any = None) -> None:
    """Print what a command would do. Raises UserError if its run or its data is missing."""
    shown = {**commands.describe(config, options), "options": _plain(options)}
    print(json.dumps({**shown, **({} if settings is None else {"settings": _plain(settings)})}, indent=2))


def _plain(options: Any) -> dict[str, Any]:
    return json.loads(json.dumps(dataclasses.asdict(options), default=str))
