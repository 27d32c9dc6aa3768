"""The workers of TF_CONFIG: who they are, waiting for them, and what to say of one that is lost.

TensorFlow waits for missing workers without a word, and without hearing signals. So they are waited for here first,
once before TensorFlow is imported and once before it starts its server.
"""

import contextlib
import json
import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from common.errors import UserError
from common.training.duration import duration
from common.training.signals import SIGNALS, resume_command

PATIENCE = 600.0  # Seconds that a worker waits for the others.
_POLL = 0.5  # Seconds between two looks.
_EXAMPLE = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'

logger = logging.getLogger(__name__)


class Worker(NamedTuple):
    """A worker: its name, such as "worker 1", and its address."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.name} ({self.host}:{self.port})"


class Cluster(NamedTuple):
    """All workers, and which of them this process is."""

    workers: list[Worker]
    own: Worker

    @property
    def others(self) -> list[Worker]:
        """All but this one."""
        return [worker for worker in self.workers if worker != self.own]


def cluster_of(strategy: str | None) -> Cluster | None:
    """Return the workers that a strategy, as --strategy names it, distributes to; None if it is this process alone.

    Raises:
        UserError: TF_CONFIG is missing or wrong.
    """
    if strategy not in ("auto", "multiworker"):
        return None
    cluster = _read_cluster()
    if strategy == "multiworker":
        if cluster is None:
            raise UserError("--strategy multiworker needs the environment variable TF_CONFIG, which names all workers")
        return cluster
    return cluster if cluster and cluster.others else None


def _read_cluster() -> Cluster | None:
    """Return the workers that the environment variable TF_CONFIG names; None without it. Raises UserError."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        cluster, task = json.loads(text)["cluster"], json.loads(text)["task"]
        addresses = {kind: [_address(each) for each in cluster.get(kind, [])] for kind in ("chief", "worker")}
        workers = {
            (kind, i): Worker(f"{kind} {i}", *a) for kind, found in addresses.items() for i, a in enumerate(found)
        }
        return Cluster(list(workers.values()), workers[task["type"], int(task["index"])])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise UserError(f"TF_CONFIG must be like {_EXAMPLE}") from None


def _address(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def wait_for(cluster: Cluster) -> None:
    """Wait until all other workers listen; meanwhile this one listens at its own port, so that they find it.

    Raises:
        UserError: the port is in use, or a worker has not come within `PATIENCE`.
        Stop: a signal came.
    """
    end, said, missing = time.monotonic() + PATIENCE, [], cluster.others
    with _listening(cluster.own):
        while missing := [worker for worker in missing if not _listens(worker)]:
            if missing != said:
                limit = "" if said else f", for at most {duration(PATIENCE)}"
                logger.info("%s waits for %s%s", cluster.own, _join(missing), limit)
                said = missing
            if time.monotonic() > end:
                what = f"{_join(missing)} did not start within {duration(PATIENCE)}"
                raise UserError(f"{what}: start all workers of TF_CONFIG, and check that they reach each other's ports")
            time.sleep(_POLL)
        time.sleep(2 * _POLL if cluster.others else 0)  # For the others to see this one.


def _join(workers: Sequence[Worker]) -> str:
    return ", ".join(map(str, workers))


@contextlib.contextmanager
def _listening(worker: Worker) -> Iterator[None]:
    """Listen at the port of this worker. Raises UserError if that is not possible."""
    both = {"family": socket.AF_INET6, "dualstack_ipv6": True} if socket.has_dualstack_ipv6() else {}
    try:
        listener = socket.create_server(("", worker.port), backlog=1024, **both)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        remedy = "end what uses it, or name another port in the TF_CONFIG of all workers"
        raise UserError(f"port {worker.port} of {worker} cannot be used ({reason}): {remedy}") from None
    with listener:
        yield


def _listens(worker: Worker) -> bool:
    try:
        socket.create_connection((worker.host, worker.port), timeout=5).close()
        return True
    except (OSError, UnicodeError, OverflowError):
        return False


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let signals end the process by their default action: no handler of Python's runs while TensorFlow waits."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = (number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN)
        before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def reporting_lost(cluster: Cluster | None) -> Iterator[None]:
    """Turn TensorFlow's error about a worker that is gone into a UserError that says how to continue.

    Args:
        cluster: the workers; None leaves errors as they are.
    """
    from tensorflow import errors

    lost = (errors.UnavailableError, errors.AbortedError, errors.DeadlineExceededError)
    try:
        yield
    except errors.OpError as error:
        if cluster is None or not (isinstance(error, lost) or "Collective ops is aborted" in str(error)):
            raise
        remedy = f"start all workers again, each with --resume auto; this one: {resume_command(auto=True)}"
        raise UserError(f"lost {_lost(cluster, str(error))}: {remedy}") from None


def _lost(cluster: Cluster, message: str) -> str:
    named = {f"{kind} {number}" for kind, number in re.findall(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", message)}
    return _join([worker for worker in cluster.others if worker.name in named]) or "another worker"
