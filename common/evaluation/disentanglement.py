"""How well codes separate the factors of variation: the FactorVAE score, MIG and SAP of training images."""

from collections.abc import Callable, Sequence

import numpy as np

from common.data.dataset import Factor
from common.evaluation.metrics import factor_vae
from common.evaluation.metrics.codes import Codes, NotMeasurable
from common.evaluation.metrics.mig import mutual_information_gap
from common.evaluation.metrics.sap import separated_attribute_predictability
from common.evaluation_options import EvaluationSettings

NAMES = ("factor_vae", "mig", "sap")
MIG_IMAGES = 10_000  # As disentanglement_lib.
_SAP_LEVELS = 64


def factor_vae_plan(factors: np.ndarray, settings: EvaluationSettings) -> factor_vae.Plan | None:
    """Choose the images of the FactorVAE score from all factors, int64 [n, f]; None if it is not wanted."""
    if settings.factor_vae == "none":
        return None
    sizes = factor_vae.PAPER if settings.factor_vae == "paper" else factor_vae.DISENTANGLEMENT_LIB
    if settings.vote_images is not None:
        sizes = sizes._replace(batch=settings.vote_images)
    if settings.votes is not None:
        sizes = sizes._replace(
            train_votes=settings.votes,
            eval_votes=settings.votes // 2 if sizes.eval_votes else 0,
            variance_samples=min(sizes.variance_samples, settings.votes * sizes.batch),
        )
    return factor_vae.plan(factors, sizes, np.random.RandomState(settings.seed))


def factor_vae_scores(plan: factor_vae.Plan, codes: Codes) -> dict[str, float]:
    """Return the FactorVAE score of the codes of `plan.images`, with the category and ("_continuous") without it."""
    return _of_both("factor_vae", codes, lambda kind: factor_vae.score(plan, kind))


def mig_scores(codes: Codes, factors: np.ndarray) -> dict[str, float]:
    """Return MIG in [0, 1], with the category as one dimension and ("_continuous") without it.

    Args:
        codes: of n images.
        factors: int64 [n, f], their factors.
    """
    varying = [len(np.unique(column)) > 1 for column in factors.T]
    return _of_both("mig", codes, lambda kind: mutual_information_gap(kind, factors[:, varying]))


def sap_scores(
    codes: Codes, factors: np.ndarray, meanings: Sequence[Factor], seed: int = 0
) -> tuple[dict[str, float], dict[str, int]]:
    """Return SAP, with the category as one dimension and ("_continuous") without it.

    Two thirds of the images fit SAP's classifiers, the others score them. Each level of a factor has a classifier, so
    factors of more than 64 levels (such as a chair's identity) are left out.

    Args:
        codes: of n images.
        factors: int64 [n, f], their factors.
        meanings: what the columns of `factors` are.
        seed: splits the images.

    Returns:
        (scores in [0, 1] by name, numbers of images by name).

    Raises:
        NotMeasurable: there is no factor of 2 to 64 levels.
    """
    varying = np.array([len(np.unique(column)) > 1 for column in factors.T])
    few = varying & [factor.levels <= _SAP_LEVELS for factor in meanings]
    if not few.any():
        raise NotMeasurable(f"no factor has 2 to {_SAP_LEVELS} levels")
    fit, score = np.split(np.random.RandomState(seed).permutation(len(factors)), [2 * len(factors) // 3])
    to_fit, to_score = factors[fit][:, few], factors[score][:, few]
    sap = separated_attribute_predictability
    scores = _of_both("sap", codes, lambda kind: sap(kind.take(fit), to_fit, kind.take(score), to_score))
    return scores, {"sap_train": len(fit), "sap_test": len(score)}


def _of_both(name: str, codes: Codes, score: Callable[[Codes], float]) -> dict[str, float]:
    """Return the score of all dimensions and, if there are continuous codes next to a category, of those alone."""
    kinds = {name: codes}
    if codes.category is not None and codes.continuous.shape[1]:
        kinds[f"{name}_continuous"] = codes.without_category()
    return {name: float(score(kind)) for name, kind in kinds.items()}
