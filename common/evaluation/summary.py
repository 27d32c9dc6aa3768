"""Several runs in one table: `python -m common.evaluation.summary METRICS.json [...]` (or folders that hold one), as `evaluate` writes them.

A line a run with its seed, step and metrics; below them their mean, smallest, largest and standard deviation. The runs may differ in nothing
but their seeds, so that the spread is that of the seeds.
"""

import argparse
import json
import math
import pathlib
import statistics
import sys

from common.errors import UserError
from common.io.atomic import write_json
from common.runs import CHANGEABLE, METRICS_FILE

DEFAULT = ("accuracy_majority", "accuracy_one_to_one", "accuracy_majority_moving_statistics")
_FREE = {"seed", *CHANGEABLE}


def read(path: pathlib.Path) -> dict:
    """What `evaluate` wrote to the file, or into the folder, `path`: "config", "step" and "metrics", finite numbers by name.

    Raises UserError where it is missing or something else.
    """
    file = path / METRICS_FILE if path.is_dir() else path
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        metrics = {str(name): value for name, value in report["metrics"].items() if _is_number(value)}
        config = report["config"]
        if not _is_number(report["step"]) or not _is_number(config["seed"]):
            raise ValueError("step or seed is no number")
        return {"config": config, "step": report["step"], "metrics": metrics}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{file} cannot be read ({type(error).__name__}); it should be what the command evaluate wrote"
        ) from None


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_alike(reports: list[dict], paths: list[pathlib.Path]) -> None:
    """Raises UserError where two runs differ in more than their seeds, or not in them."""
    first = reports[0]["config"]
    for report, path in zip(reports[1:], paths[1:], strict=True):
        for field in sorted(first.keys() | report["config"].keys()):
            if field not in _FREE and first.get(field) != report["config"].get(field):
                raise UserError(
                    f"{path} is another kind of run than {paths[0]}: {field} is {report['config'].get(field)} and {first.get(field)}"
                )
        if report["step"] != reports[0]["step"]:
            raise UserError(f"{path} was measured at step {report['step']}, {paths[0]} at {reports[0]['step']}")
    seeds = [report["config"]["seed"] for report in reports]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"the same seed twice: {', '.join(map(str, seeds))}")


def summarise(reports: list[dict], names: list[str]) -> dict:
    """By metric: the values by seed, their mean, smallest, largest and standard deviation (of the sample; None of a single one).

    Raises UserError where a run lacks one of `names`.
    """
    for name in names:
        for report in reports:
            if name not in report["metrics"]:
                raise UserError(
                    f"seed {report['config']['seed']} has no metric {name}; there are: {', '.join(report['metrics']) or 'none'}"
                )
    values = {name: {report["config"]["seed"]: report["metrics"][name] for report in reports} for name in names}
    return {
        name: {
            "by_seed": by_seed,
            "mean": statistics.fmean(by_seed.values()),
            "smallest": min(by_seed.values()),
            "largest": max(by_seed.values()),
            "standard_deviation": statistics.stdev(by_seed.values()) if len(by_seed) > 1 else None,
        }
        for name, by_seed in values.items()
    }


def table(summary: dict) -> str:
    """The summary in lines: seeds below each other, metrics side by side."""
    widths = {name: max(len(name), 8) for name in summary}
    lines = [f"{'seed':<20}" + "".join(f"  {name:>{width}}" for name, width in widths.items())]
    for seed in next(iter(summary.values()))["by_seed"]:
        lines.append(
            f"{seed:<20}" + "".join(f"  {summary[name]['by_seed'][seed]:>{width}.4f}" for name, width in widths.items())
        )
    for label in ("mean", "smallest", "largest", "standard_deviation"):
        if all(column[label] is not None for column in summary.values()):
            lines.append(
                f"{label.replace('_', ' '):<20}"
                + "".join(f"  {summary[name][label]:>{width}.4f}" for name, width in widths.items())
            )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m common.evaluation.summary",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("runs", type=pathlib.Path, nargs="+", metavar="METRICS.json")
    p.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help=f"which (default: {', '.join(DEFAULT)}, as far as the first run has them)",
    )
    p.add_argument(
        "--json", type=pathlib.Path, metavar="FILE", help="write the numbers, and the configuration that the runs share"
    )
    return p


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    p = parser()
    given = p.parse_args(argv)
    try:
        reports = [read(path) for path in given.runs]
        check_alike(reports, given.runs)
        names = (
            given.metrics
            or [name for name in DEFAULT if name in reports[0]["metrics"]]
            or sorted(reports[0]["metrics"])
        )
        if not names:
            raise UserError(f"{given.runs[0]} holds no metric")
        summary = summarise(reports, names)
        print(table(summary))
        if given.json:
            shared = {name: value for name, value in reports[0]["config"].items() if name not in _FREE}
            write_json({"step": reports[0]["step"], "config": shared, "metrics": summary}, given.json)
    except (UserError, OSError) as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
