"""The terms of the mixture's loss, as pure functions of tensors: means over the batch (docs/mixture.md, section 4)."""

import math

import tensorflow as tf

_LEAST, _MOST = 0.1, 0.8  # The concentrations as the Dirichlet KL divergence takes them.
_ROOT_FLOOR = 1e-10  # Under the root of the corrected dHSIC, which has no derivative at 0.
_ENTROPY_WEIGHT = 10.0
_K1, _K2, _K3 = 0.63576, 1.8732, 1.48695  # Molchanov et al. 2017, eq. 14.


def cross_entropy(x: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """E sum -(x log y + (1 - x) log(1 - y)), of x and y = `images` [B, ...] in [0, 1]. Not finite if y is 0 or 1."""
    return -_sum_mean(x * tf.math.log(images) + (1.0 - x) * tf.math.log(1.0 - images))


def cross_entropy_from_logits(x: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """As `cross_entropy`, from the logits of y [B, ...]: finite for all of them."""
    return _sum_mean(tf.nn.sigmoid_cross_entropy_with_logits(x, logits))


def gaussian_kl(mean: tf.Tensor, stddev: tf.Tensor) -> tf.Tensor:
    """E sum_D KL(N(mean, stddev^2) || N(0, 1)) of each expert, [K], from [B, K, D]."""
    kl = 0.5 * (tf.square(mean) + tf.square(stddev) - 1.0) - tf.math.log(stddev)
    return tf.reduce_mean(tf.reduce_sum(kl, axis=-1), axis=0)


def dirichlet_prior(experts: int) -> float:
    """The concentration of each expert in the prior: 1 / K in two decimals, 0.25 for K = 4 and 0.17 for K = 6."""
    return round(1.0 / experts, 2)


def clip_concentration(concentration: tf.Tensor) -> tf.Tensor:
    """Concentrations [B, K] as the Dirichlet KL divergence takes them, in [0.1, 0.8]; no gradient passes outside."""
    return tf.clip_by_value(concentration, _LEAST, _MOST)


def dirichlet_kl(a: tf.Tensor, b: tf.Tensor | float, corrected: bool = False) -> tf.Tensor:
    """E KL(Dirichlet(a) || Dirichlet(b)).

    ln G(sum a) - ln G(sum b) + sum_k [ln G(b_k) - ln G(a_k) + (a_k - b_k) (psi(a_k) - psi(s))]. The divergence has
    s = sum a; the original has s = 1, which is the same for concentrations that sum to 1.

    Args:
        a: [B, K], above 0.
        b: [K] or one number for all, above 0.
        corrected: s = sum a.
    """
    b = tf.broadcast_to(tf.convert_to_tensor(b, a.dtype), a.shape[-1:])
    total = tf.reduce_sum(a, axis=-1, keepdims=True)
    digamma = tf.math.digamma(total if corrected else tf.ones_like(total))
    terms = tf.math.lgamma(b) - tf.math.lgamma(a) + (a - b) * (tf.math.digamma(a) - digamma)
    whole = tf.math.lgamma(total[..., 0]) - tf.math.lgamma(tf.reduce_sum(b))
    return tf.reduce_mean(whole + tf.reduce_sum(terms, axis=-1))


def dhsic(codes: tf.Tensor, corrected: bool = False) -> tf.Tensor:
    """The dependence of K variables: the root of their d-variable HSIC (Pfister et al. 2018), biased, scalar.

    With RBF kernels k_k(i, j) = exp(-|z_ki - z_kj|^2 / (2 g^2)), g the mean distance scale of standard normals:
    sqrt(mean_ij prod_k k_k(i, j) + prod_k mean_ij k_k(i, j) - 2 mean_j prod_k mean_i k_k(i, j)).

    Args:
        codes: [B, K, D].
        corrected: keep the root's argument, which rounding can take to 0 or below, at 1e-10 at least.
    """
    length = codes.shape[-1]
    bandwidth = 2.0 * math.exp(math.lgamma((length + 1) / 2) - math.lgamma(length / 2))
    # In float64: the three means nearly cancel.
    z = tf.transpose(tf.cast(codes, tf.float64), [1, 0, 2])
    norms = tf.reduce_sum(tf.square(z), axis=-1)
    squares = norms[:, :, None] + norms[:, None, :] - 2.0 * tf.matmul(z, z, transpose_b=True)
    exponents = squares / (-2.0 * bandwidth**2)
    rows = tf.reduce_mean(tf.exp(exponents), axis=1)
    joint = tf.reduce_mean(tf.exp(tf.reduce_sum(exponents, axis=0)))  # The mean of the kernels' product.
    product = tf.reduce_prod(tf.reduce_mean(rows, axis=1))
    crossed = tf.reduce_mean(tf.reduce_prod(rows, axis=0))
    square = joint + product - 2.0 * crossed
    return tf.cast(tf.sqrt(tf.maximum(square, _ROOT_FLOOR) if corrected else square), tf.float32)


def entropy_regularizer(logit: tf.Tensor, corrected: bool = False) -> tf.Tensor:
    """10 h, h = p ln p + (1 - p) ln(1 - p), of the probability p to drop an expert, from its logit [1].

    The original multiplies h by itself: clip(-10 h^2, -10, 0). Both are minimal at p = 1/2.
    """
    p = tf.sigmoid(logit[0])
    entropy = p * tf.math.log(p) + (1.0 - p) * tf.math.log(1.0 - p)
    if corrected:
        return _ENTROPY_WEIGHT * entropy
    return tf.clip_by_value(-_ENTROPY_WEIGHT * tf.square(entropy), -10.0, 0.0)


def variational_dropout_kl(log_alpha: tf.Tensor) -> tf.Tensor:
    """The approximate KL divergence of variational dropout, from log alpha [1] (Molchanov et al. 2017)."""
    value = log_alpha[0]
    return -(_K1 * tf.sigmoid(_K2 + _K3 * value) - 0.5 * tf.math.log(1.0 + tf.exp(-value)) - _K1)


def _sum_mean(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.reduce_sum(values, axis=list(range(1, values.shape.rank))))
