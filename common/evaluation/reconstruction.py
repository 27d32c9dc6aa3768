"""How far reconstructions are from their images, and the bound on the log-likelihood."""

from collections.abc import Iterable

import numpy as np

from common.evaluation.encode import Reconstructed
from common.evaluation.metrics.codes import NotMeasurable
from common.evaluation.metrics.likelihood import log_likelihood_bound

ERRORS: tuple[str, str] = ("reconstruction_error_per_value", "reconstruction_error_per_image")
BOUND: str = "log_likelihood_bound"


def reconstruction_scores(batches: Iterable[Reconstructed]) -> dict[str, float]:
    """Return squared errors, in the range that the networks see, and the bound if there are posteriors of z.

    Args:
        batches: images [b, h, w, c] with their reconstructions (and posteriors), see `encode.reconstruct`.

    Returns:
        "reconstruction_error_per_value": mean over images, pixels and channels;
        "reconstruction_error_per_image": sum over pixels and channels, mean over images;
        "log_likelihood_bound": mean of eq. 7 of the paper, in nats.

    Raises:
        ValueError: there are no images.
    """
    total, images, values, bounds = 0.0, 0, 0, []
    for batch in batches:
        difference = np.asarray(batch.images, np.float64) - batch.reconstructions
        total += float(np.square(difference).sum())
        images, values = images + len(difference), values + difference.size
        if batch.noise and batch.posterior and all(part is not None for part in batch.posterior):
            codes = (np.asarray(part) for part in batch.posterior)
            noise = {"noise_mean": np.asarray(batch.noise.mean), "noise_stddev": np.asarray(batch.noise.stddev)}
            bounds.append(log_likelihood_bound(batch.images, batch.reconstructions[None], *codes, **noise))
    if not images:
        raise NotMeasurable("there are no images to score")
    scores = {ERRORS[0]: total / values, ERRORS[1]: total / images}
    return {**scores, BOUND: float(np.concatenate(bounds).mean())} if bounds else scores
