"""Multi-device and multi-worker training with tf.distribute.

Each replica takes its slice of the images, latents and noise of the global batch. Losses are means over equal slices,
so the global loss and its gradient are the means over replicas, if batch statistics are synchronised too
(`--sync-batch-norm`); otherwise each replica normalises with the statistics of its slice.
"""

import json
import os

import tensorflow as tf

from common.config import Config
from common.errors import UserError


def open_strategy(name: str | None) -> tf.distribute.Strategy:
    """Return the `tf.distribute.Strategy` of that name. Call it before any other TensorFlow op.

    Args:
        name: "mirrored", all GPUs of this machine, or its (logical) CPUs if there are none; "multiworker", the workers
            of the environment variable TF_CONFIG; "auto", multiworker if TF_CONFIG names several workers, else
            mirrored; None, one device.

    Raises:
        UserError: TF_CONFIG is missing or wrong.
    """
    if name is None:
        return tf.distribute.get_strategy()
    if name == "multiworker" or (name == "auto" and _workers() > 1):
        if not _workers():
            raise UserError("--strategy multiworker needs the environment variable TF_CONFIG, which names all workers")
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _workers() -> int:
    """Return how many workers TF_CONFIG names, this one included; 0 without it."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 0
    try:
        cluster, task = json.loads(text)["cluster"], json.loads(text)["task"]
        names = [*cluster.get("chief", []), *cluster["worker"]]
        if cluster[task["type"]][task["index"]] in names:
            return len(names)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        pass
    raise UserError(
        'TF_CONFIG must be like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    )


def require_divisible_batch(config: Config, count: int) -> None:
    """Raise UserError unless `count` devices can share the batches of `config`."""
    if config.batch_size % count or config.batch_size // count < 2:
        least = f"a multiple of {count}, at least {2 * count}"
        raise UserError(f"--batch-size must be {least}, for {count} devices, got {config.batch_size}")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process writes results and checkpoints; a process without other workers does."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    chief = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (chief, 0)
