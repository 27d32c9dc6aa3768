"""Unsupervised classification: how well categories that nobody labelled match the classes."""

import numpy as np


def contingency(categories: np.ndarray, labels: np.ndarray, num_categories: int, num_labels: int) -> np.ndarray:
    """Counts of each (category, label) pair: int [n], int [n] -> int64 [num_categories, num_labels]."""
    table = np.zeros((num_categories, num_labels), np.int64)
    np.add.at(table, (categories, labels), 1)
    return table


def majority_labels(table: np.ndarray) -> np.ndarray:
    """The most frequent label of each category, int64 [K], the lowest on a tie, from counts [K, L]."""
    return table.argmax(axis=1)


def majority_accuracy(table: np.ndarray, labels: np.ndarray | None = None) -> float:
    """The share of images whose category maps to their label, in [0, 1], from counts [K, L] of the images to score.

    Args:
        table: counts.
        labels: the label of each category, int [K]; by default each category's majority in `table` itself.

    Raises:
        ValueError: the table is empty.
    """
    if table.sum() == 0:
        raise ValueError("no images to score")
    labels = majority_labels(table) if labels is None else labels
    return float(table[np.arange(len(table)), labels].sum() / table.sum())
