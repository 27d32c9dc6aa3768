"""The terms of the objective as pure functions of tensors: means over the batch (docs/original.md, section 3)."""

from typing import Any

import tensorflow as tf

from common.nn import replicas

_NORM_FLOOR = 1e-12  # Under the root, which has no derivative at 0.
_PROBABILITY_FLOOR = 1e-10  # Against log(0).
_ASSIGNMENT_FLOOR = 0.001  # InfoCatVAE's.


def adversarial(logits: tf.Tensor, real: bool) -> tf.Tensor:
    """Binary cross-entropy of `logits` [B, 1] against all-ones if `real`, else against all-zeros."""
    labels = tf.ones_like(logits) if real else tf.zeros_like(logits)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def categorical_information(logits: tf.Tensor | None, category: tf.Tensor) -> tf.Tensor:
    """-E log q(d|x') from `logits` [B, K] and `category` [B, K], one-hot or soft: H(d) minus the part of d in eq. 11.

    0 without a category, logits None.
    """
    if logits is None:
        return tf.zeros([])
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(category, logits))


def continuous_information(estimate: tf.Tensor, continuous: tf.Tensor) -> tf.Tensor:
    """E sum_j (c_j - c'_j)^2, both [B, C]: c in eq. 11 under a fixed variance, up to scale and constant."""
    return squared_error(continuous, estimate)


def critic_difference(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """E D(x) - E D(x') from a critic's values [B, 1] (eq. 3): the critic maximises it, the generator minimises it."""
    return tf.reduce_mean(real) - tf.reduce_mean(fake)


def gradient_penalty(critic, images: tf.Tensor, fake: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """E (||grad_x D(x~)|| - 1)^2 of eq. 4, the norm over all pixels of an image.

    Args:
        critic: x [B, h, w, c] -> values [B, 1]; must not mix images (no batch norm).
        images: x, [B, h, w, c].
        fake: x', [B, h, w, c].
        alpha: interpolation weight per image, [B, 1, 1, 1] in [0, 1]: x~ = alpha x + (1 - alpha) x'.
    """
    between = alpha * images + (1.0 - alpha) * fake
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(between)
        values = critic(between)
    gradient: Any = tape.gradient(values, between)
    squares = tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])
    return tf.reduce_mean(tf.square(tf.sqrt(squares + _NORM_FLOOR) - 1.0))


def information_bound(
    logits: tf.Tensor | None, category: tf.Tensor, log_continuous: tf.Tensor, entropy: float
) -> tf.Tensor:
    """L_MI of eq. 11, in nats: E log q(d|x') + E log q(c|x') + H(u), at most I(u, G(z, u)).

    Args:
        logits: [B, K], of q(d|x'); None without a category.
        category: [B, K], the d that x' was made from, one-hot.
        log_continuous: [B], log q(c|x') of its c.
        entropy: H(u).
    """
    return entropy - categorical_information(logits, category) + tf.reduce_mean(log_continuous)


def squared_error(x: tf.Tensor, reconstruction: tf.Tensor) -> tf.Tensor:
    """E sum (x - reconstruction)^2 over all axes but the first: -log p(x'|z, d, c), eq. 10, but for a constant."""
    return tf.reduce_mean(tf.reduce_sum(tf.square(x - reconstruction), axis=list(range(1, x.shape.rank))))


def regularised_information(
    logits: tf.Tensor, view_logits: tf.Tensor, both_ways: tf.Tensor | float | None = None
) -> tf.Tensor:
    """H(d|x) - H(d) + CE(q(d|x), q(d|view(x))) in nats: Gomes et al. 2010, regularised as by Hu et al. 2017.

    The first two terms are minus the mutual information of image and category: each image should have one category, and
    all categories should be used alike. The last keeps an image's category the same under a view; its first argument is
    the target and gets no gradient.

    Args:
        logits: of the images, [B, K].
        view_logits: of the same images under a random view each, [B, K].
        both_ways: weight of CE(q(d|view(x)), q(d|x)), by which an image learns from its view as well; None without it.
    """
    log_p = tf.nn.log_softmax(logits)
    p = tf.exp(log_p)
    marginal = replicas.batch_mean(p)
    conditional_entropy = -tf.reduce_mean(tf.reduce_sum(p * log_p, axis=-1))
    entropy = -tf.reduce_sum(marginal * tf.math.log(marginal + _PROBABILITY_FLOOR))
    agreement = categorical_information(view_logits, tf.stop_gradient(p))
    if both_ways is not None:
        agreement += both_ways * categorical_information(logits, tf.stop_gradient(tf.nn.softmax(view_logits)))
    return conditional_entropy - entropy + agreement


def bernoulli(pixels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """-E log p(x|u) in nats per image: cross-entropy of `pixels` in [0, 1] and `logits`, both [B, h, w, c]."""
    entropies = tf.nn.sigmoid_cross_entropy_with_logits(pixels, logits)
    return tf.reduce_mean(tf.reduce_sum(entropies, axis=[1, 2, 3]))


def capacity(step: tf.Tensor, maximum: float, steps: int) -> tf.Tensor:
    """C(t) in nats: linear from 0 at step 0 to `maximum` at `steps`, then constant (Burgess et al. 2018)."""
    return maximum * _passed(step, steps)


def falling_weight(step: tf.Tensor, first: float, last: float, steps: int) -> tf.Tensor:
    """Return a weight that falls geometrically from `first` at step 0 to `last` at `steps`, and is constant then."""
    return last * tf.pow(first / last, 1.0 - _passed(step, steps))


def _passed(step: tf.Tensor, steps: int) -> tf.Tensor:
    """Return the part of `steps` that has passed at `step`: linear from 0 to 1, then 1."""
    return tf.minimum(tf.cast(step, tf.float32) / float(steps), 1.0)


def negative_entropy(assignment: tf.Tensor) -> tf.Tensor:
    """E sum_d a_d log(a_d + 0.001) of soft assignments a [B, K]: InfoCatVAE's KL(q(d|x) || Cat(1/K)), less log K."""
    return tf.reduce_mean(tf.reduce_sum(assignment * tf.math.log(assignment + _ASSIGNMENT_FLOOR), axis=-1))


def mixture_kl(assignment: tf.Tensor, mean: tf.Tensor, log_variance: tf.Tensor, class_means: tf.Tensor) -> tf.Tensor:
    """E sum_d a_d KL(q(z|x, d) || N(mu_d, I)), in nats per image (InfoCatVAE).

    Args:
        assignment: a = q(d|x), [B, K].
        mean: of q(z|x, d) for each class, [B, K, C].
        log_variance: of the same, [B, K, C].
        class_means: mu_d, [K, C].
    """
    terms = tf.square(mean - class_means) + tf.exp(log_variance) - log_variance - 1.0
    return 0.5 * tf.reduce_mean(tf.reduce_sum(assignment * tf.reduce_sum(terms, axis=-1), axis=-1))
