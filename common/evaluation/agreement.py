"""How well agreement under views predicts accuracy: `python -m common.evaluation.agreement LOG.csv [...] --out FILE`.

Draws one point per epoch, in one colour per folder of runs, and prints the rank correlation of both, over all epochs
and over the last ones. A log is that of a run, in GROUP/RUN/log.csv.
"""

import argparse
import csv
import math
import pathlib
import sys

import numpy as np

from common import program, surroundings
from common.errors import UserError
from common.evaluation.figures.curves import read_log, scatter
from common.evaluation.figures.image_files import save_picture

X, Y = "category_agreement", "accuracy"


def points(log: pathlib.Path) -> list[tuple[float, float]]:
    """Return (agreement, accuracy) after each epoch of a log.csv that has both.

    Raises:
        UserError: it cannot be read, or lacks them.
    """
    try:
        _, _, columns = read_log(log)
        pairs = zip(columns[X], columns[Y], strict=True)
    except (OSError, KeyError, csv.Error) as error:
        raise UserError(f"{log} is not a log.csv with columns {X} and {Y} ({type(error).__name__})") from None
    found = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if not found:
        raise UserError(f"{log} has no epoch with both {X} and {Y}")
    return found


def rank_correlation(pairs: list[tuple[float, float]]) -> float:
    """Return Spearman's rank correlation of [n, 2] values, from -1 to 1; NaN if either column is constant."""
    ranks = []
    for column in np.asarray(pairs).T:
        _, place, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[place])  # Equal values share their mean rank.
    if any(np.ptp(column) == 0 for column in ranks):
        return math.nan
    return float(np.corrcoef(ranks)[0, 1])


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = program.parser("python -m common.evaluation.agreement", __doc__)
    p.add_argument("logs", type=surroundings.path, nargs="+", metavar="LOG.csv")
    p.add_argument("--out", type=surroundings.path, required=True, metavar="FILE", help="picture to write, a PNG")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    p = parser()
    given = p.parse_args(argv)
    return program.run(p.prog, lambda: draw(given.logs, given.out))


def draw(logs: list[pathlib.Path], output: pathlib.Path) -> None:
    """Draw the points of all logs as `output`, and print their correlations. Raises UserError."""
    groups: dict[str, list[tuple[float, float]]] = {}
    last = []
    for log in logs:
        found = points(log)
        groups.setdefault(log.absolute().parent.parent.name, []).extend(found)
        last.append(found[-1])
    every = [pair for group in groups.values() for pair in group]
    for what, pairs in ((f"{len(every)} epochs", every), (f"{len(last)} last epochs", last)):
        print(f"rank correlation of {X} and {Y} over {what}: {rank_correlation(pairs):.3f}")
    save_picture(scatter(f"{Y} over {X}, one point per epoch", X, groups), output)


if __name__ == "__main__":
    sys.exit(main())
