"""Measures a training step on this machine: python -m common.benchmark {mnist,3dchairs,celeba,dsprites}.

Training steps on noise of the images' shape, after a warm-up; how much arithmetic they are; what this machine takes for
the same convolutions and matrix products alone, which is the ceiling; and what there is around them.
"""

import argparse
import json
import math
import pathlib
import runpy
import sys

from common import cli
from common.config import PRECISIONS
from common.errors import UserError
from common.io.atomic import write_json
from common.training import threads

SCRIPTS = {
    "mnist": "InfoVAE_MNIST.py",
    "3dchairs": "InfoVAE_3DChairs.py",
    "celeba": "InfoVAE_CelebA.py",
    "dsprites": "InfoVAE_dSprites.py",
}
# The label of each number in the table, where it is in the report, and how it is written.
ROWS = (
    ("building the system", "build_s", "{:.2f} s"),
    ("tracing the step", "tracing_s", "{:.2f} s"),
    ("first step", "first_step_s", "{:.2f} s"),
    ("peak memory", "peak_memory_mib", "{:.0f} MiB"),
    ("training step, median", "step_s.median", "{:.4f} s"),
    ("  lower quartile", "step_s.quartiles.0", "{:.4f} s"),
    ("  upper quartile", "step_s.quartiles.1", "{:.4f} s"),
    ("  fastest", "step_s.min", "{:.4f} s"),
    ("  images", "images_per_s", "{:.1f} /s"),
    ("  arithmetic", "gflop", "{:.1f} GFLOP"),
    ("plain Keras step, median", "plain.step_s.median", "{:.4f} s"),
    ("  fastest", "plain.step_s.min", "{:.4f} s"),
    ("  arithmetic", "plain.gflop", "{:.1f} GFLOP"),
    ("  plain / step", "times_as_fast_as_plain", "{:.2f}"),
    ("plain, with the fused batch norm, median", "gains.fused_batch_norm.step_s.median", "{:.4f} s"),
    ("  fastest", "gains.fused_batch_norm.step_s.min", "{:.4f} s"),
    ("and with the fused Adam, median", "gains.fused_adam.step_s.median", "{:.4f} s"),
    ("  fastest", "gains.fused_adam.step_s.min", "{:.4f} s"),
    ("and with x' made once, median", "gains.shared_images.step_s.median", "{:.4f} s"),
    ("  fastest", "gains.shared_images.step_s.min", "{:.4f} s"),
    ("and with biases left to the norms, median", "gains.bias_in_norm.step_s.median", "{:.4f} s"),
    ("  fastest", "gains.bias_in_norm.step_s.min", "{:.4f} s"),
    ("ceiling: its convolutions and products alone", "ceiling.seconds", "{:.4f} s"),
    ("  rate", "ceiling.gflops", "{:.1f} GFLOP/s"),
    ("  ceiling / step", "part_of_ceiling", "{:.1%}"),
    ("  the same of the fastest", "part_of_ceiling_by_the_fastest", "{:.1%}"),
    ("copies", "copy_gb_per_s", "{:.1f} GB/s"),
    ("the parameters' updates, at that rate", "updates_s", "{:.4f} s"),
    ("  ceiling and updates / step", "part_of_ceiling_with_updates", "{:.1%}"),
    ("sampling", "sampling_images_per_s", "{:.1f} images/s"),
    ("encoding", "encoding_images_per_s", "{:.1f} images/s"),
    ("input pipeline alone", "input_images_per_s", "{:.0f} images/s"),
)


