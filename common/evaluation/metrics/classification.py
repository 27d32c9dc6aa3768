"""Unsupervised classification: how well categories without labels match the classes."""

import numpy as np

from common.evaluation.metrics.codes import NotMeasurable

UNASSIGNED = -1  # The label of a category that has none.


def contingency(categories: np.ndarray, labels: np.ndarray, num_categories: int, num_labels: int) -> np.ndarray:
    """Return counts of each (category, label) pair: int [n], int [n] -> int64 [num_categories, num_labels]."""
    table = np.zeros((num_categories, num_labels), np.int64)
    np.add.at(table, (categories, labels), 1)
    return table


def majority_labels(table: np.ndarray) -> np.ndarray:
    """Return the most frequent label of each category, from counts [K, L].

    Returns:
        int64 [K]: the lowest on a tie, `UNASSIGNED` for a category without images.
    """
    return np.where(table.any(axis=1), table.argmax(axis=1), UNASSIGNED)


def one_to_one_labels(table: np.ndarray) -> np.ndarray:
    """Return the assignment of labels to categories, no label twice, that puts the most images right.

    Args:
        table: counts [K, L].

    Returns:
        int64 [K]; with more categories than labels, those left over get `UNASSIGNED`.
    """
    table = np.asarray(table, np.int64)
    if len(table) <= table.shape[1]:
        return _assign(-table)
    categories = _assign(-table.T)
    labels = np.full(len(table), UNASSIGNED)
    labels[categories] = np.arange(len(categories))
    return labels


def majority_accuracy(table: np.ndarray, labels: np.ndarray | None = None) -> float:
    """Return the fraction, in [0, 1], of the images to score, counted in [K, L], whose category maps to their label.

    Args:
        table: counts.
        labels: the label of each category, int [K]; by default each category's majority in `table` itself.

    Raises:
        ValueError: the table is empty.
    """
    return _accuracy(table, majority_labels(table) if labels is None else labels)


def one_to_one_accuracy(table: np.ndarray, labels: np.ndarray | None = None) -> float:
    """As `majority_accuracy`, by default with `one_to_one_labels`; images of a category without a label are wrong."""
    return _accuracy(table, one_to_one_labels(table) if labels is None else labels)


def confusion(table: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which label is taken for which: int64 [L, L + 1], row the true label, column the predicted one.

    The last column counts the images of categories without a label, so that a row always sums to its class.

    Args:
        table: counts [K, L] of the images to score.
        labels: the label of each category, int [K], or `UNASSIGNED`.
    """
    matrix = np.zeros((table.shape[1], table.shape[1] + 1), np.int64)
    np.add.at(matrix.T, labels, table)  # UNASSIGNED, -1, is the last column.
    return matrix


def _accuracy(table: np.ndarray, labels: np.ndarray) -> float:
    if table.sum() == 0:
        raise NotMeasurable("there are no images to score")
    assigned = np.flatnonzero(labels != UNASSIGNED)
    return float(table[assigned, labels[assigned]].sum() / table.sum())


def _assign(cost: np.ndarray) -> np.ndarray:
    """Return the columns, one per row and all different, of the least total cost: int64 [r, c], r <= c -> int64 [r].

    The Hungarian algorithm by shortest augmenting paths: rows are added one by one; potentials keep every reduced cost
    cost[i, j] - u[i] - v[j] >= 0, with equality on the pairs assigned.
    """
    rows, columns = cost.shape
    u, v = np.zeros(rows, np.int64), np.zeros(columns + 1, np.int64)
    owner = np.full(columns + 1, -1)  # The row of each column; the extra column holds the row being added.
    for row in range(rows):
        owner[columns], column = row, columns
        distance, previous = np.full(columns, np.iinfo(np.int64).max), np.zeros(columns, np.int64)
        visited = np.zeros(columns + 1, bool)
        while owner[column] != -1:
            visited[column] = True
            i, free = owner[column], ~visited[:-1]
            reduced = cost[i] - u[i] - v[:-1]
            nearer = free & (reduced < distance)
            distance[nearer], previous[nearer] = reduced[nearer], column
            nearest = np.flatnonzero(free)[distance[free].argmin()]
            step = distance[nearest]
            u[owner[visited]] += step
            v[visited] -= step
            distance[free] -= step
            column = nearest
        while column != columns:  # Along the path back, every column goes to the row that reached it.
            owner[column] = owner[previous[column]]
            column = previous[column]
    assignment = np.zeros(rows, np.int64)
    taken = np.flatnonzero(owner[:-1] != -1)
    assignment[owner[taken]] = taken
    return assignment
