"""The paper in one command: python -m common.reproduce {table1,table2,figure2,figure3,figure4,chairs,all}.

Trains what is missing, resumes what is half done, reuses what is there, and writes DIR/<item>.md, .json and .png, DIR
being --runs. Stopping and starting again loses nothing.
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

from common import program, runs, surroundings
from common.errors import UserError
from common.io.atomic import write_json
from common.io.lock import write_lock
from common.options import SYNTHETIC
from common.reproduce import execute, experiments, trained
from common.reproduce.experiments import Curves, Experiment, Figure, Item, Table
from common.reproduce.trained import Run, kept_seeds, shown
from common.training.duration import duration

_PROG = "python -m common.reproduce"


def parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of the command line, of items called `names`."""
    p = program.parser(_PROG, __doc__)
    p.add_argument("items", nargs="+", choices=names, metavar="ITEM", help=f"what to make: {', '.join(names)}")
    p.add_argument("--preset", metavar="NAME", help="InfoVAEGAN's settings in table 2 and figures (default: original)")
    p.add_argument("--seeds", type=int, metavar="N", help="train seeds 1 to N (default: 4 in table 1, 3 in table 2)")
    p.add_argument(
        "--runs", type=surroundings.path, default=pathlib.Path("reproduction"), metavar="DIR",
        help="folder of all runs and of what comes out (default: reproduction)",
    )  # fmt: skip
    places = "DIR/mnist, DIR/dsprites, DIR/celeba and DIR/3dchairs, as far as they are there"
    p.add_argument(
        "--data-dir", type=surroundings.path, metavar="DIR",
        help=f"folder of the real data: {places} (default: as each script finds its data)",
    )  # fmt: skip
    p.add_argument("--no-training", action="store_true", help="only write items, of the runs that are there")
    p.add_argument("--dry-run", action="store_true", help="print the plan and how long it will take, and exit")
    return p


@dataclasses.dataclass(frozen=True)
class Plan:
    """The runs of the chosen items, and what is left to do.

    Attributes:
        items: the items, by name.
        runs: experiment -> its runs, those that are asked for and those that are there.
        measures: run -> the measures that an item wants after each epoch.
    """

    items: Mapping[str, Item]
    runs: Mapping[Experiment, Sequence[Run]]
    measures: Mapping[Run, tuple[str, ...]]

    @classmethod
    def of(cls, items: Mapping[str, Item], root: pathlib.Path, seeds: int | None) -> "Plan":
        """Plan `items`, whose runs are below `root`, with so many seeds per row of a table."""
        wanted: dict[Experiment, set[int]] = {}
        measures: dict[Run, tuple[str, ...]] = {}
        for item in items.values():
            for one in [*(one for one, _ in item.pictures), *item.also] if isinstance(item, Figure) else item.rows:
                count = (seeds or item.seeds) if isinstance(item, Table) else 1
                wanted.setdefault(one, set()).update(range(1, count + 1))
                if isinstance(item, Curves):
                    measures[Run.of(one, 1, root)] = (item.metric, item.floor)
        found = {
            one: [Run.of(one, seed, root) for seed in sorted(numbers | set(kept_seeds(one, root)))]
            for one, numbers in wanted.items()
        }
        return cls(items, found, measures)

    def missing(self) -> list[Run]:
        """Return the runs of which something is left to do, in the order of the items."""
        return [run for found in self.runs.values() for run in found if not run.done()]

    def measured(self) -> dict[Experiment, list[Run]]:
        """Return the runs that have been measured."""
        return {one: [run for run in found if run.measured()] for one, found in self.runs.items()}


def data_flags(run: Run, folder: pathlib.Path | None) -> list[str]:
    """Return the flags that name the data of a run."""
    found = None if folder is None else folder / run.experiment.data
    return ["--data-dir", str(found)] if found is not None and found.exists() else []


def require_data(plan: Plan, folder: pathlib.Path | None) -> None:
    """Raise UserError if there is no such folder, or if a run has synthetic images where the folder has real ones."""
    if folder is not None and not folder.is_dir():
        raise UserError(f"--data-dir {folder} is not a folder: name the one that has mnist, dsprites and so on")
    for run in (run for found in plan.runs.values() for run in found if data_flags(run, folder)):
        if (run.models or run.results).name.endswith(SYNTHETIC) or run.measured() and run.report()["synthetic"]:
            raise UserError(f"{run.folder} is of synthetic images, and {folder} has real ones: name another --runs")


