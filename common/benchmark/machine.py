"""What the machine is, and what it can do: each convolution and matrix product of a step on its own, and copies."""

import collections
import os
import platform
import re
import statistics
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

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
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instructions": [name for name in _INSTRUCTIONS if flags and name in flags[1].split()],
        "accelerators": [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in devices],
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
    }


def seconds(run: Callable[[], object]) -> float:
    """How long `run` takes, until all devices are done."""
    start = time.perf_counter()
    run()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - start


def summary(times: list[float]) -> dict:
    """Of some times in seconds: "median", "quartiles", "min" and "count"."""
    return {"median": statistics.median(times), "quartiles": [float(np.quantile(times, q)) for q in (0.25, 0.75)], "min": min(times), "count": len(times)}


def ceiling(found: collections.Counter, rounds: int, jit: bool = False) -> dict:
    """What the operations in `found` take one after the other, each alone, as often as each is run; compiled by XLA where `jit`.

    Each is called once, then timed `rounds` times; what a call of a function that does nothing takes is subtracted. Returns
    "seconds", from the medians, "best_seconds", from the fastest, "gflops", the rate by "seconds" (None where they are too short to tell), and a list of "operations".
    """
    nothing, number = tf.function(tf.identity), tf.constant(0.0)
    nothing(number)
    idle = summary([seconds(lambda: nothing(number)) for _ in range(max(rounds, 50))])
    rows = []
    for operation, count in found.items():
        run, operands = operation.alone(jit)
        run(*operands)
        times = summary([seconds(lambda: run(*operands)) for _ in range(rounds)])
        rows.append({"kind": operation.kind, "operands": operation.inputs, "result": operation.output, "dtype": operation.dtype,
                     "count": count, "gflop": operation.flops * count / 1e9,
                     "seconds": max(0.0, times["median"] - idle["median"]) * count, "best_seconds": max(0.0, times["min"] - idle["min"]) * count})
    rows.sort(key=lambda row: -row["seconds"])
    whole = {name: sum(row[name] for row in rows) for name in ("seconds", "best_seconds", "gflop")}
    rate = whole["gflop"] / whole["seconds"] if whole["seconds"] else None
    return {"seconds": whole["seconds"], "best_seconds": whole["best_seconds"], "gflops": rate, "operations": rows}


def copy_bandwidth(rounds: int) -> float:
    """GB/s read and written when memory is copied by one core."""
    source = np.ones(_COPIED, np.uint8)
    target = np.empty_like(source)
    np.copyto(target, source)
    return 2 * _COPIED / min(seconds(lambda: np.copyto(target, source)) for _ in range(rounds)) / 1e9
