"""Measure this machine: python -m common.benchmark {mnist,3dchairs,celeba,dsprites,input}.

The name of a data set measures training steps of its script's configuration, on noise of the images' shape; `input`
measures how fast images are read and preprocessed. The first take the flags of the script's model, too.
"""

import argparse
import json
import pathlib
import sys

from common import cli, program, threads
from common.config import PRECISIONS
from common.errors import UserError
from common.io.atomic import write_json
from common.runs import SCRIPTS, load_script
from common.surroundings import path as path_argument


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = program.parser("python -m common.benchmark", __doc__)
    commands = p.add_subparsers(dest="command", required=True, metavar=f"{{{','.join(SCRIPTS)},input}}")
    for name, script in SCRIPTS.items():
        step = commands.add_parser(name, help=f"training steps of {script}.py", allow_abbrev=False)
        step.add_argument(
            "--steps", type=_positive, default=20, metavar="N", help="number of timed steps (default: 20)"
        )
        step.add_argument("--warm-up", type=_positive, default=3, metavar="N", help="steps before them (default: 3)")
        step.add_argument("--jit", action="store_true", help="compile the step with XLA")
        step.add_argument(
            "--plain",
            nargs="?",
            choices=PRECISIONS,
            const="float32",
            metavar="PRECISION",
            help="also time the step with Keras's own batch norm and Adam, interleaved, in float32 or PRECISION",
        )
        step.add_argument("--json", type=path_argument, metavar="FILE", help="write all numbers and operations to FILE")
        step.add_argument(
            "--against", type=path_argument, metavar="FILE", help="print ratios to an earlier --json FILE"
        )
        step.add_argument(
            "--profile", type=path_argument, metavar="DIR", help="write a TensorFlow profile of three more steps to DIR"
        )
    data = commands.add_parser("input", help="reading and preprocessing of images", allow_abbrev=False)
    data.add_argument("dataset", choices=SCRIPTS, help="data set to read")
    data.add_argument(
        "--data-dir",
        type=path_argument,
        metavar="DIR",
        help="folder of the real data (default: temporary synthetic files)",
    )
    data.add_argument("--images", type=_positive, metavar="N", help="number of synthetic images")
    data.add_argument("--steps", type=_positive, default=1000, metavar="N", help="batches to read (default: 1000)")
    return p


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text!r}")
    return int(text)


def read_earlier(path: pathlib.Path) -> dict:
    """Return the numbers that an earlier --json wrote. Raises UserError if the file is missing or something else."""
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))["numbers"]
        return {name: float(value) for name, value in numbers.items() if value is not None}
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"--against {path} is not a readable --json file ({type(error).__name__})") from None


def benchmark_step(given: dict, rest: list[str]) -> None:
    """Measure training steps of the model that the flags `rest` choose, and print the table."""
    config = cli.configure(*load_script(SCRIPTS[given["command"]]), rest)
    earlier, output = read_earlier(given["against"]) if given["against"] else {}, given["json"]
    if output and not output.absolute().parent.is_dir():
        raise UserError(f"--json {output}: there is no folder {output.absolute().parent}")
    threads.configure_threads(config)
    from common.benchmark.measure import Plan, measure, table

    profile = str(given["profile"]) if given["profile"] else None
    plan = Plan(given["steps"], given["warm_up"], given["jit"], given["plain"], profile)
    report = measure(config, plan)
    print(table(report, earlier))
    if output:
        write_json(report, output)


def benchmark_input(given: dict, rest: list[str]) -> None:
    """Measure how fast images are read and preprocessed, and print the table."""
    if rest:
        raise UserError(f"unknown argument {rest[0]}")
    from common.benchmark import input_pipeline

    input_pipeline.report(given["dataset"], given["data_dir"], given["images"], given["steps"])


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parsed, rest = parser().parse_known_args(argv)
    given = vars(parsed)
    command = benchmark_input if given["command"] == "input" else benchmark_step
    return program.run("python -m common.benchmark", lambda: command(given, rest))


if __name__ == "__main__":
    sys.exit(main())
