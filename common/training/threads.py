"""How many threads TensorFlow gives each operation, where its own choice is not the best."""

import os

from common.config import Config
from common.data.pool import cores

_SMALL = 28  # Pixels: at 64, operations are large enough to be split.
VARIABLE = "TF_NUM_INTRAOP_THREADS"


def suit(config: Config) -> None:
    """Before TensorFlow starts: one thread an operation for training small networks on two cores; an environment that says otherwise stands.

    Then two operations run side by side instead of each being split in two: as much at a time, and nothing waits for its other half.
    """
    if cores() == 2 and max(config.image_shape[:2]) <= _SMALL:
        os.environ.setdefault(VARIABLE, "1")


def side_by_side() -> int:
    """How many operations it takes to give all cores work, if each has as many threads as the environment says: all cores, if nothing."""
    text = os.environ.get(VARIABLE, "")
    return max(1, cores() // int(text)) if text.isdecimal() and int(text) else 1
