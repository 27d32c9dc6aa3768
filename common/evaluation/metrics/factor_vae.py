"""The FactorVAE score (Kim & Mnih, "Disentangling by Factorising", ICML 2018, section 4 and its appendix).

Each vote fixes one factor, takes a batch of images, and picks the code dimension with the smallest normalised variance.
A majority map from dimensions to factors is fitted to the votes; the score is its accuracy.
"""

from typing import NamedTuple

import numpy as np

from common.evaluation.metrics.classification import contingency, majority_accuracy
from common.evaluation.metrics.codes import Codes, NotMeasurable


class Sizes(NamedTuple):
    """How much to sample.

    Attributes:
        variance_samples: images for the variances over all images.
        batch: images per vote, at least 2.
        train_votes: votes that the majority map is fitted to.
        eval_votes: further votes that it is scored on; 0 to score it on those it was fitted to.
        prune: dimensions of a smaller standard deviation than this have collapsed and do not count.
    """

    variance_samples: int
    batch: int
    train_votes: int
    eval_votes: int
    prune: float


DISENTANGLEMENT_LIB = Sizes(variance_samples=10_000, batch=64, train_votes=10_000, eval_votes=5_000, prune=0.05)
# L = 100, M = 500, one set of votes.
PAPER = Sizes(variance_samples=10_000, batch=100, train_votes=500, eval_votes=0, prune=0.05)
_VOTES_AT_A_TIME = 1000  # Limits memory.


class Plan(NamedTuple):
    """Which images the score needs, and what for.

    Attributes:
        images: int64 [m], sorted, each once: encode these, all in one go, for batch norm needs mixed batches.
        variance: int64 [variance_samples], positions in `images`.
        votes: int64 [train_votes + eval_votes, batch], positions in `images`; a row shares a level of one factor.
        fixed: int64 [train_votes + eval_votes], which factor that is.
        sizes: what it was made for.
    """

    images: np.ndarray
    variance: np.ndarray
    votes: np.ndarray
    fixed: np.ndarray
    sizes: Sizes


def plan(factors: np.ndarray, sizes: Sizes, random: np.random.RandomState) -> Plan:
    """Sample every image that the score needs, with replacement, as disentanglement_lib does from a full grid.

    The fixed factor is sampled uniformly, its level as often as it occurs, the images uniformly among those of that
    level. An incomplete grid is fine. Levels of a single image have no variance and are left out, as are factors
    without two levels.

    Args:
        factors: int [n, f], the level of each factor.
        sizes: see `Sizes`.
        random: the source of all samples.

    Raises:
        ValueError: no images, no factor to fix, or a batch of less than 2.
    """
    if len(factors) == 0:
        raise NotMeasurable("there are no images to score")
    if sizes.batch < 2:
        raise ValueError(f"a batch of {sizes.batch} has no variance")
    groups = {k: group for k in range(factors.shape[1]) if (group := _levels(factors[:, k])) is not None}
    if not groups:
        raise NotMeasurable("no factor has two levels, one of them with two images")
    variance = random.randint(0, len(factors), sizes.variance_samples)
    fixed = random.choice(list(groups), sizes.train_votes + sizes.eval_votes)
    votes = np.zeros((len(fixed), sizes.batch), np.int64)
    for k, (order, starts, counts) in groups.items():
        rows = np.flatnonzero(fixed == k)
        shared = np.where(counts > 1, counts, 0)
        levels = random.choice(len(counts), len(rows), p=shared / shared.sum())
        within = random.randint(0, counts[levels][:, None], (len(rows), sizes.batch))
        votes[rows] = order[starts[levels][:, None] + within]
    images, positions = np.unique(np.concatenate([variance, votes.ravel()]), return_inverse=True)
    return Plan(images, positions[: len(variance)], positions[len(variance) :].reshape(votes.shape), fixed, sizes)


def active_dimensions(plan: Plan, codes: Codes) -> np.ndarray:
    """Return which dimensions vary enough to count: bool [dimensions]. `codes` are those of `plan.images`."""
    return _active(_variances(codes, plan.variance[None])[0], plan.sizes)


def score(plan: Plan, codes: Codes) -> float:
    """Return the FactorVAE score, in [0, 1]; 0 if every dimension has collapsed, as in disentanglement_lib.

    A category counts as one dimension with Gini's variance sum_ij [d_i != d_j] / (2 n (n - 1)), which for numbers, with
    (c_i - c_j)^2 instead of [d_i != d_j], is their unbiased variance (Kim & Mnih's appendix). On a tie the first
    dimension wins.

    Args:
        plan: the images of the score.
        codes: the codes of `plan.images`, in that order.

    Raises:
        ValueError: the codes are not as many as the plan's images.
    """
    if codes.images != len(plan.images):
        raise ValueError(f"codes of {codes.images} images for a plan of {len(plan.images)}")
    overall = _variances(codes, plan.variance[None])[0]
    active = _active(overall, plan.sizes)
    if not active.any():
        return 0.0
    parts = np.array_split(plan.votes, -(-len(plan.votes) // _VOTES_AT_A_TIME))
    winners = np.concatenate([(_variances(codes, part)[:, active] / overall[active]).argmin(axis=1) for part in parts])
    shape, train = (active.sum(), plan.fixed.max() + 1), plan.sizes.train_votes
    fitted = contingency(winners[:train], plan.fixed[:train], *shape)
    scored = contingency(winners[train:], plan.fixed[train:], *shape) if plan.sizes.eval_votes else fitted
    return majority_accuracy(scored, fitted.argmax(axis=1))  # Without a vote: the first factor, as disentanglement_lib.


def _levels(column: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return images by level: order, start and count of each level. None without a level to fix."""
    _, starts, counts = np.unique(np.sort(column), return_index=True, return_counts=True)
    return (np.argsort(column, kind="stable"), starts, counts) if len(counts) > 1 and counts.max() > 1 else None


def _active(variances: np.ndarray, sizes: Sizes) -> np.ndarray:
    return (variances > 0) & (np.sqrt(variances) >= sizes.prune)


def _variances(codes: Codes, positions: np.ndarray) -> np.ndarray:
    """Return the variance of each dimension over each row of positions [r, b]: float64 [r, dimensions]."""
    variances = codes.continuous[positions].var(axis=1, ddof=1, dtype=np.float64)
    if codes.category is None:
        return variances
    rows, batch = positions.shape
    cells = np.arange(rows)[:, None] * codes.num_categories + codes.category[positions]
    counts = np.bincount(cells.ravel(), minlength=rows * codes.num_categories).reshape(rows, -1)
    gini = (batch**2 - (counts**2).sum(axis=1)) / (2 * batch * (batch - 1))
    return np.concatenate([variances, gini[:, None]], axis=1)