def parser(name: str) -> argparse.ArgumentParser:
    """The command line, with the defaults of the script of data set `name`."""
    config = script_config(name)
    p = argparse.ArgumentParser(
        prog="python -m common.benchmark",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "dataset",
        choices=SCRIPTS,
        nargs="?",
        default="mnist",
        help="whose script's configuration is measured (default: mnist)",
    )
    p.add_argument(
        "--steps",
        type=_positive,
        default=20,
        metavar="N",
        help="training steps that are timed, and how often all else is (default: 20)",
    )
    p.add_argument("--warm-up", type=_positive, default=3, metavar="N", help="steps before them (default: 3)")
    p.add_argument("--jit", action="store_true", help="compile the step with XLA")
    p.add_argument(
        "--plain",
        nargs="?",
        choices=PRECISIONS,
        const="float32",
        metavar="PRECISION",
        help="time a step of Keras as it comes too, in turn with the other: float32, or the PRECISION given",
    )
    p.add_argument(
        "--gains",
        action="store_true",
        help="time that step also with this project's batch norm, then also its Adam, then also x' made once, then also"
        " biases of convolutions left to the batch norm behind them",
    )
    p.add_argument(
        "--json", type=pathlib.Path, metavar="FILE", help="write all numbers, each operation of the ceiling included"
    )
    p.add_argument(
        "--against", type=pathlib.Path, metavar="FILE", help="print each number's ratio to that in an earlier --json"
    )
    p.add_argument("--profile", metavar="DIR", help="write a TensorFlow profile of three more steps")
    cli.add_model_flags(p.add_argument_group("the model"), config)
    return p


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a number of at least 1; got {text!r}")
    return int(text)


def script_config(name: str):
    """The `CONFIG` of the script of data set `name`. Raises UserError where the scripts are not beside `common`."""
    path = pathlib.Path(__file__).parents[2] / SCRIPTS[name]
    if not path.is_file():
        raise UserError(f"{path} is missing: the benchmark runs from a checkout of the project")
    return runpy.run_path(str(path))["CONFIG"]


def value_at(report: dict, place: str) -> float | None:
    """The number in `report` at a place like "step_s.quartiles.0"; None where there is none."""
    value = report
    for key in place.split("."):
        try:
            value = value[int(key) if isinstance(value, list) else key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def title(report: dict) -> str:
    """What is measured, and on which machine."""
    config, where = report["config"], report["machine"]
    return (
        f"{config['name']}, {config['model']} ({config['variant']}), batches of {config['batch_size']}, {config['precision']}"
        f"{', XLA' if report['plan']['jit'] else ''}; {where['processor']}, {where['cores']} cores"
    )


def table(report: dict, earlier: dict | None = None) -> str:
    """The report in lines; with `earlier`, each number's ratio to the earlier one's. That of a report which grows gets lines at its end."""
    lines = [title(report)]
    for label, place, form in ROWS:
        value, before = value_at(report, place), value_at(earlier or {}, place)
        if value is not None:
            lines.append(f"{label:<46}{form.format(value):>16}" + (f"{value / before:>10.3f} x" if before else ""))
    return "\n".join(lines)


class _Printer:
    """Prints the table of a report line by line, as it grows."""

    def __init__(self, earlier: dict | None):
        self._earlier, self._printed = earlier, 0

    def __call__(self, report: dict) -> None:
        lines = table(report, self._earlier).splitlines()
        for line in lines[self._printed :]:
            print(line, flush=True)
        self._printed = len(lines)


def read_earlier(path: pathlib.Path) -> dict:
    """What `--json` wrote to `path`. Raises UserError where it is missing or something else."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"--against {path}: cannot be read ({type(error).__name__}); it should be what --json wrote"
        ) from None
    if value_at(report, "step_s.median") is None:
        raise UserError(f"--against {path} holds no measured step; it should be what --json wrote")
    return report


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    name = next((argument for argument in argv if argument in SCRIPTS), "mnist")
    try:
        given = vars(parser(name).parse_args(argv))
        config = cli.resolve(script_config(name), given)
        earlier = read_earlier(given["against"]) if given["against"] else None
        if given["json"] and not given["json"].absolute().parent.is_dir():
            raise UserError(f"--json {given['json']}: there is no folder {given['json'].absolute().parent}")
        threads.configure_threads(config)
        from common.benchmark.measure import Plan, measure

        plain = given["plain"] or ("float32" if given["gains"] else None)
        plan = Plan(given["steps"], given["warm_up"], given["jit"], plain, given["gains"], given["profile"])
        report = measure(config, plan, _Printer(earlier))
        if given["json"]:
            write_json(report, given["json"])
    except UserError as error:
        print(f"python -m common.benchmark: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
