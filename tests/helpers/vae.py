"""The plain VAE's two terms, in float64, of the networks of a system."""

import numpy as np


def plain_vae(system, images, normal):
    """(-E log p(x|c), E KL(q(c|x) || N(0, I))) in nats per image, with c sampled by the noise `normal` [B, C]."""
    posterior = {name: v.numpy().astype(np.float64) for name, v in system.networks["encoder"](images).items()}
    mean, stddev = posterior["mean"], posterior["stddev"]
    logits = system.networks["decoder"]((mean + stddev * normal.numpy()).astype(np.float32)).numpy()
    return cross_entropy(images, logits), gaussian_kl(mean, stddev)


def cross_entropy(images, logits):
    """E of the summed cross-entropy of pixels in [0, 1] and logits."""
    pixels, logits = np.asarray(images, np.float64), np.asarray(logits, np.float64)
    return (np.logaddexp(0, logits) - pixels * logits).sum() / len(pixels)


def gaussian_kl(mean, stddev):
    """E KL(N(mean, stddev^2) || N(0, I)), summed over codes."""
    return 0.5 * (mean**2 + stddev**2 - 2 * np.log(stddev) - 1).sum() / len(mean)
