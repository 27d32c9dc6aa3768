"""Majority and one-to-one accuracy of codes whose score is known: perfect, constant, duplicated, permuted, none."""

import itertools

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest

from common.evaluation.metrics.classification import (
    UNASSIGNED,
    confusion,
    contingency,
    majority_accuracy,
    majority_labels,
    one_to_one_accuracy,
    one_to_one_labels,
)

pytestmark = pytest.mark.fast

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


def test_a_tie_goes_to_the_lowest_label():
    np.testing.assert_array_equal(majority_labels(np.array([[2, 5, 5], [0, 0, 0], [0, 0, 1]])), [1, -1, 2])


def test_no_images_have_no_accuracy():
    with pytest.raises(ValueError, match="no images"):
        majority_accuracy(contingency(np.array([], int), np.array([], int), 4, 4))


def one_to_one(categories, num_categories):
    return one_to_one_accuracy(contingency(categories, LABELS, num_categories, 5))


def best_by_trying(table):
    """The most images that any assignment puts right."""
    small = table if len(table) <= table.shape[1] else table.T
    return max(
        small[np.arange(len(small)), list(columns)].sum()
        for columns in itertools.permutations(range(small.shape[1]), len(small))
    )


TABLES = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: hypothesis.extra.numpy.arrays(np.int64, shape, elements=st.integers(0, 9) | st.integers(0, 10**9))
)


@hypothesis.settings(deadline=None, derandomize=True, max_examples=300)
@hypothesis.given(TABLES)
def test_no_assignment_beats_the_one_to_one_labels(table):
    labels = one_to_one_labels(table)
    assigned = labels[labels != UNASSIGNED]
    assert labels.shape == (len(table),) and len(set(assigned)) == len(assigned) == min(table.shape)
    assert table[labels != UNASSIGNED, assigned].sum() == best_by_trying(table)


def test_one_to_one_labels_by_hand():
    """Each category's majority is label 0; the best total gives it to category 1, not to 0, whose count is larger."""
    table = np.array([[9, 8, 0], [7, 1, 2], [5, 0, 3]])
    np.testing.assert_array_equal(one_to_one_labels(table), [1, 0, 2])
    assert one_to_one_accuracy(table) == 18 / 35


def test_a_large_table_is_assigned_its_hidden_permutation():
    permutation = np.random.RandomState(0).permutation(200)
    table = np.random.RandomState(1).randint(0, 100, (200, 200))
    table[np.arange(200), permutation] += 100
    np.testing.assert_array_equal(one_to_one_labels(table), permutation)


def test_one_to_one_accuracy_of_known_categories():
    assert one_to_one(LABELS, 5) == one_to_one(np.array([3, 0, 4, 1, 2])[LABELS], 5) == 1.0
    assert one_to_one(np.full(100, 3), 5) == 0.4


def test_two_categories_may_not_share_a_label():
    """Each class in two halves: one half of each is right, where the majority puts all right."""
    assert one_to_one(2 * LABELS + np.arange(100) % 2, 10) == 0.5


def test_one_to_one_also_loses_the_smaller_of_two_classes():
    assert one_to_one(np.where(LABELS == 2, 1, LABELS), 5) == 0.8


def test_images_of_a_category_without_a_label_are_wrong():
    table = np.array([[3, 2], [4, 1], [0, 9]])
    np.testing.assert_array_equal(one_to_one_labels(table), [UNASSIGNED, 0, 1])
    assert one_to_one_accuracy(table) == 13 / 19
    assert majority_accuracy(table, one_to_one_labels(table)) == 13 / 19


def test_labels_fitted_on_one_table_score_another():
    train, test = np.array([[5, 1], [2, 6]]), np.array([[1, 3], [4, 2]])
    assert (
        one_to_one_accuracy(test, one_to_one_labels(train)) == majority_accuracy(test, majority_labels(train)) == 3 / 10
    )


def test_confusion_has_true_labels_in_rows():
    table = np.array([[3, 2], [4, 1], [0, 9]])
    matrix = confusion(table, np.array([0, UNASSIGNED, 1]))
    np.testing.assert_array_equal(matrix, [[3, 0, 4], [2, 9, 1]])
    assert matrix.dtype == np.int64


def test_confusion_adds_categories_of_one_label():
    np.testing.assert_array_equal(confusion(np.array([[3, 2], [4, 1]]), np.array([1, 1])), [[0, 7, 0], [0, 3, 0]])


def test_no_images_have_no_one_to_one_accuracy():
    with pytest.raises(ValueError, match="no images"):
        one_to_one_accuracy(np.zeros((3, 3), int))