def train(run: Run, measures: Sequence[str], data: Sequence[str], progress: execute.Progress) -> None:
    """Train what is left of a run, evaluate and draw it; with `measures` to remember, evaluate it after each epoch."""
    progress.start(run)
    last = trained.config_of(run.experiment).epochs
    known = len(run.history().get(measures[0], {})) if measures else 0
    if measures and (not run.trained() or known == last - 1):
        for epoch in range(known + 1, last + 1):
            training = run.training("--epochs", str(epoch), "--no-evaluate", *data)
            execute.execute(run, [training, [*run.command("evaluate"), *data]], progress.show)
            run.remember(measures)
    elif not run.trained():
        execute.execute(run, [run.training(*data)], progress.show)
    if not run.measured():  # Stopped after training, or too short for its own evaluation to be at full sizes.
        execute.execute(run, [[*run.command(name), *data] for name in ("evaluate", "figures")], progress.show)
    elif not run.done():
        execute.execute(run, [[*run.command("figures"), *data]], progress.show)
    progress.end()


def carry_out(plan: Plan, root: pathlib.Path, data_dir: pathlib.Path | None) -> None:
    """Train all that is missing, and the rows that figures add to each other's pictures."""
    missing = plan.missing()
    if missing:
        print(f"Measuring a step of {len({run.experiment for run in missing})} configurations", flush=True)
        progress = execute.Progress(dict(estimate(missing)))
        for run in missing:
            train(run, plan.measures.get(run, ()), data_flags(run, data_dir), progress)
        if sys.stdout.isatty():
            print()
    for item in plan.items.values():
        if isinstance(item, Figure) and item.also:
            first = plan.runs[item.pictures[0][0]][0]
            others = {one.name: str(run.models) for one in item.also if (run := plan.runs[one][0]).models}
            if first.models is not None and first.rows() != list(others):
                command = [*first.command("figures"), "--also", *others.values(), *data_flags(first, data_dir)]
                execute.execute(first, [command], lambda line: None, timed=False)
                write_json(list(others), first.folder / trained.ROWS_FILE)


def estimate(missing: Sequence[Run]) -> Iterator[tuple[Run, float]]:
    """Yield each run and the seconds of its training from a measured step; 0 if it only has to be evaluated or drawn.

    The steps that a run took before it was stopped are counted, too.
    """
    steps: dict[Experiment, float] = {}
    for run in missing:
        one, trains = run.experiment, not run.trained()
        if trains and one not in steps:
            steps[one] = execute.step_seconds(one) * execute.steps_of(one)
        yield run, steps[one] if trains else 0.0


def describe(plan: Plan, data_dir: pathlib.Path | None) -> None:
    """Print a plan: what is there, what will be trained with which commands, and how long that takes."""
    missing = plan.missing()
    there = sum(map(len, plan.measured().values()))
    print(f"{', '.join(plan.items)}: {there} runs are there, {len(missing)} are missing", flush=True)
    total = 0.0
    for run, seconds in estimate(missing):
        what = "evaluate" if run.trained() else "resume" if run.models else "train"
        command = shown(run.training(*data_flags(run, data_dir)))
        print(f"{what:<9}{duration(seconds):>8}  {command}", flush=True)
        total += seconds
    if missing:
        print(f"About {duration(total)} of training, from measured steps; evaluation and figures come on top")


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    presets = {name: tuple(runs.load_script(script)[1]) for name, script in runs.SCRIPTS.items()}
    names = list(experiments.items(presets))
    given = parser([*dict.fromkeys(experiments.group_of(name) for name in names), "all"]).parse_args(argv)
    return program.run(_PROG, lambda: _reproduce(given, presets))


def _reproduce(given: argparse.Namespace, presets: Mapping[str, tuple[str, ...]]) -> None:
    if given.seeds is not None and given.seeds < 1:
        raise UserError(f"--seeds must be at least 1, got {given.seeds}")
    found = experiments.items(presets, given.preset)
    chosen = {name: item for name, item in found.items() if {"all", experiments.group_of(name)} & set(given.items)}
    plan = Plan.of(chosen, given.runs, given.seeds)
    if not given.no_training:
        require_data(plan, given.data_dir)
    if given.dry_run:
        return describe(plan, given.data_dir)
    remedy = "name another --runs"
    runs.make_writable_folder(given.runs, remedy)
    with write_lock(given.runs, remedy):
        if not given.no_training:
            carry_out(plan, given.runs, given.data_dir)
        _write(plan, given.runs)


def _write(plan: Plan, folder: pathlib.Path) -> None:
    from common.reproduce.outputs import write

    measured = plan.measured()
    for name, item in plan.items.items():
        paths = write(name, item, measured, folder)
        print(f"Wrote {paths[0]}, .json and .png" if paths else f"{name}: no run has what it shows")


if __name__ == "__main__":
    sys.exit(main())
