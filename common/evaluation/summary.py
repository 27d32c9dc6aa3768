"""Several runs in one table: `python -m common.evaluation.summary METRICS.json [...]` (or the folders of such files).

One line per run with its seed, step and metrics; below them their mean, smallest, largest and standard deviation. Runs
must be identical except for the seed, so that the spread is that of the seeds.
"""

import argparse
import json
import pathlib
import statistics
import sys

from common import program, surroundings
from common.errors import UserError
from common.evaluation.report.saved import is_number
from common.io.atomic import write_json
from common.options import METRICS_FILE
from common.run_json import CHANGEABLE

DEFAULT = ("accuracy", "accuracy_one_to_one", "category_agreement")
_FREE = {"seed", *CHANGEABLE}
_SPREAD = {"mean": statistics.fmean, "smallest": min, "largest": max}


def read(path: pathlib.Path) -> dict:
    """Return what `evaluate` wrote to a file, or into a folder.

    That is "config", "step", "metrics" (finite numbers by name), "data" (its source) and "versions" (of packages).

    Raises:
        UserError: it is missing or something else, or was measured at sizes too small to report.
    """
    file = path / METRICS_FILE if path.is_dir() else path
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        metrics = {str(name): value for name, value in report["metrics"].items() if is_number(value)}
        config, quick = dict(report["config"]), report.get("quick", False)
        if not is_number(report["step"]) or not is_number(config["seed"]):
            raise ValueError("step or seed is not a number")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        kind = type(error).__name__
        raise UserError(f"{file} cannot be read ({kind}); it should be what the command evaluate wrote") from None
    if quick:
        raise UserError(f"{file} was measured at small sizes: run the command evaluate without --quick")
    hyper = config.pop("hyper", {})
    more = {"data": str(report.get("data", "")), "versions": report.get("versions", {})}
    return {"config": {**config, **hyper}, "step": report["step"], "metrics": metrics, **more}


def require_alike(reports: list[dict], paths: list[pathlib.Path]) -> None:
    """Raise UserError if two runs differ in more than their seeds, or not in them.

    A setting that one file lacks is newer than that file, and off by default.
    """
    first = reports[0]["config"]
    for report, path in zip(reports[1:], paths[1:], strict=True):
        other = report["config"]
        for field in sorted((first.keys() & other.keys()) - _FREE):
            if first[field] != other[field]:
                raise UserError(f"{path} differs from {paths[0]}: {field} is {other[field]}, not {first[field]}")
        if report["step"] != reports[0]["step"]:
            raise UserError(f"{path} was measured at step {report['step']}, {paths[0]} at {reports[0]['step']}")
    seeds = [report["config"]["seed"] for report in reports]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"the same seed twice: {', '.join(map(str, seeds))}")


def summarise(reports: list[dict], names: list[str]) -> dict:
    """By metric: the values by seed, their mean, smallest, largest and sample standard deviation (None of one value).

    Raises:
        UserError: a run lacks one of `names`.
    """
    summary = {}
    for name in names:
        values = {}
        for report in reports:
            seed, metrics = report["config"]["seed"], report["metrics"]
            if name not in metrics:
                raise UserError(f"seed {seed} has no metric {name}; it has: {', '.join(metrics) or 'none'}")
            values[seed] = metrics[name]
        spread = {label: function(values.values()) for label, function in _SPREAD.items()}
        deviation = statistics.stdev(values.values()) if len(values) > 1 else None
        summary[name] = {"by_seed": values, **spread, "standard_deviation": deviation}
    return summary


def table(summary: dict) -> str:
    """Return the summary as lines: one per seed and one per statistic, one column per metric."""
    columns = list(summary.values())
    rows = {seed: [column["by_seed"][seed] for column in columns] for seed in columns[0]["by_seed"]}
    for label in (*_SPREAD, "standard_deviation"):
        if columns[0][label] is not None:
            rows[label.replace("_", " ")] = [column[label] for column in columns]
    widths = [max(len(name), 8) for name in summary]
    lines = [f"{'seed':<20}" + "".join(f"  {name:>{width}}" for name, width in zip(summary, widths, strict=True))]
    for label, values in rows.items():
        cells = (f"  {value:>{width}.4f}" for value, width in zip(values, widths, strict=True))
        lines.append(f"{label:<20}" + "".join(cells))
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = program.parser("python -m common.evaluation.summary", __doc__)
    p.add_argument("runs", type=surroundings.path, nargs="+", metavar="METRICS.json")
    which = f"metrics to show (default: those of {', '.join(DEFAULT)} that the first run has)"
    p.add_argument("--metrics", nargs="+", metavar="NAME", help=which)
    p.add_argument(
        "--json", type=surroundings.path, metavar="FILE", help="file for the numbers and the shared configuration"
    )
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    p = parser()
    given = p.parse_args(argv)
    return program.run(p.prog, lambda: print_summary(given.runs, given.metrics, given.json))


def print_summary(paths: list[pathlib.Path], metrics: list[str] | None, output: pathlib.Path | None) -> None:
    """Print the table of the runs at `paths`, and write it to `output`. Raises UserError if they differ too much."""
    reports = [read(path) for path in paths]
    require_alike(reports, paths)
    found = reports[0]["metrics"]
    names = metrics or [name for name in DEFAULT if name in found] or sorted(found)
    if not names:
        raise UserError(f"{paths[0]} has no metrics")
    summary = summarise(reports, names)
    print(table(summary))
    if output:
        shared = {name: value for name, value in reports[0]["config"].items() if name not in _FREE}
        write_json({"step": reports[0]["step"], "config": shared, "metrics": summary}, output)


if __name__ == "__main__":
    sys.exit(main())
