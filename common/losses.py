"""The terms of the objective, as pure functions of tensors: scalars, means over the batch (REFERENCE.md section 3)."""

import tensorflow as tf


def adversarial(logits: tf.Tensor, real: bool) -> tf.Tensor:
    """BCE(D(.), 1) or BCE(D(.), 0) from `logits` [B, 1]: what calls these images `real`, or not, pays."""
    labels = tf.ones_like(logits) if real else tf.zeros_like(logits)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def categorical_information(logits: tf.Tensor, category: tf.Tensor) -> tf.Tensor:
    """-E log q(d|x') from `logits` [B, K] and the one-hot `category` [B, K]: the mutual information bound of eq. 11 less H(d)."""
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(category, logits))


def continuous_information(estimate: tf.Tensor, continuous: tf.Tensor) -> tf.Tensor:
    """E sum_j (c_j - c'_j)^2, both [B, C]: eq. 11 for c under a Gaussian of fixed variance, up to scale and constant."""
    return squared_error(continuous, estimate)


def squared_error(x: tf.Tensor, reconstruction: tf.Tensor) -> tf.Tensor:
    """E sum (x - reconstruction)^2 over all axes but the first: -log p(x'|z, d, c) of eq. 10, up to scale and constant."""
    return tf.reduce_mean(tf.reduce_sum(tf.square(x - reconstruction), axis=list(range(1, x.shape.rank))))
