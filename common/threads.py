"""How many threads TensorFlow gives each operation. Does not import TensorFlow."""

import os

from common.config import Config

_SMALL = 28  # Pixels: at 64, operations are large enough to be split.
VARIABLE = "TF_NUM_INTRAOP_THREADS"


def configure_threads(config: Config) -> None:
    """Use one thread per operation for small images on two cores; call it before TensorFlow starts.

    Two operations then run in parallel, and neither waits for its other half. An environment that sets `VARIABLE` is
    left alone.
    """
    if cores() == 2 and max(config.image_shape[:2]) <= _SMALL:
        os.environ.setdefault(VARIABLE, "1")


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_ops() -> int:
    """Return the number of operations that keep all cores busy, given the threads per operation in the environment."""
    text = os.environ.get(VARIABLE, "")
    return max(1, cores() // int(text)) if text.isdecimal() and int(text) else 1
