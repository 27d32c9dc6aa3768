"""What a training step needs to know of its replicas under tf.distribute."""

import tensorflow as tf


def replicas() -> int:
    """Return the number of replicas of the current step."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def per_replica_slice(batch):
    """Return this replica's slice of each tensor of a structure: [B, ...] -> [B / replicas, ...]. None stays None."""
    if replicas() == 1:
        return batch
    number = tf.distribute.get_replica_context().replica_id_in_sync_group

    def own(values):
        if values is None:
            return None
        shape = [values.shape[0] // replicas(), *values.shape[1:]]
        return tf.ensure_shape(tf.slice(values, [number * shape[0]] + [0] * (len(shape) - 1), shape), shape)

    return tf.nest.map_structure(own, batch)


def all_reduce_mean(values):
    """Return the mean over replicas of each tensor of a structure; its gradient is the mean of theirs."""
    if replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)


def batch_mean(values: tf.Tensor) -> tf.Tensor:
    """The mean [...] of `values` [b, ...] over the images of all replicas: for terms that are not linear in it."""
    return all_reduce_mean(tf.reduce_mean(values, axis=0))


def all_gather(values: tf.Tensor) -> tf.Tensor:
    """The values [b, ...] of all replicas one after the other: [B, ...]; its gradient sums those of all replicas."""
    if replicas() == 1:
        return values
    gathered = tf.distribute.get_replica_context().all_gather(values, axis=0)
    return tf.ensure_shape(gathered, [None, *values.shape[1:]])  # Which it has lost.


def in_replica_context() -> bool:
    """Return whether this runs in a step of one of several replicas, not between steps."""
    return replicas() > 1 and not tf.distribute.in_cross_replica_context()


def expand_scalars(losses: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return scalars in the form that `fit` takes from a step: with several workers it averages over an axis."""
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return {name: tf.reshape(value, [1]) for name, value in losses.items()}
    return losses
