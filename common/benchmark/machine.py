"""What the machine is, and what it can do: each convolution and matrix product of a step in isolation, and copies."""

import collections
import concurrent.futures
import functools
import os
import platform
import re
import statistics
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from common import threads

_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")  # Those that matter for products.
_COPIED = 1 << 28  # Bytes: more than any cache holds.


def describe() -> dict:
    """Processor, cores, SIMD instruction sets, accelerators, and the environment's choice of kernels and threads."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            text = file.read()
    except OSError:  # Not on Linux.
        text = ""
    model, flags = (re.search(rf"^{field}\s*:\s*(.+)$", text, re.MULTILINE) for field in ("model name", "flags"))
    details = [tf.config.experimental.get_device_details(d) for d in tf.config.list_physical_devices("GPU")]
    variables = ("TF_ENABLE_ONEDNN_OPTS", threads.VARIABLE, "TF_NUM_INTEROP_THREADS")
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": threads.cores(),
        "instructions": [name for name in _INSTRUCTIONS if flags and name in flags[1].split()],
        "accelerators": [detail.get("device_name", "GPU") for detail in details],
        **{name: os.environ.get(name) for name in variables},
    }


def seconds(run: Callable[[], object]) -> float:
    """Return how long `run` takes, until all devices are done."""
    start = time.perf_counter()
    run()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - start


class Ceiling:
    """The time of each operation of a step in isolation, whose sum is a lower bound of the step's.

    Args:
        found: the operations, and how often each runs in a step.
        copies: how many of each run in parallel and share the time: more than 1 if one alone cannot use all cores.
        jit: whether they are compiled with XLA.
    """

    def __init__(self, found: collections.Counter, copies: int = 1, jit: bool = False):
        self._found, self._copies = found, copies
        nothing, number = tf.function(tf.identity), tf.constant(0.0)
        self._calls = [lambda: nothing(number)]  # The cost of a call is subtracted.
        for operation in found:
            function, pairs = operation.alone(jit, copies)
            self._calls.append(functools.partial(function, *pairs))
        self._times: list[list[float]] = [[] for _ in self._calls]
        for call in self._calls:
            call()

    def run(self) -> None:
        """Time each operation once more."""
        self._calls[0]()  # After a training step the first call takes longer than the following ones.
        for call, times in zip(self._calls, self._times, strict=True):
            times.append(seconds(call))

    def report(self) -> list[dict]:
        """One row per operation: its shapes, "count", "gflop", and "seconds" and "best_seconds" per step."""
        idle, *each = self._times
        rows = []
        for (operation, count), times in zip(self._found.items(), each, strict=True):
            share = count / self._copies
            rows.append(
                {
                    **operation._asdict(),
                    "count": count,
                    "gflop": operation.flops * count / 1e9,
                    "seconds": max(0.0, statistics.median(times) - statistics.median(idle)) * share,
                    "best_seconds": max(0.0, min(times) - min(idle)) * share,
                }
            )
        return sorted(rows, key=lambda row: -row["seconds"])


def copy_bandwidth(rounds: int) -> float:
    """Return GB/s read and written when all cores copy memory, each its own."""
    count = threads.cores()
    sources, targets = ([np.full(_COPIED // count, value, np.uint8) for _ in range(count)] for value in (1, 0))
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        best = min(seconds(lambda: list(pool.map(np.copyto, targets, sources))) for _ in range(rounds))
    return 2 * sum(source.nbytes for source in sources) / best / 1e9
