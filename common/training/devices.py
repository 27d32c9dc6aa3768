"""Several devices, or several workers, that train one system as one device would train it on the joint batch.

Each replica takes its share of the images, of the latents and of the noise, all of which are drawn for the joint batch. Losses are means over
equal shares, so the joint loss is the mean of the replicas', and so is its gradient once the replicas' batch statistics are joined
too (`BatchNorm` with `synchronized`); otherwise each replica normalises with the statistics of its own share.
"""

import json
import os

import tensorflow as tf

from common.config import Config
from common.errors import UserError


def open_strategy(name: str | None) -> tf.distribute.Strategy:
    """The `tf.distribute.Strategy` called `name`: "mirrored", over all GPUs of this machine or, without any, its (logical) CPUs; "multiworker", as
    the environment variable TF_CONFIG says; "auto", multiworker where that names several workers, else mirrored; None, one device.

    Comes before anything else that TensorFlow does: workers find each other at its start. Raises UserError where TF_CONFIG is missing or wrong.
    """
    if name is None:
        return tf.distribute.get_strategy()
    if name == "multiworker" or (name == "auto" and _workers() > 1):
        if not _workers():
            raise UserError(
                "--strategy multiworker needs the environment variable TF_CONFIG, which names all workers and this one"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.MirroredStrategy(
        [device.name for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]
    )


def _workers() -> int:
    """How many workers TF_CONFIG names, itself included; 0 without it."""
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


def check(config: Config, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError where the replicas of `strategy` cannot share the batches of `config`."""
    count = strategy.num_replicas_in_sync
    if config.batch_size % count or config.batch_size // count < 2:
        raise UserError(
            f"--batch-size {config.batch_size} cannot be shared by {count} devices: it must be a multiple of {count}, at least {2 * count}"
        )


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes results and checkpoints; the only one is."""
    resolver = strategy.cluster_resolver
    return (
        resolver is None
        or not resolver.task_type
        or (resolver.task_type, resolver.task_id)
        == ("chief" if "chief" in resolver.cluster_spec().jobs else "worker", 0)
    )
