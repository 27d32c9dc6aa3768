"""What the machine is, and what it can do: each convolution and matrix product of a step on its own, and copies."""

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

from common.training import threads

_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
_COPIED = 1 << 28  # Bytes: more than any cache holds.


def describe() -> dict:
    """The processor, its cores and the instructions that decide how fast it multiplies; accelerators; whether oneDNN's kernels are on."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            text = file.read()
    except OSError:  # Not on Linux.
        text = ""
    model, flags = (re.search(rf"^{field}\s*:\s*(.+)$", text, re.MULTILINE) for field in ("model name", "flags"))
    devices = tf.config.list_physical_devices("GPU")
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": threads.cores(),
        "instructions": [name for name in _INSTRUCTIONS if flags and name in flags[1].split()],
        "accelerators": [
            tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in devices
        ],
        **{
            name: os.environ.get(name) for name in ("TF_ENABLE_ONEDNN_OPTS", threads.VARIABLE, "TF_NUM_INTEROP_THREADS")
        },
    }


def seconds(run: Callable[[], object]) -> float:
    """How long `run` takes, until all devices are done."""
    start = time.perf_counter()
    run()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - start


def summary(times: list[float]) -> dict:
    """Of some times in seconds: "median", "quartiles", "min" and "count"."""
    return {
        "median": statistics.median(times),
        "quartiles": [float(np.quantile(times, q)) for q in (0.25, 0.75)],
        "min": min(times),
        "count": len(times),
    }


class Ceiling:
    """What the operations of a step take one after the other, each alone, as often as each is run.

    Args:
        found: the operations, and how often each is run.
        copies: how many of each are run side by side and share the time: more than one where one alone cannot use all cores.
        jit: whether they are compiled by XLA.
    """

    def __init__(self, found: collections.Counter, copies: int = 1, jit: bool = False):
        self._found, self._copies = found, copies
        nothing, number = tf.function(tf.identity), tf.constant(0.0)
        self._calls = [lambda: nothing(number)]  # What a call costs is subtracted.
        for operation in found:
            run, operands = operation.alone(jit, copies)
            self._calls.append(functools.partial(run, *operands))
        self._times = [[] for _ in self._calls]
        for call in self._calls:
            call()

    def run(self) -> None:
        """Times each operation once more."""
        self._calls[0]()  # After a training step the first call takes longer than those that follow.
        for call, times in zip(self._calls, self._times, strict=True):
            times.append(seconds(call))

    def report(self) -> dict:
        """ "seconds", from the medians; "best_seconds", from the fastest; "gflops", the rate by "seconds" (None where they are too short to tell); "operations"."""
        idle, *each = (summary(times) for times in self._times)
        rows = []
        for (operation, count), times in zip(self._found.items(), each, strict=True):
            median, best = (max(0.0, times[name] - idle[name]) / self._copies * count for name in ("median", "min"))
            rows.append(
                {
                    "kind": operation.kind,
                    "operands": operation.inputs,
                    "result": operation.output,
                    "dtype": operation.dtype,
                    "count": count,
                    "gflop": operation.flops * count / 1e9,
                    "seconds": median,
                    "best_seconds": best,
                }
            )
        rows.sort(key=lambda row: -row["seconds"])
        whole = {name: sum(row[name] for row in rows) for name in ("seconds", "best_seconds", "gflop")}
        rate = whole["gflop"] / whole["seconds"] if whole["seconds"] else None
        return {
            "seconds": whole["seconds"],
            "best_seconds": whole["best_seconds"],
            "gflops": rate,
            "side_by_side": self._copies,
            "operations": rows,
        }


def copy_bandwidth(rounds: int) -> float:
    """GB/s read and written when all cores copy memory, each its own."""
    count = threads.cores()
    sources, targets = ([np.full(_COPIED // count, value, np.uint8) for _ in range(count)] for value in (1, 0))
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        best = min(seconds(lambda: list(pool.map(np.copyto, targets, sources))) for _ in range(rounds))
    return 2 * sum(source.nbytes for source in sources) / best / 1e9
