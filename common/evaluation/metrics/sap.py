"""Separated attribute predictability (Kumar et al., ICLR 2018, section 3), with disentanglement_lib's classifier."""

import numpy as np

from common.evaluation.metrics.codes import Codes, NotMeasurable, check_pairs

_COST = 0.01  # disentanglement_lib's C.
_MAX_STEPS, _TOLERANCE = 200, 1e-9


def separated_attribute_predictability(
    train: Codes, train_factors: np.ndarray, test: Codes, test_factors: np.ndarray
) -> float:
    """Return SAP in [0, 1]: how much better the best dimension predicts a factor than the second best, on average.

    Factors of one level in `train` are left out; with a single dimension the second best is 0. disentanglement_lib
    takes 10,000 images to train and 5,000 to test.

    Args, Raises: see `matrix`.
    """
    varying = [len(np.unique(column)) > 1 for column in train_factors.T]
    if not any(varying):
        raise NotMeasurable("no factor has two levels among the images that fit the classifiers")
    best = np.sort(matrix(train, train_factors[:, varying], test, test_factors[:, varying]), axis=0)
    return float((best[-1] - (best[-2] if len(best) > 1 else 0.0)).mean())


def matrix(train: Codes, train_factors: np.ndarray, test: Codes, test_factors: np.ndarray) -> np.ndarray:
    """Return the test accuracy of predicting each factor from each dimension alone: float64 [dimensions, f].

    The predictor is the linear support vector machine that scikit-learn's LinearSVC(C=0.01, class_weight="balanced")
    approximates, one against the rest, here at its exact optimum. A category goes in one-hot, which disentanglement_lib
    has no case for.

    Args:
        train: codes of the images to fit.
        train_factors: int [n, f], the level of each factor.
        test: codes of the images to score.
        test_factors: int [m, f], theirs.

    Raises:
        ValueError: no images, no factor of two levels, or codes and factors of different numbers of images.
    """
    check_pairs(train, train_factors)
    check_pairs(test, test_factors)
    if train_factors.shape[1] == 0 or min(len(np.unique(column)) for column in train_factors.T) < 2:
        raise NotMeasurable("a factor has less than two levels")
    return np.array(
        [
            [_accuracy(x, y, x_test, y_test) for y, y_test in zip(train_factors.T, test_factors.T, strict=True)]
            for x, x_test in zip(_inputs(train), _inputs(test), strict=True)
        ]
    )


def _inputs(codes: Codes) -> list[np.ndarray]:
    """Return each dimension for the classifier: a column, or one-hot columns, and a column of ones for the bias."""
    inputs = [column[:, None].astype(np.float64) for column in codes.continuous.T]
    if codes.category is not None:
        inputs.append(np.eye(codes.num_categories)[codes.category])
    return [np.hstack([x, np.ones((len(x), 1))]) for x in inputs]


def _accuracy(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    levels, indices, counts = np.unique(y, return_inverse=True, return_counts=True)
    balanced = len(y) / (len(levels) * counts)
    if len(levels) == 2:
        weights = _fit(x, np.where(indices == 1, 1.0, -1.0), _COST * balanced[indices])
        predicted = (x_test @ weights > 0).astype(int)
    else:  # liblinear weighs the one class, and leaves the rest at C.
        weights = [
            _fit(x, np.where(indices == k, 1.0, -1.0), _COST * np.where(indices == k, balanced[k], 1.0))
            for k in range(len(levels))
        ]
        predicted = (x_test @ np.transpose(weights)).argmax(axis=1)
    return float((levels[predicted] == y_test).mean())


def _fit(x: np.ndarray, sign: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Return the minimum of |w|^2 / 2 + sum_i cost_i max(0, 1 - sign_i x_i.w)^2, by Newton steps with a line search.

    The loss is strictly convex and piecewise quadratic: the steps end at its minimum.
    """

    def loss(w):
        return 0.5 * w @ w + cost @ np.maximum(0.0, 1.0 - sign * (x @ w)) ** 2

    w, first = np.zeros(x.shape[1]), None
    for _ in range(_MAX_STEPS):
        slack = 1.0 - sign * (x @ w)
        wrong = slack > 0
        inside, weight = x[wrong], 2.0 * cost[wrong]
        gradient = w - inside.T @ (weight * sign[wrong] * slack[wrong])
        first = first or max(np.abs(gradient).max(), 1.0)
        if np.abs(gradient).max() <= _TOLERANCE * first:
            break
        step = np.linalg.solve(np.eye(len(w)) + inside.T @ (weight[:, None] * inside), gradient)
        length, here, slope = 1.0, loss(w), gradient @ step
        while loss(w - length * step) > here - 1e-4 * length * slope and length > 1e-6:
            length /= 2
        w = w - length * step
    return w
