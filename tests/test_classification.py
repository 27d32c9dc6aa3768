"""Majority accuracy of codes whose score is known: perfect, constant, duplicated, permuted, none."""

import numpy as np
import pytest

from common.metrics.classification import contingency, majority_accuracy, majority_labels

LABELS = np.repeat(np.arange(5), [40, 30, 20, 6, 4])  # 100 images.


def accuracy(categories, num_categories):
    return majority_accuracy(contingency(categories, LABELS, num_categories, 5))


def test_contingency_counts_pairs():
    table = contingency(np.array([0, 0, 2, 0]), np.array([1, 1, 0, 3]), 3, 4)
    np.testing.assert_array_equal(table, [[0, 2, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    assert table.dtype == np.int64


def test_perfect_categories_score_one():
    assert accuracy(LABELS, 5) == 1.0


def test_the_names_of_the_categories_do_not_matter():
    permutation = np.array([3, 0, 4, 1, 2])
    assert accuracy(permutation[LABELS], 5) == 1.0
    wrong = np.where(np.arange(100) % 4 == 0, (LABELS + 1) % 5, LABELS)
    assert accuracy(permutation[wrong], 5) == accuracy(wrong, 5) < 1.0


def test_a_constant_category_scores_the_largest_class():
    assert accuracy(np.full(100, 3), 5) == 0.4


def test_two_categories_may_share_a_label():
    """Each class split over two categories: nothing is lost, since many categories may map to one label."""
    assert accuracy(2 * LABELS + np.arange(100) % 2, 10) == 1.0


def test_two_classes_in_one_category_lose_the_smaller():
    assert accuracy(np.where(LABELS == 2, 1, LABELS), 5) == 0.8


def test_random_categories_score_no_less_than_the_largest_class():
    score = accuracy(np.random.RandomState(0).randint(0, 5, 100), 5)
    assert 0.4 <= score < 0.6


def test_labels_chosen_elsewhere_are_used_as_they_are():
    """By hand: 3 + 4 of 13 images are where `labels` puts their category; the majority would have 5 + 4."""
    table = np.array([[5, 3], [1, 4]])
    assert majority_accuracy(table, np.array([1, 1])) == 7 / 13
    assert majority_accuracy(table) == 9 / 13


def test_a_tie_goes_to_the_lowest_label_and_an_unused_category_to_label_0():
    np.testing.assert_array_equal(majority_labels(np.array([[2, 5, 5], [0, 0, 0], [0, 0, 1]])), [1, 0, 2])


def test_no_images_have_no_accuracy():
    with pytest.raises(ValueError, match="no images"):
        majority_accuracy(contingency(np.array([], int), np.array([], int), 4, 4))


def test_accuracy_is_a_python_float():
    assert type(accuracy(LABELS, 5)) is float
