"""What an evaluation has found so far, and how long it will take."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterator

from common.evaluation.metrics.codes import NotMeasurable

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Findings:
    """Metrics by name, the numbers of images behind them, the tables they come from, and why others are missing."""

    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    tables: dict[str, list] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, metrics: dict[str, float]) -> None:
        """Record metrics and log them."""
        for name, value in metrics.items():
            self.metrics[name] = float(value)
            logger.info("  %s: %.4g", name, value)

    def skip(self, why: str, *names: str) -> None:
        """Record why metrics are missing."""
        self.skipped.update(dict.fromkeys(names, why))

    @contextlib.contextmanager
    def leaving_out(self, *names: str) -> Iterator[None]:
        """Record that `names` are missing, and why, if the block finds too few images for them (NotMeasurable)."""
        try:
            yield
        except NotMeasurable as error:
            self.skip(str(error), *(name for name in names if name not in self.metrics))


class Progress:
    """Announces the parts of a job, one line each, with the time left.

    Args:
        job: what is done, for the lines.
        costs: the parts in order, with what each costs relative to the others.
    """

    def __init__(self, job: str, costs: dict[str, float]):
        self._job, self._costs, self._began = job, costs, time.monotonic()

    def start(self, part: str) -> None:
        """Log the line of `part`. The time left follows from that of the parts before it."""
        names = list(self._costs)
        number = names.index(part)
        spent = sum(list(self._costs.values())[:number])
        left = sum(self._costs.values()) - spent
        line = f"{self._job} {number + 1}/{len(names)}: {part}"
        if spent:
            line += f" (about {(time.monotonic() - self._began) * left / spent:.0f} s left)"
        logger.info(line)
