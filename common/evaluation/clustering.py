"""Categories as clusters: how well they match the classes of real images, and what they generate."""

import numpy as np

from common.data.dataset import Dataset, Split
from common.evaluation.encode import encode, lacks, sample_split
from common.evaluation.metrics import classification
from common.evaluation.metrics.codes import Codes
from common.evaluation.statistics import Statistics
from common.models.system import System

ACCURACY = ("accuracy", "accuracy_one_to_one", "accuracy_fitted_on_test")
AGREEMENT = "category_agreement"
GENERATED = ("category_accuracy_generated", "category_purity")
PURITY = GENERATED[1]
IMAGES = 10_000  # Of each split at most, when a run is scored epoch by epoch.


def lacks_classes(dataset: Dataset) -> str | None:
    """Return why `dataset` has no accuracy, or None."""
    return "the data set has no classes with test images" if dataset.label is None or not dataset.test else None


def category_counts(codes: Codes, dataset: Dataset, split: Split) -> np.ndarray:
    """Return how often each category meets each class of `dataset` among the images of `split`: int64 [K, L]."""
    labels = dataset.labels(split)
    if codes.category is None or labels is None:
        raise ValueError("there are no categories, or no classes")
    levels = dataset.classes.levels
    return classification.contingency(codes.category, labels, codes.num_categories, levels)


def class_names(system: System, dataset: Dataset, count: int, seed: int) -> list[str] | None:
    """Return the class that most images of each category have, for figures: "digit 7", or "cat"; "-" without an image.

    Args:
        system: one that can "encode".
        dataset: from whose training images the classes are.
        count: how many of them are encoded, at most.
        seed: chooses them.

    Returns:
        K names; None without categories or classes.
    """
    if lacks(system, "encode", "category") or dataset.label is None or dataset.train.factors is None:
        return None
    split = sample_split(dataset.train, count, seed)
    counts = category_counts(encode(system, split.images), dataset, split)
    factor = dataset.classes
    names = [value if isinstance(value, str) else f"{factor.name} {value}" for value in factor.values]
    labels = classification.majority_labels(counts)
    return ["-" if label == classification.UNASSIGNED else names[label] for label in labels]


def accuracies(fitted: np.ndarray, scored: np.ndarray) -> dict[str, float]:
    """Return the unsupervised accuracies, each in [0, 1], from counts [K, L] of training images and of test images.

    Returns:
        "accuracy": each category has the label of most of its training images;
        "accuracy_one_to_one": no two categories share a label, otherwise fitted on training images too;
        "accuracy_fitted_on_test": as "accuracy", but fitted on the test images themselves.
    """
    values = (
        classification.majority_accuracy(scored, classification.majority_labels(fitted)),
        classification.one_to_one_accuracy(scored, classification.one_to_one_labels(fitted)),
        classification.majority_accuracy(scored),
    )
    return dict(zip(ACCURACY, values, strict=True))


def category_agreement(system: System, split: Split, codes: Codes, seed: int = 0) -> float:
    """Return the fraction of images that keep their category in a random view (shifted, sheared, stretched a bit).

    It needs no labels, and shows a run whose categories split classes by slant or width.

    Args:
        system: one that can "encode", with a category.
        split: the images.
        codes: their codes, of mixed batches.
        seed: chooses the views.
    """
    views = encode(system, split.images, view_seed=seed)
    return float(np.mean(views.category == codes.category))


def generated_scores(category: np.ndarray, codes: Codes, logits: np.ndarray | None) -> dict[str, float]:
    """Return how well categories fit the images that were generated from them, each in [0, 1].

    Args:
        category: what each image was generated from, int [n].
        codes: of the generated images.
        logits: what a classifier takes them for, [n, L]; None without a classifier.

    Returns:
        "category_accuracy_generated": the fraction whose category the encoder reads;
        "category_purity": the fraction that is of its category's most frequent class (with a classifier).
    """
    scores = {GENERATED[0]: float(np.mean(codes.category == category))}
    if logits is not None:
        counts = (codes.num_categories, logits.shape[1])
        scores[PURITY] = classification.majority_accuracy(
            classification.contingency(category, logits.argmax(axis=1), *counts)
        )
    return scores


class Scorer:
    """Scores of a system while it trains, under its own batch-norm statistics.

    Args:
        statistics: the copies of the system.
        dataset: the data.
        seed: chooses images and views.

    Attributes:
        names: what it scores: `ACCURACY[0]` and `AGREEMENT`, as far as system and data have them.
    """

    def __init__(self, statistics: Statistics, dataset: Dataset, seed: int = 0):
        self._dataset, self._seed, self._statistics = dataset, seed, statistics
        self.names: tuple[str, ...] = ()
        if lacks(statistics.system, "encode", "category") is None:
            self.names = (AGREEMENT,) if lacks_classes(dataset) else (ACCURACY[0], AGREEMENT)

    def __call__(self) -> dict[str, float]:
        """Return the scores by name, at the present weights."""
        if not self.names:
            return {}
        dataset, system = self._dataset, self._statistics.under(generates=False)
        test = sample_split(dataset.test or dataset.train, IMAGES, self._seed)
        codes = encode(system, test.images)
        scores = {AGREEMENT: category_agreement(system, test, codes, self._seed)}
        if ACCURACY[0] in self.names:
            train = sample_split(dataset.train, IMAGES, self._seed)
            fitted = category_counts(encode(system, train.images), dataset, train)
            scores[ACCURACY[0]] = accuracies(fitted, category_counts(codes, dataset, test))[ACCURACY[0]]
        return {name: scores[name] for name in self.names}
