"""The number of threads per TensorFlow op, where TensorFlow's own choice is not the fastest."""

import os

from common.config import Config

_SMALL = 28  # Pixels: at 64, ops are large enough to be split.
VARIABLE = "TF_NUM_INTRAOP_THREADS"


def configure_threads(config: Config) -> None:
    """Before TensorFlow starts, choose one thread per op for small networks on two cores, unless the variable is set.

    Two ops in parallel beat one op split in two: nothing waits for its other half.
    """
    if cores() == 2 and max(config.image_shape[:2]) <= _SMALL:
        os.environ.setdefault(VARIABLE, "1")


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_ops() -> int:
    """Return the number of ops to run in parallel to occupy all cores, given the threads per op in the environment."""
    text = os.environ.get(VARIABLE, "")
    return max(1, cores() // int(text)) if text.isdecimal() and int(text) else 1
