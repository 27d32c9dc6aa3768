"""What a training step needs to know of the replicas that take part in it (`tf.distribute`)."""

import tensorflow as tf


def replicas() -> int:
    """How many replicas take part in the present step."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def per_replica_slice(batch):
    """This replica's share of each tensor in `batch`, a structure of tensors [B, ...]: [B / replicas, ...]."""
    if replicas() == 1:
        return batch
    number = tf.distribute.get_replica_context().replica_id_in_sync_group

    def share(values):
        size = values.shape[0] // replicas()
        return tf.ensure_shape(
            tf.slice(values, [number * size] + [0] * (values.shape.rank - 1), [size, *values.shape[1:]]),
            [size, *values.shape[1:]],
        )

    return tf.nest.map_structure(lambda values: values if values is None else share(values), batch)


def all_reduce_mean(values):
    """The mean over the replicas of each tensor in `values`, a structure of tensors; its gradient is the mean of theirs."""
    return (
        values
        if replicas() == 1
        else tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)
    )


def in_replica_context() -> bool:
    """Whether this is the step of one replica of several, not what a process does between steps."""
    return replicas() > 1 and not tf.distribute.in_cross_replica_context()


def expand_scalars(losses: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Scalars as `fit` wants them from a step: with several workers, it takes the mean of an axis."""
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return {name: tf.reshape(value, [1]) for name, value in losses.items()}
    return losses
