"""Multi-device and multi-worker training with tf.distribute.

Each replica takes its slice of the images, latents and noise of the global batch. Losses are means over equal slices,
so the global loss and its gradient are the means over replicas, if batch statistics are synchronised too
(`--sync-batch-norm`); otherwise each replica normalises with the statistics of its slice. What is not a mean over
images (the entropy of all categories, a distance from capacity, dHSIC) is taken over the global batch. The exception is
FactorVAE, which permutes codes within a slice: that is as valid, but not what one device computes.
"""

import tensorflow as tf

from common.config import Config
from common.errors import UserError
from common.training import workers


def open_strategy(name: str | None) -> tf.distribute.Strategy:
    """Return the `tf.distribute.Strategy` of that name. Call it before any other TensorFlow op.

    Args:
        name: "mirrored", all GPUs of this machine, or its (logical) CPUs if there are none; "multiworker", the workers
            of the environment variable TF_CONFIG; "auto", multiworker if TF_CONFIG names several workers, else
            mirrored; None, one device.

    Raises:
        UserError: TF_CONFIG is missing or wrong, a port is in use, or another worker does not start.
    """
    if name is None:
        return tf.distribute.get_strategy()
    cluster = workers.cluster_of(name)
    if cluster is not None:
        workers.wait_for(cluster)
        with workers.ended_by_signals():
            return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


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


def require_same_step(strategy: tf.distribute.Strategy, step: int) -> None:
    """Raise UserError if another worker starts from another step: it has not read the same checkpoint."""
    if strategy.cluster_resolver is None or not strategy.cluster_resolver.task_type:
        return

    @tf.function
    def total():
        steps = strategy.run(lambda: tf.constant(step, tf.int64))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, steps, axis=None)

    if int(total()) != step * strategy.num_replicas_in_sync:
        remedy = "all workers need the same --resume and an --out that they share"
        raise UserError(f"this worker would start from step {step}, and another one from another step: {remedy}")
