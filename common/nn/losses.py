"""The terms of the objective, as pure functions of tensors: scalars, means over the batch (REFERENCE.md section 3)."""

import tensorflow as tf

_NORM_FLOOR = 1e-12  # Under the root, whose derivative has no value at 0.


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


def critic_difference(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """E D(x) - E D(x') from a critic's values [B, 1]: what eq. 3 has the critic maximise and the generator minimise."""
    return tf.reduce_mean(real) - tf.reduce_mean(fake)


def gradient_penalty(critic, images: tf.Tensor, fake: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """E (||grad_x D(x~)|| - 1)^2 of eq. 4, the norm over all pixels of an image.

    Args:
        critic: x [B, h, w, c] -> values [B, 1], no image's depending on another's.
        images, fake: x and x', both [B, h, w, c].
        share: [B, 1, 1, 1] in [0, 1], how much of x there is in x~ = share x + (1 - share) x': one factor an image.
    """
    between = share * images + (1.0 - share) * fake
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(between)
        values = critic(between)
    squares = tf.reduce_sum(tf.square(tape.gradient(values, between)), axis=[1, 2, 3])
    return tf.reduce_mean(tf.square(tf.sqrt(squares + _NORM_FLOOR) - 1.0))


def information_bound(logits: tf.Tensor, category: tf.Tensor, log_continuous: tf.Tensor, entropy: float) -> tf.Tensor:
    """L_MI of eq. 11, in nats: E log q(d|x') + E log q(c|x') + H(u), at most I(u, G(z, u)).

    Args:
        logits: [B, K], of q(d|x').
        category: [B, K], the d that x' was made from, one-hot.
        log_continuous: [B], log q(c|x') of its c.
        entropy: H(u).
    """
    return entropy - categorical_information(logits, category) + tf.reduce_mean(log_continuous)


def squared_error(x: tf.Tensor, reconstruction: tf.Tensor) -> tf.Tensor:
    """E sum (x - reconstruction)^2 over all axes but the first: -log p(x'|z, d, c) of eq. 10, up to scale and constant."""
    return tf.reduce_mean(tf.reduce_sum(tf.square(x - reconstruction), axis=list(range(1, x.shape.rank))))
