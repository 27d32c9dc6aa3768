"""Running a plan: one process after the other, one progress line for all, and how long it will take."""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from common.config import Config
from common.errors import Interrupted, UserError
from common.io.atomic import write_json
from common.reproduce.experiments import IMAGES, Experiment
from common.reproduce.trained import TIME_FILE, Run, config_of, process, shown
from common.training.duration import duration
from common.training.signals import SIGNALS

LOG_FILE = "log.txt"  # In a run's folder: what its commands printed.
_STEPS, _WARM_UP = 3, 2


def step_seconds(experiment: Experiment) -> float:
    """Measure a training step of an experiment on this machine, in a process of its own; return its seconds."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, config_of(experiment)).result()


def _measure(config: Config) -> float:
    from common import threads
    from common.io.notices import import_tensorflow

    threads.configure_threads(config)
    import_tensorflow()
    from common.benchmark.measure import step_seconds

    return step_seconds(config, _STEPS, _WARM_UP)


def steps_of(experiment: Experiment) -> int:
    """Return the length of a run in training steps."""
    config = config_of(experiment)
    return config.epochs * (config.steps_per_epoch or IMAGES[experiment.data] // config.batch_size)


@dataclasses.dataclass
class Progress:
    """The line that shows where a plan is.

    Attributes:
        seconds: estimated seconds of training per run, for all runs of the plan.
    """

    seconds: Mapping[Run, float]

    def __post_init__(self):
        self._left, self._number, self._began = dict(self.seconds), 0, time.monotonic()
        self._run: Run | None = None

    def start(self, run: Run) -> None:
        """Begin with a run."""
        self._run, self._number, self._began = run, self._number + 1, time.monotonic()

    def end(self) -> None:
        """Be done with the present run."""
        if self._run is not None:
            self._left.pop(self._run, None)
        self._run = None

    def left(self) -> float:
        """Return the estimated seconds that are left."""
        gone = time.monotonic() - self._began if self._run else 0.0
        present = max(0.0, self._left.get(self._run, 0.0) - gone) if self._run else 0.0
        return present + sum(value for run, value in self._left.items() if run != self._run)

    def show(self, line: str) -> None:
        """Show what the present run printed: in place on a terminal, else as a line."""
        text = f"[{self._number}/{len(self.seconds)}, {duration(self.left())} left] {self._run}: {line.strip()}"
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", flush=True)
        else:
            print(text, flush=True)


def execute(run: Run, commands: Sequence[Sequence[str]], show: Callable[[str], None], timed: bool = True) -> None:
    """Run commands of a run one after the other, append what they print to its log, and note how long they took.

    Args:
        run: whose commands they are.
        commands: the command lines.
        show: called with each line that they print.
        timed: whether their time is the run's.

    Raises:
        UserError: one fails; its last line is the message.
        Interrupted: a signal came; what was running has saved its state.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    before, began = run.seconds() or 0.0, time.monotonic()
    try:
        for command in commands:
            _execute(command, run.folder / LOG_FILE, show)
    finally:
        if timed:
            write_json({"seconds": before + time.monotonic() - began}, run.folder / TIME_FILE)


def _execute(command: Sequence[str], log: pathlib.Path, show: Callable[[str], None]) -> None:
    last = ""
    with open(log, "a", encoding="utf-8") as file, _child(process(command)) as child:
        file.write(f"$ {shown(command)}\n")
        for line in child.stdout or ():
            file.write(line)
            file.flush()
            if line.strip():
                last = line.strip()
                show(line)
    code = child.returncode
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        raise Interrupted(number, f"stopped ({last}). The same command continues")
    if code:
        raise UserError(f"{shown(command)} ended with exit code {code}: {last} (more in {log})")


@contextlib.contextmanager
def _child(arguments: list[str]) -> Iterator[subprocess.Popen]:
    """Start a process whose output is read. Signals that stop this process reach it first; it is always waited for."""
    child = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    numbers = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # Of nohup, for example.
    before = {number: signal.signal(number, lambda number, _: child.send_signal(number)) for number in numbers}
    try:
        yield child
    except BaseException:
        child.terminate()
        for _ in child.stdout or ():  # It saves its state, and would block if nobody read what it prints.
            pass
        raise
    finally:
        child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
