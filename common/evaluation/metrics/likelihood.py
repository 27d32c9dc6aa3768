"""The bound on the log-likelihood of test images, proposition 1 of the paper."""

import numpy as np

PIXEL_VARIANCE = 0.5  # Under N(G, I/2), -log p(x|z, d, c) is the squared error that training minimises, and a constant.


def kl_normal(mean: np.ndarray, stddev: np.ndarray) -> np.ndarray:
    """KL(N(mean, stddev^2) || N(0, I)) of each image in nats, float64 [n], from [n, k] each, stddev above 0."""
    mean, stddev = np.asarray(mean, np.float64), np.asarray(stddev, np.float64)
    return 0.5 * (mean**2 + stddev**2 - 2.0 * np.log(stddev) - 1.0).sum(axis=1)


def kl_uniform(logits: np.ndarray) -> np.ndarray:
    """KL(softmax(logits) || Cat(K, 1/K)) of each image in nats, float64 [n], from [n, K]."""
    log_p = np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    return (np.exp(log_p) * (log_p + np.log(log_p.shape[1]))).sum(axis=1)


def log_pixels(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Return the log density N(x; x^, I/2) of each image in nats, float64 [n], from [n, h, w, c] both."""
    difference = np.asarray(images, np.float64) - reconstructions
    squares = np.square(difference).reshape(len(difference), -1).sum(axis=1)
    return -0.5 * (squares / PIXEL_VARIANCE + difference[0].size * np.log(2.0 * np.pi * PIXEL_VARIANCE))


def log_likelihood_bound(
    images: np.ndarray,
    reconstructions: np.ndarray,
    logits: np.ndarray,
    mean: np.ndarray,
    stddev: np.ndarray,
    *,
    noise_mean: np.ndarray,
    noise_stddev: np.ndarray,
) -> np.ndarray:
    """E log p(x|z, d, c) - KL_d - KL_c - KL_z of each image (eq. 7), in nats: float64 [n].

    Eq. 7 prints log p(d, c, z|x) and means log p(x|d, c, z), as the quotient of eq. 9 says. The bound is on a density
    over pixel values as the images have them, of the model whose c is from N(0, I), as in the paper's section 3.1.

    Args:
        images: [n, h, w, c].
        reconstructions: [s, n, h, w, c], G(z, d, c) for s samples of z, d, c from their posteriors.
        logits: [n, K], of q(d|x).
        mean: [n, C], of q(c|x).
        stddev: [n, C], of q(c|x).
        noise_mean: [n, Z], of q(z|x).
        noise_stddev: [n, Z], of q(z|x).
    """
    expected = np.mean([log_pixels(images, sample) for sample in reconstructions], axis=0)
    return expected - kl_uniform(logits) - kl_normal(mean, stddev) - kl_normal(noise_mean, noise_stddev)
