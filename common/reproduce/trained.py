"""The runs of a plan: their folders, what is there already, and the commands that do the rest."""

import functools
import json
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from common import cli
from common.config import Config
from common.errors import UserError
from common.evaluation import summary
from common.io.atomic import write_json
from common.options import FIGURES_FILE, METRICS_FILE, RUN_FILE, SYNTHETIC
from common.reproduce.experiments import Experiment
from common.run_json import read_run
from common.runs import SCRIPTS, load_script

TIME_FILE = "reproduce.json"  # In a run's folder: how long its commands have taken.
HISTORY_FILE = "history.json"  # Measures after each epoch, where a figure shows them.
ROWS_FILE = "rows.json"  # Names of the experiments that have rows in this run's reconstructions.
_ROOT = pathlib.Path(__file__).parents[2]


@functools.cache  # A run is asked several times whether it is trained, and a script takes time to read.
def config_of(experiment: Experiment) -> Config:
    """Return the configuration that the flags of an experiment choose. Raises UserError if they do not fit."""
    return cli.configure(*load_script(SCRIPTS[experiment.data]), list(experiment.flags))


class Run(NamedTuple):
    """One seed of an experiment.

    Attributes:
        experiment: what is trained.
        seed: with which random seed.
        folder: the --out of its commands. Of a run that is only kept as evidence, it holds the results themselves.
    """

    experiment: Experiment
    seed: int
    folder: pathlib.Path

    @classmethod
    def of(cls, experiment: Experiment, seed: int, root: pathlib.Path) -> "Run":
        """Return the run below the folder of all runs."""
        return cls(experiment, seed, root / experiment.name / f"seed{seed}")

    def __str__(self):
        return f"{self.experiment.name} seed {self.seed}"

    @property
    def models(self) -> pathlib.Path | None:
        """The folder of its checkpoints, if there is one."""
        return next((file.parent for file in sorted(self.folder.glob(f"models/*/{RUN_FILE}"))), None)

    @property
    def results(self) -> pathlib.Path:
        """The folder of its results."""
        found = sorted(self.folder.glob(f"results/*/{METRICS_FILE}")) or sorted(self.folder.glob("results/*"))
        return (found[0].parent if found[0].name == METRICS_FILE else found[0]) if found else self.folder

    def trained(self) -> bool:
        """Whether its last epoch has ended. Raises UserError if its run.json is damaged."""
        if self.models is None:
            return False
        found = read_run(self.models / RUN_FILE)
        return found["step"] is not None and found["config"].get("epochs", 0) >= config_of(self.experiment).epochs

    def measured(self) -> bool:
        """Whether it has been evaluated at full sizes, after its last epoch if its checkpoints are there."""
        return (self.results / METRICS_FILE).is_file() and (self.models is None or self.trained())

    def done(self) -> bool:
        """Whether nothing is left to do: it is measured, and drawn if its checkpoints are there."""
        return self.measured() and (self.models is None or (self.results / FIGURES_FILE).is_file())

    def report(self) -> dict[str, Any]:
        """Return what `evaluate` wrote, as `summary.read` does, and whether the data was synthetic, as "synthetic".

        Raises:
            UserError: the file is missing or damaged, or is of another seed.
        """
        report = summary.read(self.results)
        seed, name = report["config"]["seed"], str(report["config"].get("name", ""))
        if seed != self.seed:
            raise UserError(f"{self.results / METRICS_FILE} is of seed {seed}, not {self.seed}: move it away")
        return {**report, "synthetic": name.endswith(SYNTHETIC)}

    def command(self, *first: str, flags: Sequence[str] = ()) -> list[str]:
        """Return the command line of the script's command `first` (train: none) for this run."""
        return [f"{SCRIPTS[self.experiment.data]}.py", *first, *flags, "--out", str(self.folder)]

    def training(self, *more: str) -> list[str]:
        """Return the command that trains it, or the rest of it, with flags that are not the experiment's own."""
        return self.command(flags=(*self.experiment.flags, "--seed", str(self.seed), "--resume", "auto", *more))

    def rows(self) -> list[str]:
        """Return the names of the experiments that have rows in its reconstructions, below its own."""
        try:
            return [str(name) for name in json.loads((self.folder / ROWS_FILE).read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return []

    def history(self) -> dict[str, dict[int, float]]:
        """Return the measures after each epoch: name -> step -> value. Empty if there are none."""
        try:
            found = json.loads((self.folder / HISTORY_FILE).read_text(encoding="utf-8"))
            return {name: {int(step): float(value) for step, value in one.items()} for name, one in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{self.folder / HISTORY_FILE} is damaged ({type(error).__name__}): delete it") from None

    def remember(self, names: Sequence[str]) -> None:
        """Add measures of the present metrics.json to the history, as far as they are there."""
        report, history = self.report(), self.history()
        for name in names:
            if name in report["metrics"]:
                history.setdefault(name, {})[report["step"]] = report["metrics"][name]
        write_json(history, self.folder / HISTORY_FILE)

    def seconds(self) -> float | None:
        """How long its commands have taken so far, in seconds; None if nobody knows."""
        try:
            return float(json.loads((self.folder / TIME_FILE).read_text(encoding="utf-8"))["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def shown(command: Sequence[str]) -> str:
    """Return a command of a script as one types it."""
    return shlex.join(["python", *command])


def process(command: Sequence[str]) -> list[str]:
    """Return the arguments of the process that runs a command of a script."""
    return [sys.executable, str(_ROOT / command[0]), *command[1:]]


def kept_seeds(experiment: Experiment, root: pathlib.Path) -> list[int]:
    """Return the seeds of an experiment that have been measured below `root`."""
    names = (path.name.removeprefix("seed") for path in (root / experiment.name).glob("seed*"))
    seeds = sorted(int(name) for name in names if name.isascii() and name.isdigit())
    return [seed for seed in seeds if Run.of(experiment, seed, root).measured()]
